# SPDX-License-Identifier: Apache-2.0
"""Whose the processes on the GPUs are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from notebookd.domain.gpu import Occupant
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.run import Run
from notebookd.ports.gpus import GpuProcess, GpuSample
from notebookd.ports.processes import Processes, ProcessFacts
from notebookd.ports.store import Reader

_GONE = "?"


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Whom the containers run as, and this daemon's own pid. A name that a stranger gave his cgroup, or a pid of a dead
    container that somebody else has now, must not make him one of ours."""

    user: str = "notebookd"
    pid: int = 0


@dataclass(frozen=True, slots=True)
class _Owner:
    run_id: RunId
    notebook_id: NotebookId


class Attribution:
    """Names the processes on the GPUs: the run whose container they are in (by pid namespace or cgroup), or their user.

    What was found of a process is remembered for as long as it is seen on a GPU: a process that outlives its
    container's init has no namespace left to be known by, and is still that run's."""

    def __init__(self, processes: Processes, account: Account) -> None:
        self._processes = processes
        self._account = account
        self._known: dict[tuple[int, int], _Owner] = {}

    def attribute(self, samples: Iterable[GpuSample], store: Reader) -> Mapping[str, tuple[Occupant, ...]]:
        """The occupants of each GPU, by its UUID."""
        found = {sample.uuid: sample.processes for sample in samples if sample.processes}
        if not found:
            self._known = {}
            return {}
        runs = [entry.run for entry in store.list_unsettled() if entry.run.holds and entry.run.gpus]
        pids = {process.pid for processes in found.values() for process in processes}
        inits = {run.container_pid for run in runs if run.container_pid is not None}
        facts = self._processes.look(pids | inits | {self._account.pid})
        ours = {pid: fact for pid, fact in facts.items() if fact.user == self._account.user}
        own = facts.get(self._account.pid)
        owners = self._owners(ours, pids, _containers(runs, ours, own.pid_namespace if own else None))
        return {
            uuid: tuple(_occupant(each, facts.get(each.pid), owners.get(each.pid)) for each in _merged(processes))
            for uuid, processes in found.items()
        }

    def _owners(
        self, facts: Mapping[int, ProcessFacts], pids: set[int], containers: Mapping[str, _Owner]
    ) -> Mapping[int, _Owner]:
        owners: dict[int, _Owner] = {}
        known: dict[tuple[int, int], _Owner] = {}
        for fact in (facts[pid] for pid in pids if pid in facts):
            identity = (fact.pid, fact.started)
            names = [name for name in (fact.pid_namespace, fact.container_id) if name is not None]
            owner = next((containers[name] for name in names if name in containers), self._known.get(identity))
            if owner is not None:
                owners[fact.pid] = known[identity] = owner
        self._known = known
        return owners


def _containers(
    runs: Iterable[Run], facts: Mapping[int, ProcessFacts], host_namespace: str | None
) -> Mapping[str, _Owner]:
    """Runs by the pid namespace of their container's init and by their container's id. A name that two runs would have
    says nothing: one of the inits is dead and its pid is another's."""
    containers: dict[str, _Owner] = {}
    doubtful = {host_namespace}
    for run in runs:
        owner = _Owner(run.id, run.notebook_id)
        init = facts.get(run.container_pid) if run.container_pid is not None else None
        for name in (init.pid_namespace if init else None, run.container_id):
            if name is not None and containers.setdefault(name, owner) != owner:
                doubtful.add(name)
    return {name: owner for name, owner in containers.items() if name not in doubtful}


def _merged(processes: Iterable[GpuProcess]) -> Iterable[GpuProcess]:
    """One row a pid: a process that computes and draws stands in both of the driver's lists."""
    rows: dict[int, GpuProcess] = {}
    for each in processes:
        before = rows.get(each.pid)
        if before is None or (each.memory_used_bytes or 0) > (before.memory_used_bytes or 0):
            rows[each.pid] = each
    return rows.values()


def _occupant(process: GpuProcess, fact: ProcessFacts | None, owner: _Owner | None) -> Occupant:
    return Occupant(
        pid=process.pid,
        user=fact.user if fact else _GONE,
        command=fact.command if fact else _GONE,
        memory_bytes=process.memory_used_bytes,
        run_id=owner.run_id if owner else None,
        notebook_id=owner.notebook_id if owner else None,
    )
