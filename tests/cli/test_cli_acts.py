# SPDX-License-Identifier: Apache-2.0
"""What the verbs that change things send, wait for, ask and refuse."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
import yaml

from tests.cli import worlds
from tests.cli.fake_terminal import FakeTerminal
from tests.cli.worlds import A, B, access, notebook, page

GET = f"GET /v1/notebook/{A}"
STEPS = [
    ("QUEUED", "2026-11-22T20:00:00.000Z"),
    ("PENDING", "2026-11-22T20:00:00.100Z"),
    ("RUNNING", "2026-11-22T20:00:01.300Z"),
]
REFUSED = {"message": "cannot start notebook calm: it is STOPPING", "code": "conflict", "hint": "wait for it"}


def run(notebookctl, *args, keys=None):
    return notebookctl("run", "conda", "jupyterlab", *args, keys=keys)


@pytest.fixture(autouse=True)
def world(toy):
    toy.on("POST /v1/notebook", notebook(state="STARTING"))
    toy.on(GET, notebook())
    toy.on(f"{GET}/access", access())
    toy.on("GET /v1/queue", worlds.QUEUE)
    for verb in ("start", "stop", "restart", "label"):
        toy.on(f"PUT /v1/notebook/{A}/{verb}", status=204)
    toy.on(f"PUT /v1/notebook/{A}", status=204)
    toy.on(f"DELETE /v1/notebook/{A}", status=204)


class Impatient(FakeTerminal):
    """Somebody who presses Ctrl-C while they wait."""

    def sleep(self, seconds):
        raise KeyboardInterrupt


class TestRun:
    """run says what was asked, and nothing else, and gets there."""

    @pytest.mark.parametrize(
        ("args", "sent"),
        [
            ([], {}),
            (["-g", "2", "-f", "h100-1-gpu"], {"resources": {"gpu": 2, "flavor": "h100-1-gpu"}}),
            (["--cpu", "4"], {"resources": {"cpu": 4}}),
            (["-g", "1", "-c", "4"], {"resources": {"gpu": 1}}),
            (["-g", "0", "-c", "4"], {"resources": {"gpu": 0, "cpu": 4}}),
            (["-n", "x", "-l", "a=b", "-l", "c=d=e"], {"name": "x", "labels": {"a": "b", "c": "d=e"}}),
            (["-e", "A=", "-e", "B=1"], {"envVars": [{"name": "A", "value": ""}, {"name": "B", "value": "1"}]}),
            (["--unsecure-http"], {"unsecureHttp": True}),
            (["--restart-on-timeout"], {"timeoutAutoRestart": True}),
            (["--restart-on-timeout=false"], {"timeoutAutoRestart": False}),
            (["--framework-version", "py312"], {"env": {"frameworkVersion": "py312"}}),
        ],
    )
    def test_options_become_the_spec(self, notebookctl, toy, args, sent):
        assert run(notebookctl, *args).exit_code == 0
        body = toy.asked[0].json
        expected = {"env": {"editorId": "jupyterlab", "frameworkId": "conda", **sent.pop("env", {})}, **sent}
        assert body == expected
        assert len(toy.asked[0].headers["idempotency-key"]) == 36

    def test_a_bare_restart_on_timeout_takes_no_word_after_it(self, notebookctl, toy):
        assert notebookctl("run", "--restart-on-timeout", "conda", "jupyterlab").exit_code == 0
        assert toy.asked[0].json["timeoutAutoRestart"] is True

    def test_cpu_beside_gpu_is_noted(self, notebookctl):
        assert "note: --cpu is ignored" in run(notebookctl, "-g", "1", "-c", "4").stderr

    def test_volumes_are_sent_as_they_were_written(self, notebookctl, toy):
        words = ["sets@DATA/a/b:/data:rwd:cache", "https://host/a.git:/code", "whatever"]
        assert run(notebookctl, *[option for word in words for option in ("-v", word)]).exit_code == 0
        assert toy.asked[0].json["volumes"] == words

    @pytest.mark.parametrize(
        "args", [["-l", "a"], ["-e", "=b"], ["-s", "/nowhere"], ["-g", "x"], ["-g", "-1"], ["--what"]]
    )
    def test_bad_words_are_usage_errors(self, notebookctl, toy, args):
        assert run(notebookctl, *args).exit_code == 2
        assert toy.asked == []

    def test_ssh_keys_come_from_a_file_and_are_said_not_to_be_served(self, notebookctl, toy, tmp_path):
        keys = tmp_path / "keys"
        keys.write_bytes(b"\xef\xbb\xbf# mine\r\nssh-ed25519 AAAA me\r\n\r\nssh-rsa BBBB\r\n")
        assert "not served yet" in run(notebookctl, "-s", str(keys)).stderr
        assert toy.asked[0].json["sshPublicKeys"] == ["ssh-ed25519 AAAA me", "ssh-rsa BBBB"]

    def test_without_waiting_it_shows_the_notebook(self, notebookctl, toy):
        result = run(notebookctl, "--no-wait")
        assert result.stdout.splitlines()[-1].split()[-1] == f"http://{A}.localhost:8421/"
        assert toy.sent(GET) == []

    def test_waiting_tells_the_steps_and_ends_with_the_url(self, notebookctl, toy, golden):
        toy.on(GET, notebook(state="STARTING", history=STEPS[:1]))
        toy.then(GET, notebook(state="STARTING", history=STEPS[:2], info="waiting for GPUs"))
        toy.then(GET, notebook(state="RUNNING", history=STEPS))
        result = run(notebookctl, "--wait")
        assert result.exit_code == 0
        assert result.stdout == f"http://{A}.localhost:8421/?token=secret\n"
        golden("run-wait.stderr", result.stderr)

    @pytest.mark.parametrize(("word", "seconds"), [("90s", 90), ("1m30s", 90), ("2h", 7200)])
    def test_a_wait_has_an_end_and_the_notebook_goes_on(self, notebookctl, toy, word, seconds):
        toy.on(GET, notebook(state="STARTING"))
        begun = notebookctl.terminal.now()
        result = run(notebookctl, "--timeout", word)
        assert (result.exit_code, result.stdout) == (4, "")
        assert f"notebook calm is STARTING after {seconds} s" in result.stderr
        assert f"it goes on: notebookctl why {A} says why, notebookctl stop {A} ends it" in result.stderr
        assert seconds <= (notebookctl.terminal.now() - begun).total_seconds() < seconds + 2

    def test_a_wait_that_comes_to_its_end_in_time_is_none_that_is_cut(self, notebookctl, toy):
        toy.on(GET, notebook(state="STARTING"))
        toy.then(GET, notebook(state="RUNNING"))
        assert run(notebookctl, "--timeout", "10m").exit_code == 0

    @pytest.mark.parametrize("args", [["--timeout", "soon"], ["--timeout", ""], ["--timeout", "1m", "--no-wait"]])
    def test_what_is_no_time_to_wait_asks_for_nothing(self, notebookctl, toy, args):
        assert run(notebookctl, *args).exit_code == 2
        assert toy.asked == []

    def test_an_interrupt_ends_the_wait_alone_and_says_so(self, notebookctl, toy):
        notebookctl.terminal = Impatient()
        toy.on(GET, notebook(state="STARTING"))
        result = run(notebookctl, "--wait")
        assert result.exit_code == 130
        assert f"note: the notebook goes on starting: notebookctl stop {A} ends that" in result.stderr
        assert not [asked for asked in toy.asked if asked.method != "GET" and asked.path != "/v1/notebook"]

    @pytest.mark.parametrize("output", ["json", "yaml"])
    def test_waiting_for_a_program_leaves_only_the_object(self, notebookctl, output):
        result = run(notebookctl, "--wait", "-o", output)
        read = {"json": json.loads, "yaml": yaml.safe_load}[output]
        assert read(result.stdout) == json.loads(notebook())

    @pytest.mark.parametrize("state", ["FAILED", "ERROR", "SYNC_FAILED", "STOPPED"])
    def test_a_run_that_ends_instead_is_exit_4_with_the_reason(self, notebookctl, toy, state):
        toy.on(GET, notebook(state=state, info="the image is broken"))
        result = run(notebookctl, "--wait")
        assert (result.exit_code, result.stdout) == (4, "")
        assert f"notebook calm is {state}: the image is broken (JOB_X)" in result.stderr
        assert f"notebookctl why {A}" in result.stderr.partition("hint: ")[2]

    @pytest.mark.parametrize(("gone_for", "code"), [(5, 0), (90, 3)])
    def test_a_restart_of_the_daemon_is_waited_out_for_a_minute(self, notebookctl, toy, gone_for, code):
        there, away = Path(toy.path), Path(f"{toy.path}.away")
        toy.on(GET, notebook(state="STARTING"))

        class Restarting(FakeTerminal):
            def sleep(self, seconds):
                super().sleep(seconds)
                if there.exists():
                    there.rename(away)
                elif self.now() > restarted_at:
                    away.rename(there)
                    toy.on(GET, notebook())

        notebookctl.terminal = Restarting()
        restarted_at = notebookctl.terminal.now() + timedelta(seconds=gone_for)
        assert run(notebookctl, "--wait").exit_code == code


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_verbs_send_what_they_say_and_are_silent(notebookctl, toy, verb):
    result = notebookctl(verb, A)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")
    assert [(asked.method, asked.path) for asked in toy.asked] == [("PUT", f"/v1/notebook/{A}/{verb}")]


@pytest.mark.parametrize("verb", ["start", "stop", "restart"])
def test_verbs_give_programs_the_notebook(notebookctl, verb):
    assert notebookctl(verb, A, "-o", "json").stdout_bytes == notebook() + b"\n"


def test_start_can_discard_and_wait(notebookctl, toy):
    toy.on(GET, notebook(state="STARTING"))
    toy.then(GET, notebook())
    result = notebookctl("start", A, "--discard", "--yes", "--wait")
    assert result.stdout == f"http://{A}.localhost:8421/?token=secret\n"
    assert toy.asked[0].query == {"discard": ["true"]}


@pytest.mark.parametrize(
    "args", [["start", A], ["stop", A], ["restart", A], ["run", "conda", "jupyterlab", "--timings"]]
)
def test_a_notebook_that_is_deleted_while_it_is_waited_for_ended_badly(notebookctl, toy, args):
    gone = {"message": "cannot find", "code": "not-found"}
    toy.on("POST /v1/notebook", notebook(state="STARTING"))
    toy.on(f"PUT /v1/notebook/{A}/{args[0]}", status=204)
    toy.on(GET, gone, 404)
    toy.on(f"{GET}/timings", gone, 404)
    result = notebookctl(*args, "--wait")
    assert (result.exit_code, result.stdout) == (4, "")
    assert "the notebook was deleted meanwhile" in result.stderr


def test_somebody_elses_notebook_ends_with_the_plain_url(notebookctl, toy):
    toy.on(f"{GET}/access", {"message": "no", "code": "forbidden"}, status=403)
    assert notebookctl("start", A, "--wait").stdout == f"http://{A}.localhost:8421/\n"


def test_stop_now_asks_for_no_waiting(notebookctl, toy):
    assert notebookctl("stop", A, "--now", "--no-wait").exit_code == 0
    assert toy.asked[0].query == {"now": ["true"]}


def test_stop_waits_until_it_is_stopped(notebookctl, toy):
    old = ("RUNNING", "2026-11-20T20:00:00.000Z")
    toy.on(GET, notebook(state="STOPPING", history=[old, ("INTERRUPTING", "2026-11-22T20:00:00.000Z")]))
    toy.then(
        GET,
        notebook(
            state="STOPPED",
            history=[old, ("INTERRUPTING", "2026-11-22T20:00:00.000Z"), ("INTERRUPTED", "2026-11-22T20:00:00.500Z")],
        ),
    )
    result = notebookctl("stop", A, "--wait")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines() == [
        "... interrupting",
        "  interrupting      0.5 s",
        "... interrupted",
        "stopped after 0.1 s",
    ]


class TestDelete:
    """delete takes nothing active by the way."""

    def state(self, toy, state):
        toy.on(GET, notebook(state=state))

    def deleted(self, toy):
        return [asked.query for asked in toy.sent(f"DELETE /v1/notebook/{A}")]

    @pytest.mark.parametrize("state", ["STOPPED", "FAILED", "ERROR"])
    def test_an_inactive_one_goes_without_a_question(self, notebookctl, toy, state):
        self.state(toy, state)
        assert notebookctl("delete", A).exit_code == 0
        assert self.deleted(toy) == [{}]

    @pytest.mark.parametrize("args", [[], ["--yes"], ["--force"]])
    @pytest.mark.parametrize("state", ["RUNNING", "STARTING", "STOPPING", "SYNC_FAILED"])
    def test_without_a_terminal_an_active_one_takes_both(self, notebookctl, toy, state, args):
        self.state(toy, state)
        result = notebookctl("delete", A, *args)
        assert result.exit_code == 2
        assert "--yes --force" in result.stderr
        assert self.deleted(toy) == []

    def test_both_force_it(self, notebookctl, toy):
        assert notebookctl("delete", A, "--yes", "--force").exit_code == 0
        assert self.deleted(toy) == [{"force": ["true"]}]

    @pytest.mark.parametrize(
        ("keys", "code", "deleted"), [("y\n", 0, [{"force": ["true"]}]), ("n\n", 1, []), ("\n", 1, [])]
    )
    def test_on_a_terminal_an_active_one_is_asked_about(self, notebookctl, toy, keys, code, deleted):
        notebookctl.terminal = FakeTerminal(answers=True)
        result = notebookctl("delete", A, keys=keys)
        assert result.exit_code == code
        assert "Notebook calm is RUNNING" in result.stderr
        assert self.deleted(toy) == deleted

    def test_yes_on_a_terminal_asks_nothing(self, notebookctl, toy):
        notebookctl.terminal = FakeTerminal(answers=True)
        assert notebookctl("delete", A, "--yes").exit_code == 0
        assert self.deleted(toy) == [{"force": ["true"]}]

    def test_waiting_ends_when_it_is_gone(self, notebookctl, toy):
        self.state(toy, "STOPPED")
        toy.then(GET, notebook(state="DELETING"))
        toy.then(GET, {"message": "no such notebook", "code": "not-found"}, status=404)
        result = notebookctl("delete", A, "--wait")
        assert result.exit_code == 0
        assert result.stderr.splitlines()[-1] == "deleted after 0.1 s"


class TestPatch:
    """patch sends only what is to change; null resets."""

    @pytest.mark.parametrize(
        ("args", "sent"),
        [
            (["-g", "2"], {"resources": {"gpu": 2}}),
            (["--remove-all-public-ssh-keys"], {"sshPublicKeys": None}),
            (["--remove-all-volumes", "--remove-all-labels"], {"volumes": None, "labels": None}),
            (["--restart-on-timeout"], {"timeoutAutoRestart": True}),
            (
                ["--restart-on-timeout=false", "--unsecure-http=false"],
                {"timeoutAutoRestart": False, "unsecureHttp": False},
            ),
            (["-l", "a=b"], {"labels": {"a": "b"}}),
            (["-e", "A=b=c", "-e", "D="], {"envVars": [{"name": "A", "value": "b=c"}, {"name": "D", "value": ""}]}),
            (["--remove-all-envvars"], {"envVars": None}),
        ],
    )
    def test_options_become_the_patch(self, notebookctl, toy, args, sent):
        assert notebookctl("patch", A, *args).exit_code == 0
        assert toy.asked[0].json == sent

    @pytest.mark.parametrize("args", [[], ["-l", "a=b", "--remove-all-labels"]])
    def test_nothing_and_contradictions_are_usage_errors(self, notebookctl, toy, args):
        assert notebookctl("patch", A, *args).exit_code == 2
        assert toy.asked == []


@pytest.mark.parametrize(
    ("words", "sent"),
    [
        (["a=b"], [{"name": "a", "value": "b"}]),
        (["a", "b"], [{"name": "a", "value": "b"}]),
        (["a=", "c=d=e"], [{"name": "a"}, {"name": "c", "value": "d=e"}]),
    ],
)
def test_labels(notebookctl, toy, words, sent):
    assert notebookctl("label", A, *words).exit_code == 0
    assert [asked.json for asked in toy.asked] == sent


@pytest.mark.parametrize(
    ("words", "state", "said"),
    [
        (["stop", A], "STOPPING", "the notebook goes on stopping"),
        (["delete", A, "--yes"], "DELETING", "the notebook goes on being deleted"),
        (["start", A], "STARTING", "the notebook goes on starting"),
    ],
)
def test_an_interrupt_of_any_wait_says_what_goes_on(notebookctl, toy, words, state, said):
    notebookctl.terminal = Impatient()
    toy.on(GET, notebook(state=state))
    result = notebookctl(*words, "--wait")
    assert result.exit_code == 130
    assert f"note: {said}" in result.stderr


def test_a_notebook_is_renamed(notebookctl, toy):
    toy.on(f"PUT /v1/notebook/{A}/rename", status=204)
    assert notebookctl("rename", A, "better").exit_code == 0
    (asked,) = toy.sent(f"PUT /v1/notebook/{A}/rename")
    assert asked.json == {"name": "better"}


@pytest.mark.parametrize("words", [[], ["a"], ["=b"], ["a=b", "c"]])
def test_bad_labels_are_usage_errors(notebookctl, toy, words):
    assert notebookctl("label", A, *words).exit_code == 2
    assert toy.asked == []


class TestRefusals:
    """What the daemon says reaches the reader, and the exit code says who was at fault."""

    def test_message_code_and_hint(self, notebookctl, toy):
        toy.on(f"PUT /v1/notebook/{A}/start", REFUSED, status=409)
        result = notebookctl("start", A)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            "notebookctl: cannot start notebook calm: it is STOPPING (conflict)\nhint: wait for it\n"
        )

    def test_every_fault_is_listed(self, notebookctl, toy):
        faults = [{"path": "$.name", "message": "bad"}, {"path": "$.labels", "message": "worse"}]
        body = {"message": "cannot create notebook: 2 faults", "code": "invalid-request", "details": {"faults": faults}}
        toy.on("POST /v1/notebook", body, status=400)
        assert "  name: bad\n  labels: worse\n" in run(notebookctl).stderr

    def test_faults_are_told_once_and_by_their_names(self, notebookctl, toy):
        faults = [{"path": "$.name", "message": "bad"}, {"path": "$.labels", "message": "worse"}]
        body = {
            "message": "cannot create notebook: $.name: bad; $.labels: worse",
            "code": "invalid-request",
            "details": {"faults": faults},
        }
        toy.on("POST /v1/notebook", body, status=400)
        said = "notebookctl: cannot create notebook (invalid-request)\n  name: bad\n  labels: worse\n"
        assert run(notebookctl).stderr == said
        one = body | {"message": "cannot create notebook: $.name: bad", "details": {"faults": faults[:1]}}
        toy.on("POST /v1/notebook", one, status=400)
        assert run(notebookctl).stderr == "notebookctl: cannot create notebook: name: bad (invalid-request)\n"

    def test_what_is_no_matter_of_usage_shows_no_usage(self, notebookctl, toy):
        toy.on("GET /v1/notebook", page(notebook(), notebook(B)))
        result = notebookctl("get", "calm")
        assert result.exit_code == 2
        assert result.stderr.startswith("notebookctl: 'calm' means more than one notebook: ")
        assert "Usage" not in result.stderr

    def test_escape_sequences_do_not_reach_the_terminal(self, notebookctl, toy):
        toy.on(GET, {"message": "\x1b[2Jx", "code": "conflict"}, status=409)
        assert "\x1b" not in notebookctl("get", A).stderr

    def test_an_answer_that_is_no_answer_is_exit_1(self, notebookctl, toy):
        toy.on(GET, b"<html>", status=200)
        result = notebookctl("get", A)
        assert result.exit_code == 1
        assert "cannot understand the answer" in result.stderr

    def test_unreachable_is_exit_3_with_a_hint(self, notebookctl, tmp_path):
        for args in (["--socket", str(tmp_path / "none"), "ls"], ["ls", "--socket", str(tmp_path / "none")]):
            result = notebookctl(*args)
            assert (result.exit_code, result.stdout) == (3, "")
            assert "cannot reach notebookd at" in result.stderr
            assert "hint: is notebookd running" in result.stderr

    def test_usage_is_exit_2(self, notebookctl):
        assert notebookctl("frobnicate").exit_code == 2
        assert notebookctl("get").exit_code == 2
        assert notebookctl("ls", "-o", "xml").exit_code == 2


def test_the_spec_is_json_the_daemon_can_read(notebookctl, toy):
    from notebookd import wire

    run(notebookctl, "-v", "standalone:/x", "-l", "a=b", "-g", "1")
    assert wire.decode(wire.NotebookSpec, toy.asked[0].body).labels == {"a": "b"}
    assert json.loads(toy.asked[0].body)["resources"] == {"gpu": 1}


def test_url_renew_prints_the_new_one(notebookctl, toy):
    toy.on(f"POST /v1/notebook/{A}/access/renew", access())
    toy.on(f"GET /v1/notebook/{A}", notebook())
    result = notebookctl("url", A, "--renew")
    assert (result.exit_code, result.stdout) == (0, json.loads(access())["url"] + "\n")
