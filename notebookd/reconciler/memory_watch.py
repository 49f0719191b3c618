# SPDX-License-Identifier: Apache-2.0
"""Looking at whether programs of running notebooks were killed for memory. The kernel tells nobody else."""

from __future__ import annotations

from dataclasses import replace

from notebookd.domain.entry import Entry
from notebookd.domain.event import Event
from notebookd.domain.run import RunState
from notebookd.ports.clock import Clock
from notebookd.ports.processes import Processes
from notebookd.ports.store import Store
from notebookd.record.entries import Stale, commit
from notebookd.record.meter import Meter


class MemoryWatch:
    """Compares what the kernel counted with what is on record, and tells of what is new."""

    def __init__(self, store: Store, processes: Processes, clock: Clock, meter: Meter) -> None:
        self._store = store
        self._processes = processes
        self._clock = clock
        self._meter = meter

    async def look(self) -> None:
        """Look at every running notebook once."""
        for entry in self._store.list_unsettled():
            pid = entry.run.container_pid
            if entry.run.state is not RunState.RUNNING or pid is None:
                continue
            kills = self._processes.oom_kills(pid)
            if kills is not None and kills != entry.run.oom_kills:
                await self._tell(entry, kills)

    async def _tell(self, entry: Entry, kills: int) -> None:
        """A restart counts from nothing again: then what was counted so far is all new."""
        run, now = entry.run, self._clock.now()
        new = kills - run.oom_kills if kills > run.oom_kills else kills
        seen = replace(run, oom_kills=kills, oom_at=now if new else run.oom_at)
        try:
            await commit(self._store, entry, seen, now, meter=self._meter)
        except Stale:
            return  # it changed meanwhile: the next look tells
        if not new:
            return
        data = {"reason": "out-of-memory", "killed": new, "limitBytes": run.resources.memory_bytes}
        async with self._store.transaction() as tx:
            await tx.append(
                Event(
                    type="notebook.warning",
                    at=now,
                    notebook_id=entry.notebook.id,
                    run_id=run.id,
                    owner=entry.notebook.owner,
                    data=data,
                )
            )
