# SPDX-License-Identifier: Apache-2.0
"""What the package's scripts do as root, where others were there before: accounts of its names, ids that are given out,
links that the service's account left in their way. On a machine of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machine.machine import Machine, Unable, booted
from tests.system.workstation import build_package

VICTIM = "/etc/victim"
"""A folder of root's that nobody else may look into, and a file in it."""

PLACES = (
    "/run/notebookd/routes",
    "/run/notebookd/gateway",
    "/run/notebookd/activity",
    "/run/notebookd/editors",
    "/var/lib/notebookd-engine/.config/containers",
    "/var/lib/notebookd-engine/.config",
    "/var/lib/notebookd/workspaces",
)
"""What lies in folders of the account's, in an order in which each can be replaced."""


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, str]]:
    """A machine without the package, and the path of the package in it."""
    try:
        with booted() as machine:
            yield machine, machine.put(build_package(tmp_path_factory.mktemp("package")))
    except Unable as reason:
        pytest.skip(str(reason))


def lines(machine: Machine, file: str, word: str) -> list[str]:
    return [line for line in machine.run("cat", file).stdout.splitlines() if line.startswith(f"{word}:")]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("notebookd", ("--uid", "1500", "--create-home", "--shell", "/bin/bash")),
        ("notebookd", ("--uid", "1500", "--shell", "/usr/sbin/nologin")),
        ("notebookd-gateway", ("--system", "--shell", "/bin/sh")),
    ],
)
def test_an_account_of_somebodys_is_not_taken_for_the_services(
    bare: tuple[Machine, str], name: str, options: tuple[str, ...]
) -> None:
    machine, package = bare
    machine.run("useradd", *options, name)
    before = lines(machine, "/etc/passwd", name)
    done = machine.run("apt-get", "install", "--yes", package, check=False, timeout_s=180)
    assert done.returncode != 0
    assert f"there is an account {name} already that is somebody's" in done.stdout + done.stderr
    assert lines(machine, "/etc/passwd", name) == before
    for left in ("/usr/bin/notebookd", "/usr/lib/systemd/system/notebookd.service", "/run/notebookd"):
        assert machine.run("test", "-e", left, check=False).returncode == 1, left
    machine.run("userdel", "--remove", name, check=False)
    assert lines(machine, "/etc/passwd", name) == []


def test_members_who_are_there_already_are_named_and_ids_of_others_left_alone(bare: tuple[Machine, str]) -> None:
    machine, package = bare
    machine.run("useradd", "--create-home", "mallory")
    machine.run("groupadd", "--system", "notebookd-admin")
    machine.run("usermod", "--append", "--groups", "notebookd-admin", "mallory")
    given_out = "first:100000:65536\nsecond:200000:65536\nlast:4294900000:65536\n"
    for file in ("/etc/subuid", "/etc/subgid"):
        machine.run("tee", file, text=given_out)
    done = machine.run("apt-get", "install", "--yes", package, timeout_s=180)
    assert "the group notebookd-admin is there already, with the members: mallory" in done.stdout + done.stderr
    for file in ("/etc/subuid", "/etc/subgid"):
        assert lines(machine, file, "notebookd") == ["notebookd:265536:65536"], "between two others"
    machine.run("systemctl", "is-active", "--quiet", "notebookd.service", "notebookd-gateway.service")


def test_links_that_the_account_left_lead_roots_hand_nowhere(bare: tuple[Machine, str]) -> None:
    machine, package = bare
    machine.run("sh", "-c", f"mkdir -m 0700 {VICTIM} && echo secret >{VICTIM}/file && chmod 0600 {VICTIM}/file")
    before = _seen(machine)
    machine.run("systemctl", "stop", "notebookd.service", "notebookd-gateway.service")
    for place in PLACES:
        _plant(machine, place)
    machine.run("apt-get", "install", "--yes", "--reinstall", package, check=False, timeout_s=180)
    machine.run("systemd-tmpfiles", "--create", "/usr/lib/tmpfiles.d/notebookd.conf", check=False)
    assert _seen(machine) == before, "installing"
    machine.run("apt-get", "remove", "--yes", "notebookd", check=False, timeout_s=180)
    for place in PLACES:
        _plant(machine, place)
    machine.run("apt-get", "purge", "--yes", "notebookd", check=False, timeout_s=180)
    assert _seen(machine) == before, "removing"
    assert machine.run("test", "-e", "/run/notebookd", check=False).returncode == 1
    assert lines(machine, "/etc/passwd", "mallory")


def _plant(machine: Machine, place: str) -> None:
    """Replace a folder by a link to root's, with the rights of the account that owns the one it is in."""
    parent = str(Path(place).parent)
    if machine.run("test", "-d", parent, "-a", "!", "-L", parent, check=False).returncode:
        return  # it is not there any more, or a link itself
    script = f"mv -T {place} {place}.$$ 2>/dev/null; ln -sfn {VICTIM} {place}; readlink {place}"
    planted = machine.run("runuser", "-u", "notebookd", "--", "sh", "-c", script, check=False).stdout.strip()
    mounted = machine.run("mountpoint", "-q", place, check=False).returncode == 0
    assert mounted or planted == VICTIM, place


def _seen(machine: Machine) -> str:
    """Everything of root's folder: names, owners, modes, times of change, content."""
    script = f"find {VICTIM} -printf '%p %U %G %m %C@ %l\\n' | sort; cat {VICTIM}/file"
    return machine.run("sh", "-c", script).stdout
