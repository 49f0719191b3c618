# SPDX-License-Identifier: Apache-2.0
"""``notebookctl bugreport``: what is in it, what is not, and that it comes when little works."""

from __future__ import annotations

import json
import tarfile

import pytest

from tests.cli.worlds import A, B, me, notebook, page

TOKEN = "Zq3hV7uKx0_sLw-9RtYbN1mPcE5dJ8aGfO2iTkQvXyU"
SECRETS = {
    "the notebook's token": TOKEN,
    "a token of a run before": "0ldTokenOfAnEarlierRun-abcdefghijklmnopqrst",
    "a variable's value": "correct horse/battery",
    "a variable's value, quoted": "correct%20horse%2Fbattery",
    "another's variable": "tr0ub4dor",
    "a password in an address": "hunter22",
    "a key in a header": "bWFnaWM6d29yZHM",
    "a cookie": "c00kie-jar",
    "a key in the configuration": "cfgpass99",
    "a key on a command line": "cmdline-key-1",
    "a private key": "b3BlbnNzaC1rZXk",
    "a key in an event": "evt-secret-5",
    "a key in a label": "label-pass-7",
    "an SSH key": "AAAAC3NzaC1lZDI1NTE5AAAAIKey",
}
LOG = f"""2026-11-22T20:00:00+00:00 host notebookd[7]: notebookd 0.4 serves alice
-- Boot 1234 --
2026-11-22T20:00:01+00:00 host notebookd-gateway[8]: GET /lab?token={TOKEN}&x=1 HTTP/1.1 for alice
2026-11-22T20:00:02+00:00 host notebookd-gateway[8]: next=%2F%3Ftoken%3D{SECRETS["a token of a run before"]}
2026-11-22T20:00:03+00:00 host notebookd-gateway[8]: Authorization: Basic {SECRETS["a key in a header"]}
2026-11-22T20:00:03+00:00 host notebookd-gateway[8]: {{'Cookie': 'a={SECRETS["a cookie"]}', 'Host': 'x'}}
2026-11-22T20:00:04+00:00 host notebookd[7]: env of the editor: {SECRETS["a variable's value"]}
2026-11-22T20:00:04+00:00 host notebookd[7]: GET /?q={SECRETS["a variable's value, quoted"]}
2026-11-22T20:00:05+00:00 host notebookd[7]: cloning https://bob:{SECRETS["a password in an address"]}@git.example/r.git
2026-11-22T20:00:06+00:00 host notebookd[7]: -----BEGIN OPENSSH PRIVATE KEY-----
2026-11-22T20:00:06+00:00 host notebookd[7]: {SECRETS["a private key"]}
2026-11-22T20:00:06+00:00 host notebookd[7]: -----END OPENSSH PRIVATE KEY-----
2026-11-22T20:00:07+00:00 host notebookd[7]: ran tool --password {SECRETS["a key on a command line"]}
"""
DOCTOR = {
    "ok": False,
    "findings": [{"name": "engine", "status": "fail", "seen": f"password={SECRETS['a key in the configuration']}"}],
}


def spoilt(identity, name, user, value):
    """A notebook with secrets wherever one can be put."""
    plain = json.loads(notebook(identity, name, user=user))
    plain["spec"]["envVars"] = [{"name": "PHRASE", "value": value}, {"name": "N", "value": "1"}]
    plain["spec"]["sshPublicKeys"] = [f"ssh-ed25519 {SECRETS['an SSH key']} {user}@laptop"]
    plain["spec"]["labels"] = {"note": f"password: {SECRETS['a key in a label']}"}
    source = {"url": f"https://x:{SECRETS['a password in an address']}@git.example/r.git"}
    plain["spec"]["volumes"].append(
        {"mountPath": "/r", "permission": "RO", "cache": False, "publicGit": source},
    )
    return json.dumps(plain).encode()


