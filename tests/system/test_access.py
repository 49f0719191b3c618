# SPDX-License-Identifier: Apache-2.0
"""Nobody reaches what is not theirs; each tried by a real user of the machine."""

from __future__ import annotations

import pytest

from tests.system.workstation import ENGINE, PORT, Workstation

API = "/run/notebookd/api.sock"


@pytest.fixture(scope="module")
def secret(workstation: Workstation) -> str:
    """A notebook of alice's that runs; its id."""
    return workstation.run_notebook("alice", "secret")


def _connect(workstation: Workstation, user: str, path: str) -> str:
    """What comes of connecting to a socket: ``connected``, or the kernel's refusal."""
    script = (
        "import socket, sys\n"
        "try: socket.socket(socket.AF_UNIX).connect(sys.argv[1])\n"
        "except OSError as fault: print(fault.strerror)\n"
        "else: print('connected')\n"
    )
    return workstation.machine.run("python3", "-c", script, path, user=user).stdout.strip()


def test_a_user_in_no_group_is_refused_and_told_why(workstation: Workstation) -> None:
    done = workstation.attempt("mallory", "list")
    assert done.returncode == 3
    assert "permission denied" in done.stderr.lower()
    assert "group notebookd" in done.stderr


@pytest.mark.usefixtures("secret")
@pytest.mark.parametrize(
    "words",
    [("get",), ("url",), ("logs",), ("stop",), ("why",), ("delete", "--force", "--yes"), ("exec",)],
    ids=lambda words: words[0],
)
def test_a_member_has_no_say_over_anothers_notebook(
    workstation: Workstation, secret: str, words: tuple[str, ...]
) -> None:
    command = (words[0], secret, *words[1:], *(("--", "cat", "/workspace/notes") if words[0] == "exec" else ()))
    done = workstation.attempt("bob", *command)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "(forbidden)" in done.stderr
    assert workstation.state("alice", "secret") == "RUNNING"


@pytest.mark.usefixtures("secret")
def test_a_member_does_not_even_see_anothers_notebook(workstation: Workstation) -> None:
    assert "secret" not in workstation.ctl("bob", "list")
    assert "secret" in workstation.ctl("olga", "list", "--all")


@pytest.mark.parametrize("user", ["bob", "mallory", "olga"])
def test_nothing_of_a_notebook_can_be_read_from_the_disk(workstation: Workstation, secret: str, user: str) -> None:
    for path in (
        "/var/lib/notebookd",
        "/var/lib/notebookd/notebookd.db",
        f"/var/lib/notebookd/workspaces/{secret}",
        f"/var/lib/notebookd/logs/{secret}",
        "/var/lib/notebookd-engine",
        "/var/lib/notebookd-engine/storage",
        "/run/notebookd/routes",
        f"/run/notebookd/routes/{secret}.json",
        "/run/notebookd/editors",
        f"/run/notebookd/editors/{secret}",
        "/run/notebookd/activity",
        "/run/notebookd-engine",
    ):
        for program in ("ls", "cat"):
            done = workstation.machine.run(program, path, user=user, check=False)
            assert done.returncode != 0, f"{user} can {program} {path}: {done.stdout[:200]}"
            assert "Permission denied" in done.stderr


@pytest.mark.parametrize("user", ["bob", "mallory", "olga", "notebookd-gateway"])
def test_nobody_reaches_the_engine(workstation: Workstation, user: str) -> None:
    assert _connect(workstation, user, ENGINE) == "Permission denied"


@pytest.mark.parametrize("user", ["bob", "mallory", "olga"])
def test_nobody_reaches_an_editor_but_through_the_gateway(workstation: Workstation, secret: str, user: str) -> None:
    assert _connect(workstation, user, f"/run/notebookd/editors/{secret}/editor.sock") == "Permission denied"
    assert _connect(workstation, "notebookd-gateway", f"/run/notebookd/editors/{secret}/editor.sock") == "connected"


def test_the_gateway_lets_in_no_token_but_the_notebooks_own(workstation: Workstation, secret: str) -> None:
    workstation.run_notebook("bob", "other")
    url = f"http://{secret}.localhost:{PORT}/api/contents"
    assert workstation.fetch("bob", url)[0] in {401, 403}
    theirs = workstation.token("bob", "other")
    assert workstation.fetch("bob", url, "--header", f"Authorization: token {theirs}")[0] in {401, 403}
    mine = workstation.token("alice", "secret")
    assert workstation.fetch("alice", url, "--header", f"Authorization: token {mine}")[0] == 200


