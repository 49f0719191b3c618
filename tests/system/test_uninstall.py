# SPDX-License-Identifier: Apache-2.0
"""Removal and purge: they take everything but what is kept on purpose. The last file: it takes the service away."""

from __future__ import annotations

import re

import pytest

from tests.system.workstation import PORT, Workstation, eventually

OURS = "notebookd"
PLACES = ("/etc", "/run", "/usr", "/var", "/opt", "/home")


def _found(workstation: Workstation) -> set[str]:
    """Every path of the machine that bears our name, but for what belongs to the tests, apt and the journal."""
    find = ("find", *PLACES, "-xdev", "-name", f"*{OURS}*", "-prune", "-print")
    others = (
        "/var/cache/brought",
        "/etc/sysctl.d",
        "/var/log",
        "/var/cache/debconf",
        "/var/lib/apt",
        "/var/cache/apt",
        "/var/cache/man",
    )
    found = workstation.root(*find, check=False).split()
    return {path for path in found if not path.startswith(others)}


def _processes(workstation: Workstation) -> str:
    """The processes of the two accounts."""
    accounts = ("-u", "notebookd", "-u", "notebookd-gateway")
    return workstation.root("ps", *accounts, "-o", "args=", check=False)


@pytest.fixture(scope="module")
def left(workstation: Workstation) -> str:
    """A notebook that runs when the package goes; its id."""
    notebook = workstation.run_notebook("alice", "left")
    workstation.ctl("alice", "exec", "left", "--", "sh", "-c", "echo kept >/workspace/notes")
    return notebook


def test_removal_ends_everything_and_keeps_what_is_peoples(workstation: Workstation, left: str) -> None:
    workstation.root("apt-get", "remove", "--yes", "notebookd", timeout_s=300)
    eventually(lambda: _processes(workstation), lambda seen: not seen.strip(), within_s=20, what="the end of all")
    assert workstation.root("systemctl", "--failed", "--quiet") == ""
    sockets = workstation.root("cat", "/proc/net/tcp", "/proc/net/tcp6")
    assert not re.search(rf":{PORT:04X} [0-9A-F:]+ 0A ", sockets)
    assert _found(workstation) == {
        "/etc/notebookd",
        "/run/notebookd",
        "/run/notebookd-engine",
        "/var/lib/notebookd",
        "/var/lib/notebookd-engine",
        *(f"/var/lib/dpkg/info/notebookd.{kind}" for kind in ("list", "postrm")),
        *(
            path
            for path in _found(workstation)
            if path.startswith(("/var/lib/systemd/deb-systemd-helper", "/etc/systemd"))
        ),
    }
    assert workstation.root("cat", f"/var/lib/notebookd/workspaces/{left}/notes") == "kept\n"


def test_installed_again_it_takes_up_what_was_kept(workstation: Workstation, left: str) -> None:
    workstation.install(workstation.package)
    assert workstation.notebook("alice", "left")["id"] == left
    eventually(
        lambda: workstation.state("alice", "left"),
        lambda state: state in {"RUNNING", "STOPPED", "FAILED"},
        what="a state to start from",
    )
    if workstation.state("alice", "left") != "RUNNING":
        workstation.ctl("alice", "start", "left", "--wait")
    assert workstation.ctl("alice", "exec", "left", "--", "cat", "/workspace/notes") == "kept"


def test_a_purge_that_nobody_can_be_asked_about_keeps_workspaces(workstation: Workstation, left: str) -> None:
    said = workstation.machine.run("apt-get", "purge", "--yes", "notebookd", timeout_s=300)
    assert "kept /var/lib/notebookd" in said.stdout + said.stderr
    assert _found(workstation) == {"/var/lib/notebookd"}
    assert workstation.root("cat", f"/var/lib/notebookd/workspaces/{left}/notes") == "kept\n"
    owner = workstation.root("stat", "--format=%U:%a", "/var/lib/notebookd").strip()
    assert owner == "notebookd:700"


def test_a_purge_that_was_agreed_to_leaves_nothing(workstation: Workstation) -> None:
    workstation.install(workstation.package)
    _purge_at_a_terminal(workstation, "yes")
    assert _found(workstation) == set()
    accounts = workstation.root("cat", "/etc/passwd", "/etc/group", "/etc/subuid", "/etc/subgid")
    assert OURS not in accounts
    assert "notebookd" not in workstation.root("debconf-show", "notebookd", check=False)
    assert workstation.root("systemctl", "--failed", "--quiet") == ""
    assert workstation.root("systemctl", "list-units", "--all", "--quiet", "notebookd*").strip() == ""


def _purge_at_a_terminal(workstation: Workstation, answer: str) -> None:
    purge = workstation.machine.popen("script", "-qec", "apt-get purge --yes notebookd", "/dev/null")
    assert purge.stdin is not None
    assert purge.stdout is not None
    said = ""
    while "[yes/no]" not in said:
        letter = purge.stdout.read(1)
        assert letter, said
        said += letter
    assert "Remove all workspaces" in said
    purge.stdin.write(f"{answer}\n")
    rest, _ = purge.communicate(timeout=60)
    assert purge.returncode == 0, said + rest
