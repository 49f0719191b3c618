# SPDX-License-Identifier: Apache-2.0
"""How much of the machine the running notebooks take now: looked at when somebody asks, and not otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from notebookd.domain.ids import RunId
from notebookd.domain.notebook import Notebook
from notebookd.domain.run import RunState
from notebookd.ports.clock import Clock
from notebookd.ports.processes import Footprint, Processes
from notebookd.ports.store import Store

__all__ = ["Load", "Loads"]

SHORTEST_SPAN_S = 1.0
"""Who asks within it is told what was seen last. Over less, a tick of the clock alone would look like work."""
LONGEST_SPAN_S = 30.0
"""Over more, the CPUs would be told of a time that nobody who asks now has in mind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a running notebook takes. ``cpus`` is how many CPUs were busy for it since the last look, a few seconds
    ago; None at a first look. Memory is in bytes."""

    notebook: Notebook
    cpus: float | None
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class _Sight:
    at_s: float
    taken: Mapping[RunId, Footprint]


class Loads:
    """The one who looks. Many who ask at once share a look."""

    def __init__(self, store: Store, processes: Processes, clock: Clock) -> None:
        self._store = store
        self._processes = processes
        self._clock = clock
        self._looking = asyncio.Lock()
        self._before: _Sight | None = None
        self._last: _Sight | None = None

    async def look(self) -> list[Load]:
        """What each running notebook takes, as far as that is seen."""
        async with self._looking:
            if self._last is None or self._clock.awake() - self._last.at_s >= SHORTEST_SPAN_S:
                self._before, self._last = self._last, await self._sight()
            before, last = self._before, self._last
        return [
            Load(
                notebook=entry.notebook,
                cpus=_cpus(entry.run.id, before, last),
                memory_bytes=last.taken[entry.run.id].memory_bytes,
            )
            for entry in self._store.list_unsettled()
            if entry.run.id in last.taken
        ]

    async def _sight(self) -> _Sight:
        runs = [entry.run for entry in self._store.list_unsettled() if entry.run.state is RunState.RUNNING]
        pids = {run.container_pid: run.id for run in runs if run.container_pid is not None}
        taken = await self._processes.footprints(list(pids))
        return _Sight(self._clock.awake(), {pids[pid]: each for pid, each in taken.items()})


def _cpus(run: RunId, before: _Sight | None, last: _Sight) -> float | None:
    if before is None or run not in before.taken or last.at_s - before.at_s > LONGEST_SPAN_S:
        return None
    used_s = last.taken[run].cpu_s - before.taken[run].cpu_s
    return max(0.0, used_s) / (last.at_s - before.at_s)