@pytest.mark.parametrize(("user", "status"), [("alice", 200), ("bob", 403), ("mallory", 403), ("olga", 403)])
def test_a_token_opens_for_its_owners_account_alone(
    workstation: Workstation, secret: str, user: str, status: int
) -> None:
    bearer = ("--header", f"Authorization: Bearer {workstation.token('alice', 'secret')}")
    for loopback in ("127.0.0.1", "[::1]"):
        there = ("--resolve", f"{secret}.localhost:{PORT}:{loopback}")
        assert workstation.fetch(user, f"http://{secret}.localhost:{PORT}/api", *bearer, *there)[0] == status


def test_a_session_that_another_account_was_sent_opens_nothing(workstation: Workstation, secret: str) -> None:
    status, page = workstation.fetch("alice", workstation.ctl("alice", "url", "secret"))
    assert (status, "<title>JupyterLab" in page) == (200, True)
    jar = workstation.root("cat", "/tmp/jar-alice")
    (session,) = [line.split("\t")[6] for line in jar.splitlines() if secret in line and "notebookd-session" in line]
    shown = ("--header", f"Cookie: notebookd-session={session}")
    for user, expected in (("alice", 200), ("bob", 403), ("mallory", 403)):
        assert workstation.fetch(user, f"http://{secret}.localhost:{PORT}/api/contents", *shown)[0] == expected


def test_an_ssh_tunnel_is_the_account_that_logged_in(workstation: Workstation, secret: str) -> None:
    workstation.root("systemctl", "start", "ssh")
    opened = {}
    for user, port in (("alice", 9421), ("bob", 9422)):
        workstation.root("install", "-d", "-m", "0700", "-o", user, f"/home/{user}/.ssh")
        make = "cd ~/.ssh && ssh-keygen -q -t ed25519 -N '' -f id_ed25519 && cp id_ed25519.pub authorized_keys"
        workstation.machine.run("sh", "-c", make, user=user, text="y\n")
        tunnel = ("-f", "-N", "-o", "StrictHostKeyChecking=no", "-L", f"127.0.0.1:{port}:127.0.0.1:{PORT}")
        identity = ("-i", f"/home/{user}/.ssh/id_ed25519")
        workstation.machine.run("ssh", *identity, *tunnel, f"{user}@127.0.0.1", user=user)
        bearer = ("--header", f"Authorization: Bearer {workstation.token('alice', 'secret')}")
        opened[user] = workstation.fetch("mallory", f"http://{secret}.localhost:{port}/api", *bearer)[0]
    workstation.root("systemctl", "stop", "ssh")
    workstation.root("pkill", "-x", "ssh")
    assert opened == {"alice": 200, "bob": 403}


def test_the_token_is_in_no_process_that_others_can_look_at(workstation: Workstation) -> None:
    token = workstation.token("alice", "secret")
    script = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null"
    done = workstation.machine.run("sh", "-c", script, user="bob", check=False)
    assert len(done.stdout) > 100
    assert token not in done.stdout


def test_the_service_accounts_are_nobody_to_the_api(workstation: Workstation) -> None:
    assert _connect(workstation, "notebookd-gateway", API) == "Permission denied"
    done = workstation.attempt("notebookd", "list")
    assert (done.returncode, "(forbidden)" in done.stderr) == (1, True)


def test_a_notebook_sees_its_own_workspace_and_nothing_of_the_account(workstation: Workstation) -> None:
    for path in ("/var/lib/notebookd", "/run/notebookd", "/run/notebookd-engine", "/run/user", "/run/systemd"):
        done = workstation.attempt("alice", "exec", "secret", "--", "ls", path)
        assert "No such file or directory" in done.stdout + done.stderr
    for top in ("/", "/run", "/tmp", "/dev"):
        find = ("find", top, "-xdev", "-type", "s")
        sockets = workstation.attempt("alice", "exec", "secret", "--", *find).stdout.split()
        assert set(sockets) <= {"/run/editor/editor.sock"}


def test_a_notebook_does_not_reach_the_hosts_loopback(workstation: Workstation) -> None:
    for address in ("127.0.0.1", "10.0.2.2"):  # its own, and slirp4netns's name for the host
        connect = f"import socket; socket.create_connection(('{address}', {PORT}), 3)"
        done = workstation.attempt("alice", "exec", "secret", "--", "python3", "-c", connect)
        assert done.returncode == 1
        assert "refused" in done.stderr or "unreachable" in done.stderr or "timed out" in done.stderr


def test_an_admin_may_stop_anybodys(workstation: Workstation, secret: str) -> None:
    workstation.ctl("olga", "stop", secret, "--wait")
    assert workstation.state("alice", "secret") == "STOPPED"
    for user, name in (("alice", "secret"), ("bob", "other")):
        workstation.ctl(user, "delete", name, "--force", "--yes")