@pytest.fixture
def programs(tmp_path):
    """A folder of programs that stand for the machine's."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (tmp_path / "doctor.json").write_text(json.dumps(DOCTOR))
    (tmp_path / "log.txt").write_text(LOG)
    config = {"ok": True, "items": [{"key": "gpus.driver", "value": "nvml", "source": "default"}], "faults": []}
    (tmp_path / "config.json").write_text(json.dumps(config))
    scripts = {
        "notebookd": f"""case $1 in
            --version) echo notebookd 9.9 ;;
            doctor) /bin/cat {tmp_path}/doctor.json; exit 1 ;;
            check-config) /bin/cat {tmp_path}/config.json ;;
        esac""",
        "podman": "echo podman version 4.3.1",
        "journalctl": f"case \"$*\" in *engine*) echo '-- No entries --' ;; *) /bin/cat {tmp_path}/log.txt ;; esac",
    }
    for name, script in scripts.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    return folder


@pytest.fixture
def daemon(toy):
    toy.on(
        "GET /v1/health",
        {
            "status": "ok",
            "version": "9.9",
            "dependencies": {"engine": {"status": "ok"}},
        },
    )
    toy.on("GET /v1/me", me())
    settings = [
        {"key": "gateway.domain", "value": "localhost", "source": "default"},
        {"key": "proxy.password", "value": SECRETS["a key in the configuration"], "source": "file"},
    ]
    toy.on("GET /v1/config", {"items": settings})
    process = {"pid": 1, "user": "carol", "memory": 1, "notebook": None}
    command = f"train --api-key={SECRETS['a key on a command line']} --epochs 3"
    gpu = {
        "uuid": "GPU-1", "index": 0, "name": "H100", "memory": None, "utilisation": None, "temperature": None,
        "power": None, "state": "foreign", "drained": False, "foreign": True, "lease": None,
        "processes": [{**process, "command": command}], "health": {"status": "ok"},
    }  # fmt: skip
    toy.on("GET /v1/gpu", {"items": [gpu]})
    toy.on("GET /v1/queue", {"items": []})
    mine = spoilt(A, "calm", "alice", SECRETS["a variable's value"])
    other = spoilt(B, "wild", "bob", SECRETS["another's variable"])
    toy.on("GET /v1/notebook", page(mine, other))
    toy.on(f"GET /v1/notebook/{A}/access", {"url": f"http://{A}.localhost:8421/?token={TOKEN}", "token": TOKEN})
    toy.on(f"GET /v1/notebook/{B}/access", {"message": "cannot", "code": "forbidden"}, status=403)
    for each in (A, B):
        why = {"notebook": each, "state": "RUNNING", "sentences": ["It runs."], "deadlines": []}
        toy.on(f"GET /v1/notebook/{each}/why", why)
    event = {
        "id": 1, "at": "2026-11-22T20:00:00.000Z", "actor": "alice", "type": "notebook.patched", "notebook": A,
        "details": {"secret": SECRETS["a key in an event"], "was": SECRETS["another's variable"]},
    }  # fmt: skip
    toy.on("GET /v1/event", json.dumps(event).encode() + b"\n")
    return toy


def opened(file):
    """Name -> bytes, without the folder that all of it lies in."""
    with tarfile.open(file) as archive:
        return {entry.name.partition("/")[2]: archive.extractfile(entry).read() for entry in archive.getmembers()}


def report(notebookctl, programs, *words):
    return notebookctl("bugreport", *words, env={"PATH": str(programs)})


def test_no_secret_gets_into_it_wherever_it_was(notebookctl, daemon, programs, tmp_path):
    file = tmp_path / "report.tar.gz"
    log = tmp_path / "daemon.log"
    log.write_text(LOG.replace("host", "file"))
    result = report(notebookctl, programs, str(file), "--log", str(log))
    assert result.exit_code == 0, result.output
    pieces = opened(file)
    everything = b"\n".join([*pieces.values(), *(name.encode() for name in pieces), result.output.encode()])
    leaked = {what for what, secret in SECRETS.items() if secret.encode() in everything}
    assert leaked == set()


def test_what_helps_is_in_it(notebookctl, daemon, programs, tmp_path):
    file = tmp_path / "report.tar.gz"
    report(notebookctl, programs, str(file))
    pieces = opened(file)
    assert set(pieces) == {
        "contents.txt", "versions.json", "doctor.json", "health.json", "me.json", "config.json", "gpus.json",
        "queue.json", "notebooks.json", f"why/{A}.json", f"why/{B}.json", "events.json", "log/journal.txt",
    }  # fmt: skip
    versions = json.loads(pieces["versions.json"])
    assert (versions["notebookd"], versions["podman"]) == ("notebookd 9.9", "podman version 4.3.1")
    assert json.loads(pieces["doctor.json"])["findings"][0]["name"] == "engine"
    notebooks = json.loads(pieces["notebooks.json"])["items"]
    assert [(each["user"], each["spec"]["envVars"][0]["name"]) for each in notebooks] == [
        ("alice", "PHRASE"),
        ("bob", "PHRASE"),
    ]
    assert notebooks[0]["status"]["url"] == f"http://{A}.localhost:8421/"
    (event,) = json.loads(pieces["events.json"])
    assert (event["actor"], event["type"]) == ("alice", "notebook.patched")
    journal = pieces["log/journal.txt"].decode()
    assert "notebookd 0.4 serves alice" in journal
    assert "&x=1 HTTP/1.1 for alice" in journal
    assert json.loads(pieces["gpus.json"])["items"][0]["processes"][0]["command"].endswith("--epochs 3")


def test_what_is_inside_is_printed(notebookctl, daemon, programs, tmp_path, golden):
    file = tmp_path / "report.tar.gz"
    result = report(notebookctl, programs, str(file))
    names = [line.split()[0] for line in result.stdout.splitlines()]
    assert names == ["NAME", *opened(file)]
    assert "missing: log/engine.txt: the journal has no entry" in result.stderr
    assert f"wrote {file}" in result.stderr
    said = json.loads(report(notebookctl, programs, str(tmp_path / "b.tar.gz"), "-o", "json").stdout)
    assert said["file"] == str(tmp_path / "b.tar.gz")
    assert [each["name"] for each in said["items"]] == names[1:]
    assert [each["what"] for each in said["missing"]] == ["log/engine.txt"]


def test_it_is_for_its_owners_eyes_and_replaces_nothing(notebookctl, daemon, programs, tmp_path):
    file = tmp_path / "report.tar.gz"
    assert report(notebookctl, programs, str(file)).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600
    before = file.read_bytes()
    assert report(notebookctl, programs, str(file)).exit_code == 2
    link = tmp_path / "link.tar.gz"
    link.symlink_to(tmp_path / "elsewhere")
    assert report(notebookctl, programs, str(link)).exit_code == 2
    assert (file.read_bytes(), (tmp_path / "elsewhere").exists()) == (before, False)
    assert report(notebookctl, programs, str(tmp_path / "no" / "folder.tar.gz")).exit_code == 1


def test_with_the_daemon_down_it_says_what_is_missing(notebookctl, toy, programs, tmp_path):
    file = tmp_path / "report.tar.gz"
    result = notebookctl("--socket", str(tmp_path / "none"), "bugreport", str(file), env={"PATH": str(programs)})
    assert result.exit_code == 0
    assert "missing: health, config in force, board" in result.stderr
    pieces = opened(file)
    assert {"doctor.json", "versions.json", "config.json", "log/journal.txt"} <= set(pieces)
    assert json.loads(pieces["config.json"])["items"][0]["key"] == "gpus.driver"
    assert "missing: health" in pieces["contents.txt"].decode()


def test_on_a_machine_without_anything_there_is_still_a_report(notebookctl, tmp_path):
    (tmp_path / "empty").mkdir()
    file = tmp_path / "report.tar.gz"
    result = notebookctl(
        "--socket", str(tmp_path / "none"), "bugreport", str(file), "--log", str(tmp_path / "no.log"),
        env={"PATH": str(tmp_path / "empty")},
    )  # fmt: skip
    assert result.exit_code == 0
    assert set(opened(file)) == {"contents.txt", "versions.json"}
    for missing in ("doctor.json", "config.json", "log/journal.txt", "no.log: No such file"):
        assert missing in result.stderr


def test_one_refusal_does_not_take_the_rest_with_it(notebookctl, daemon, programs, tmp_path):
    daemon.on("GET /v1/gpu", {"message": "cannot see", "code": "gpus-unavailable"}, status=503)
    daemon.on("GET /v1/queue", b"not json")
    file = tmp_path / "report.tar.gz"
    result = report(notebookctl, programs, str(file))
    assert result.exit_code == 0
    assert "missing: gpus.json: cannot see" in result.stderr
    assert "missing: queue.json: " in result.stderr
    assert f"why/{B}.json" in opened(file)
