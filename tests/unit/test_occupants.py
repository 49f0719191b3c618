# SPDX-License-Identifier: Apache-2.0
"""Whose a process on a GPU is, from all that a hostile account could arrange."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import cast

import pytest

from notebookd.domain.entry import Entry
from notebookd.domain.gpu import Occupant
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.run import Run, RunState
from notebookd.machine.occupants import Account, Attribution
from notebookd.ports.gpus import GpuProcess, GpuSample
from notebookd.ports.store import Reader
from notebookd.testing.processes import FakeProcesses
from tests.values import granted, launched, notebook, run

SERVICE = "notebookd"
DAEMON = 900
INIT, KERNEL, OTHER_INIT = 1000, 1001, 2000
MINE, THEIRS = "c" * 64, "d" * 64


@dataclass
class Host:
    """Two notebooks, the first's container with a process of its own, and nothing else."""

    processes: FakeProcesses
    runs: list[Run]
    attribution: Attribution
    on_gpu: list[GpuProcess]

    def list_unsettled(self) -> list[Entry]:
        return [Entry(notebook=notebook(id=each.notebook_id), run=each) for each in self.runs]

    def use(self, *pids: int) -> None:
        self.on_gpu = [GpuProcess(pid=pid, memory_used_bytes=1, kind="compute") for pid in pids]

    def occupants(self) -> list[Occupant]:
        sample = GpuSample(uuid="GPU-0", memory_used_bytes=0, processes=tuple(self.on_gpu))
        return list(self.attribution.attribute([sample], cast("Reader", self)).get("GPU-0", ()))

    def owners(self) -> dict[int, str | None]:
        return {each.pid: each.run_id for each in self.occupants()}


def a_run(name: str, container_id: str, init: int) -> Run:
    made = launched(granted(run(RunState.RUNNING)))
    ids = {"id": RunId(name), "notebook_id": NotebookId(f"notebook-of-{name}")}
    return replace(made, **ids, container_id=container_id, container_pid=init)  # type: ignore[arg-type]


@pytest.fixture
def host() -> Host:
    processes = FakeProcesses()
    processes.add(DAEMON, user=SERVICE)
    processes.add(INIT, user=SERVICE, pid_namespace="4:10")
    processes.add(KERNEL, user=SERVICE, pid_namespace="4:10")
    processes.add(OTHER_INIT, user=SERVICE, pid_namespace="4:20")
    return Host(
        processes=processes,
        runs=[a_run("mine", MINE, INIT), a_run("theirs", THEIRS, OTHER_INIT)],
        attribution=Attribution(processes, Account(user=SERVICE, pid=DAEMON)),
        on_gpu=[],
    )


def test_a_process_is_its_containers_by_the_pid_namespace(host: Host) -> None:
    host.use(KERNEL, INIT, OTHER_INIT)
    assert host.owners() == {KERNEL: "mine", INIT: "mine", OTHER_INIT: "theirs"}
    assert host.occupants()[0].notebook_id == "notebook-of-mine"


def test_a_process_is_its_containers_by_the_cgroup_where_it_made_a_namespace_of_its_own(host: Host) -> None:
    host.processes.add(1002, user=SERVICE, pid_namespace="4:11", container_id=MINE)
    host.processes.add(1003, user=SERVICE, pid_namespace=None, container_id=THEIRS)
    host.use(1002, 1003)
    assert host.owners() == {1002: "mine", 1003: "theirs"}


def test_who_is_in_no_container_is_a_stranger_named_by_user_and_command(host: Host) -> None:
    host.processes.add(3000, user="carol", command="train")
    host.use(3000, 3001)
    assert [(each.pid, each.user, each.command, each.run_id) for each in host.occupants()] == [
        (3000, "carol", "train", None),
        (3001, "?", "?", None),
    ]


@pytest.mark.parametrize("namespace", ["4:10", "4:1"])
def test_another_account_in_our_cgroup_or_namespace_is_a_stranger(host: Host, namespace: str) -> None:
    host.processes.add(3000, user="carol", pid_namespace=namespace, container_id=MINE)
    host.use(3000)
    assert host.owners() == {3000: None}


def test_the_services_own_processes_outside_containers_are_nobodys(host: Host) -> None:
    """A dead container's pid that another process of the service has now shares the host's namespace."""
    host.processes.add(INIT, user=SERVICE)
    host.processes.add(4000, user=SERVICE)
    host.use(4000, INIT)
    assert host.owners() == {4000: None, INIT: None}


def test_a_namespace_that_two_runs_would_have_says_nothing(host: Host) -> None:
    """One init is dead, and its pid is that of a process in the other's container."""
    host.runs[0] = replace(host.runs[0], container_pid=2001)
    host.processes.add(2001, user=SERVICE, pid_namespace="4:20")
    host.use(2001, OTHER_INIT)
    assert host.owners() == {2001: None, OTHER_INIT: None}
    host.processes.add(2001, user=SERVICE, pid_namespace="4:20", container_id=THEIRS)
    assert host.owners() == {2001: "theirs", OTHER_INIT: None}, "the cgroup still does"


def test_a_pid_that_somebody_else_has_now_is_not_remembered(host: Host) -> None:
    host.use(KERNEL)
    assert host.owners() == {KERNEL: "mine"}
    host.processes.add(KERNEL, user="carol")
    assert host.owners() == {KERNEL: None}
    host.processes.add(KERNEL, user=SERVICE)
    assert host.owners() == {KERNEL: None}, "nor when it is of the service"


def test_a_process_that_outlives_its_containers_init_stays_that_runs(host: Host) -> None:
    host.use(KERNEL)
    assert host.owners() == {KERNEL: "mine"}
    host.processes.end(INIT)
    for _ in range(3):
        assert host.owners() == {KERNEL: "mine"}
    host.runs = []
    assert host.owners() == {KERNEL: "mine"}, "also when the run holds nothing any more"


def test_who_was_never_seen_while_the_init_lived_is_known_by_the_cgroup_alone(host: Host) -> None:
    host.processes.end(INIT)
    host.use(KERNEL)
    assert host.owners() == {KERNEL: None}
    host.processes.add(KERNEL, user=SERVICE, pid_namespace="4:10", container_id=MINE)
    assert host.owners() == {KERNEL: "mine"}


def test_a_process_in_two_lists_is_one_with_the_larger_figure(host: Host) -> None:
    host.on_gpu = [
        GpuProcess(pid=KERNEL, memory_used_bytes=None, kind="compute"),
        GpuProcess(pid=KERNEL, memory_used_bytes=7, kind="graphics"),
        GpuProcess(pid=KERNEL, memory_used_bytes=5, kind="compute"),
    ]
    assert [(each.pid, each.memory_bytes) for each in host.occupants()] == [(KERNEL, 7)]
