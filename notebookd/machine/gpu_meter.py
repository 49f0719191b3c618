# SPDX-License-Identifier: Apache-2.0
"""What each run makes of its GPUs, gathered from the looks that are taken anyway."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from notebookd.domain.clocks import wall_ms
from notebookd.domain.gpu import Lease
from notebookd.domain.gpu_use import GpuUse, UseSample
from notebookd.domain.ids import RunId
from notebookd.errors import StoreUnavailable
from notebookd.ports.clock import Clock
from notebookd.ports.gpus import GpuSample
from notebookd.ports.store import Store

log = logging.getLogger(__name__)

WRITE_EVERY_S = 60.0
_Held = tuple[RunId, str]


@dataclass(frozen=True, slots=True)
class _Last:
    sample: UseSample
    boot_s: float


class GpuMeter:
    """Adds up use between two looks. What is not written yet when the daemon dies is lost: at most a minute, and then
    unknown, not idle."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._last: dict[_Held, _Last] = {}
        self._unwritten: dict[_Held, GpuUse] = {}
        self._written_at = clock.boottime()

    async def add(self, leases: Collection[Lease], samples: Mapping[str, GpuSample]) -> None:
        """A look was taken at the GPUs, and these were leased; written now and then, and when a lease is over."""
        now = self._clock.boottime()
        before, self._last = self._last, {}
        for lease in leases:
            sample = samples.get(lease.gpu_uuid)
            if sample is None or sample.health.fault == "lost":
                continue
            held = (lease.run_id, lease.gpu_uuid)
            use = UseSample(
                memory_bytes=sample.memory_used_bytes, utilisation=sample.utilisation, energy_j=sample.energy_j
            )
            self._last[held] = _Last(use, now)
            if held in before:
                gathered = self._unwritten.get(held, GpuUse())
                self._unwritten[held] = gathered.add(before[held].sample, use, now - before[held].boot_s)
        over = {held for held in self._unwritten if held not in self._last}
        if now - self._written_at >= WRITE_EVERY_S:
            over = set(self._unwritten)
            self._written_at = now
        if over:
            await self._write(over)

    async def _write(self, over: Collection[_Held]) -> None:
        at_ms = wall_ms(self._clock.now())
        try:
            async with self._store.transaction() as tx:
                for run_id, gpu_uuid in over:
                    await tx.add_gpu_use(run_id, gpu_uuid, at_ms, self._unwritten[run_id, gpu_uuid])
        except StoreUnavailable as fault:  # figures wait; whoever looked at the GPUs need not
            log.warning("cannot write what GPUs were used for: %s", fault)
            return
        for held in over:
            del self._unwritten[held]
