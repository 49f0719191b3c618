# SPDX-License-Identifier: Apache-2.0
"""Processes that a test makes up."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from notebookd.ports.processes import Footprint, ProcessFacts, printable

HOST_NAMESPACE = "4:1"


class FakeProcesses:
    """A :class:`~notebookd.ports.processes.Processes` without processes, until some are added."""

    def __init__(self, *, others_cpu_s: float | None = None) -> None:
        self._facts: dict[int, ProcessFacts] = {}
        self._ticks = 0
        self.cpu_s: dict[int, float] = {}
        """Seconds of CPU that the processes in the pid namespace of a pid have used."""
        self.memory_bytes: dict[int, int] = {}
        """The memory that they have."""
        self.killed: dict[int, int] = {}
        """How many processes were killed for memory in the cgroup of a pid."""
        self.others_cpu_s = others_cpu_s
        """What is seen of others; None is nothing."""

    def look(self, pids: Collection[int]) -> Mapping[int, ProcessFacts]:
        """What the test made up."""
        return {pid: self._facts[pid] for pid in pids if pid in self._facts}

    async def footprints(self, pids: Collection[int]) -> Mapping[int, Footprint]:
        """What the test made up."""
        used = {pid: self.cpu_s.get(pid, self.others_cpu_s) for pid in pids}
        return {
            pid: Footprint(cpu_s=used_s, memory_bytes=self.memory_bytes.get(pid, 0))
            for pid, used_s in used.items()
            if used_s is not None
        }

    def oom_kills(self, pid: int) -> int | None:
        """What the test made up."""
        return self.killed.get(pid)

    def add(
        self,
        pid: int,
        *,
        user: str = "alice",
        command: str = "python3",
        container_id: str | None = None,
        pid_namespace: str | None = HOST_NAMESPACE,
    ) -> ProcessFacts:
        """A process of that pid begins, later than every other one; an earlier one of that pid is gone."""
        self._ticks += 1
        facts = ProcessFacts(
            pid=pid,
            started=self._ticks,
            user=user,
            command=printable(command),
            container_id=container_id,
            pid_namespace=pid_namespace,
        )
        self._facts[pid] = facts
        return facts

    def end(self, pid: int) -> None:
        """The process is gone."""
        del self._facts[pid]
