# SPDX-License-Identifier: Apache-2.0
"""The machine goes down, in order or not, and comes up again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.system.workstation import Workstation, eventually

DROP_IN = "/etc/systemd/system/notebookd.service.d"


@pytest.fixture(scope="module")
def own_boot_id(workstation: Workstation) -> Iterator[None]:
    """The kernel is the host's, and its boot id outlives our boots. The machine has one of its own, mounted over it,
    which a unit sees unless its sandbox gives it a fresh /proc: these two lines of notebookd's do."""
    workstation.root("mkdir", "-p", DROP_IN)
    lines = "[Service]\nProtectKernelTunables=no\nProtectControlGroups=no\n"
    workstation.machine.run("tee", f"{DROP_IN}/boot-id.conf", text=lines)
    workstation.root("systemctl", "daemon-reload")
    workstation.root("systemctl", "restart", "notebookd.service")
    yield
    workstation.root("rm", "-r", DROP_IN)
    workstation.root("systemctl", "daemon-reload")
    workstation.root("systemctl", "restart", "notebookd.service")


@pytest.fixture(scope="module")
def notebooks(workstation: Workstation, own_boot_id: None) -> Iterator[None]:
    """One that runs and shall run, one that its owner stopped."""
    workstation.run_notebook("alice", "wanted")
    workstation.run_notebook("bob", "unwanted")
    workstation.ctl("bob", "stop", "unwanted", "--wait")
    workstation.ctl("alice", "exec", "wanted", "--", "sh", "-c", "echo kept >/workspace/notes; sync /workspace/notes")
    yield
    for user, name in (("alice", "wanted"), ("bob", "unwanted")):
        workstation.ctl(user, "delete", name, "--force", "--yes")


def _boot_id(workstation: Workstation) -> str:
    return workstation.root("cat", "/proc/sys/kernel/random/boot_id").strip()


def _stopped_at(workstation: Workstation, unit: str) -> int:
    """When a unit's stop was complete in the boot before this one, in microseconds of its clock."""
    # The id of "A stop job for unit … has finished", see systemd's catalogue.
    entries = workstation.journal("--boot=-1", f"UNIT={unit}", "MESSAGE_ID=9d1aaa27d60140bd96365438aad20286")
    assert entries, f"{unit} was not stopped"
    return int(entries[-1]["__MONOTONIC_TIMESTAMP"])


def _billed(workstation: Workstation) -> int:
    """The minutes that alice's notebook cost so far."""
    usage = json.loads(workstation.ctl("alice", "usage", "--group-by", "notebook", "--output", "json"))
    return sum(int(row["minutes"]["value"]) for row in usage["items"] if row["name"] == "wanted")


@pytest.fixture(params=["clean", "unclean"])
def booted_again(request: pytest.FixtureRequest, workstation: Workstation, notebooks: None) -> dict[str, Any]:
    """The machine went down, in order or not, and is up; the notebook that runs, as it was before."""
    if workstation.state("alice", "wanted") != "RUNNING":
        workstation.ctl("alice", "start", "wanted", "--wait")
    before, boot = workstation.notebook("alice", "wanted"), _boot_id(workstation)
    before["billed"] = _billed(workstation)
    if request.param == "clean":
        workstation.machine.power_off()
    else:
        workstation.machine.cut_power()
    workstation.machine.start()
    assert _boot_id(workstation) != boot
    pid = str(workstation.main_pid("notebookd.service"))
    assert workstation.root("cat", f"/proc/{pid}/root/proc/sys/kernel/random/boot_id").strip() == _boot_id(workstation)
    return before


def test_after_a_boot_what_shall_run_runs_again(workstation: Workstation, booted_again: dict[str, Any]) -> None:
    after = eventually(
        lambda: workstation.notebook("alice", "wanted"),
        lambda now: now["status"]["state"] == "RUNNING",
        within_s=20,
        what="a notebook that ran",
    )
    assert (after["id"], after["status"]["url"]) == (booted_again["id"], booted_again["status"]["url"])
    assert after["status"]["lastStartedAt"] > booted_again["status"]["lastStartedAt"]
    # Seconds went by on either side of the boot: the stay before it costs what it did, the new one its first minute.
    assert _billed(workstation) == booted_again["billed"] + 1
    assert workstation.ctl("alice", "exec", "wanted", "--", "cat", "/workspace/notes") == "kept"
    status, page = workstation.fetch("alice", workstation.ctl("alice", "url", "wanted"))
    assert (status, "<title>JupyterLab" in page) == (200, True)


def test_after_a_boot_nothing_is_lost(workstation: Workstation, booted_again: dict[str, Any]) -> None:
    assert workstation.root("systemctl", "--failed", "--quiet") == ""
    assert workstation.state("bob", "unwanted") == "STOPPED"
    ended = eventually(
        lambda: workstation.notebook("alice", "wanted"),
        lambda now: now["status"]["state"] in {"RUNNING", "STOPPED"},
        what="a settled notebook",
    )
    assert (ended["id"], ended["status"]["url"]) == (booted_again["id"], booted_again["status"]["url"])
    if ended["status"]["state"] != "RUNNING":
        workstation.ctl("alice", "start", "wanted", "--wait")
    assert workstation.ctl("alice", "exec", "wanted", "--", "cat", "/workspace/notes") == "kept"


@pytest.mark.usefixtures("notebooks")
def test_at_shutdown_notebookd_goes_first_then_containers_then_the_engine(workstation: Workstation) -> None:
    uid = workstation.root("id", "-u", "notebookd").strip()
    began = len(workstation.journal("--boot=0", "--lines=1"))
    assert began == 1
    workstation.machine.power_off()
    workstation.machine.start()
    order = ("notebookd.service", "notebookd-containers.service", f"user@{uid}.service")
    times = [_stopped_at(workstation, unit) for unit in order]
    assert times == sorted(times), dict(zip(order, times, strict=True))
    failed = workstation.journal("--boot=-1", "_SYSTEMD_UNIT=init.scope", "PRIORITY=3")
    assert not [entry["MESSAGE"] for entry in failed if "notebookd" in str(entry["MESSAGE"])]
