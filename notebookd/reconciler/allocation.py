# SPDX-License-Identifier: Apache-2.0
"""Granting compute to the runs that wait for it: the pure decision of the domain, committed in one transaction."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

from notebookd.domain.event import PLATFORM
from notebookd.domain.run import grant as give
from notebookd.machine.gpu_watch import GpuWatch
from notebookd.machine.queue import Queue
from notebookd.ports.clock import Clock
from notebookd.ports.store import Store
from notebookd.record.entries import write_entry
from notebookd.record.meter import Meter

Learn = Callable[[Collection[str]], Awaitable[None]]
"""Looks the owners up whose rules are to be asked for, as long as that takes a moment."""


async def nobody_to_learn_of(_: Collection[str]) -> None:
    """For rules that depend on nothing that must be looked up."""


class Allocator:
    """Commits grants."""

    def __init__(self, store: Store, queue: Queue, watch: GpuWatch, clock: Clock, meter: Meter, learn: Learn) -> None:
        self._store = store
        self._queue = queue
        self._watch = watch
        self._clock = clock
        self._meter = meter
        self._learn = learn

    async def allocate(self) -> list[str]:
        """Grant what can be granted; returns the notebooks to look at. Looks at the GPUs first."""
        waiting = [entry for entry in self._store.list_unsettled() if entry.run.waiting]
        if not waiting:
            return []
        await self._learn({entry.notebook.owner for entry in waiting})
        if any(entry.run.resources.gpu for entry in waiting):
            await self._watch.look()
        async with self._store.transaction() as tx:
            standing = self._queue.decide()
            entries = {entry.run.id: entry for entry in standing.waiting}
            now = self._clock.now()
            for grant in standing.decision.grants:
                entry = entries[grant.run_id]
                run = give(entry.run, grant.gpus, now)
                await write_entry(tx, entry, entry.notebook, run, meter=self._meter, actor=PLATFORM, at=now)
        return [entries[grant.run_id].notebook.id for grant in standing.decision.grants]
