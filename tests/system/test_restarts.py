# SPDX-License-Identifier: Apache-2.0
"""Whatever of the service restarts, a notebook does not notice."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.system.workstation import Container, Terminal, Workstation, eventually

ENGINE_UNIT = ("--user", "--machine=notebookd@")


@pytest.fixture(scope="module")
def steady(workstation: Workstation) -> str:
    """A notebook of alice's that runs; its id."""
    return workstation.run_notebook("alice", "steady")


@pytest.fixture
def terminal(workstation: Workstation, steady: str) -> Iterator[Terminal]:
    """Its container and one open websocket, which are both there after the test."""
    before = workstation.container(steady)
    with workstation.terminal("alice", "steady") as terminal:
        assert terminal.say("before") == "heard before"
        yield terminal
        assert terminal.say("after") == "heard after"
    assert before is not None
    assert workstation.container(steady) == before
    assert workstation.state("alice", "steady") == "RUNNING"


def _until_another(workstation: Workstation, unit: str, old: int, *, within_s: float = 60) -> int:
    return eventually(
        lambda: workstation.main_pid(unit), lambda pid: pid not in {0, old}, within_s=within_s, what=f"{unit} again"
    )


@pytest.mark.usefixtures("terminal")
def test_a_restart_of_notebookd_is_not_noticed(workstation: Workstation) -> None:
    old = workstation.main_pid("notebookd.service")
    workstation.root("systemctl", "restart", "notebookd.service")
    assert workstation.main_pid("notebookd.service") not in {0, old}


@pytest.mark.usefixtures("terminal")
def test_whoever_calls_while_notebookd_is_down_waits_and_is_served(workstation: Workstation) -> None:
    workstation.root("systemctl", "stop", "notebookd.service")
    assert "steady" in workstation.ctl("alice", "list")
    assert workstation.show("notebookd.service", "ActiveState") == "active"


@pytest.mark.usefixtures("terminal")
def test_a_killed_notebookd_comes_back(workstation: Workstation) -> None:
    old = workstation.main_pid("notebookd.service")
    workstation.root("kill", "-KILL", str(old))
    _until_another(workstation, "notebookd.service", old)
    assert "steady" in workstation.ctl("alice", "list")


@pytest.mark.usefixtures("terminal")
def test_the_watchdog_replaces_a_notebookd_that_hangs(workstation: Workstation) -> None:
    old = workstation.main_pid("notebookd.service")
    workstation.root("kill", "-STOP", str(old))
    _until_another(workstation, "notebookd.service", old, within_s=45)
    assert "steady" in workstation.ctl("alice", "list")


@pytest.mark.usefixtures("terminal")
def test_an_idle_notebookd_feeds_the_watchdog(workstation: Workstation) -> None:
    assert workstation.show("notebookd.service", "WatchdogUSec") == "20s"
    fed = lambda: int(workstation.show("notebookd.service", "WatchdogTimestampMonotonic"))  # noqa: E731
    before = fed()
    eventually(fed, lambda now: now > before, within_s=15, what="a fed watchdog")


@pytest.mark.usefixtures("terminal")
def test_a_restart_of_the_engine_is_not_noticed(workstation: Workstation) -> None:
    old = workstation.show("notebookd-engine.service", "MainPID", *ENGINE_UNIT)
    workstation.root("systemctl", *ENGINE_UNIT, "restart", "notebookd-engine.service")
    assert workstation.show("notebookd-engine.service", "MainPID", *ENGINE_UNIT) not in {"0", old}
    assert workstation.ctl("alice", "exec", "steady", "--", "echo", "there") == "there"


@pytest.mark.usefixtures("terminal")
def test_a_killed_engine_comes_back(workstation: Workstation) -> None:
    old = workstation.show("notebookd-engine.service", "MainPID", *ENGINE_UNIT)
    workstation.root("kill", "-KILL", old)
    look: Callable[[], str] = lambda: workstation.show("notebookd-engine.service", "MainPID", *ENGINE_UNIT)  # noqa: E731
    eventually(look, lambda pid: pid not in {"0", old}, what="the engine again")
    assert workstation.ctl("alice", "exec", "steady", "--", "echo", "there") == "there"


def test_a_restart_of_the_gateway_cuts_connections_and_nothing_else(workstation: Workstation, steady: str) -> None:
    before: Container | None = workstation.container(steady)
    workstation.root("systemctl", "stop", "notebookd-gateway.service")
    status, page = workstation.fetch("alice", workstation.ctl("alice", "url", "steady"))
    assert (status, "<title>JupyterLab" in page) == (200, True)
    assert workstation.container(steady) == before


def test_a_reload_goes_on(workstation: Workstation, steady: str) -> None:
    before, old = workstation.container(steady), workstation.main_pid("notebookd.service")
    workstation.root("systemctl", "reload", "notebookd.service")
    assert "steady" in workstation.ctl("alice", "list")
    assert (workstation.container(steady), workstation.main_pid("notebookd.service")) == (before, old)
    workstation.ctl("alice", "delete", "steady", "--force", "--yes")
