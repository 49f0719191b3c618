# SPDX-License-Identifier: Apache-2.0
"""What is known of the machine's compute, looked up once and kept until somebody looks again."""

from __future__ import annotations

from collections.abc import Mapping

from notebookd.domain.gpu import GpuUnit
from notebookd.domain.observed import Known, Seen, Unknown
from notebookd.domain.resources import Flavor, FlavorShare, HostCompute, derive_flavors
from notebookd.errors import GpusUnavailable
from notebookd.ports.gpus import GpuHealth, Gpus, GpuSample
from notebookd.ports.store import Reader


class Inventory:
    """GPUs, their last samples, and the flavors that follow. ``units`` keeps the last good view beside ``seen``."""

    def __init__(self, gpus: Gpus, store: Reader, host: HostCompute, shares: tuple[FlavorShare, ...] = ()) -> None:
        self._gpus = gpus
        self._store = store
        self._shares = shares
        self.host = host
        self.seen: Seen[tuple[GpuUnit, ...]] = Unknown("nobody has looked yet")
        self.samples: dict[str, GpuSample] = {}
        self._last: tuple[GpuUnit, ...] = ()

    async def look(self) -> Seen[tuple[GpuUnit, ...]]:
        """Ask the driver. A GPU that vanished from one look to the next stays on the board as lost."""
        try:
            found = await self._gpus.inventory()
            samples = {sample.uuid: sample for sample in await self._gpus.sample()}
        except GpusUnavailable as fault:
            self.seen = Unknown(fault.message)
            return self.seen
        drained = self._store.list_drained()
        units = [
            GpuUnit(
                uuid=gpu.uuid,
                index=gpu.index,
                model=gpu.name,
                memory_bytes=gpu.memory_total_bytes,
                drained=gpu.uuid in drained,
                quarantined=not _health(samples, gpu.uuid).ok,
                lost=_health(samples, gpu.uuid).fault == "lost",
            )
            for gpu in found
        ]
        self.samples = samples
        self._last = tuple(units)
        self.seen = Known(self._last)
        return self.seen

    @property
    def units(self) -> tuple[GpuUnit, ...]:
        """The GPUs as last seen."""
        return self._last

    def flavors(self) -> tuple[Flavor, ...]:
        """What can be asked for."""
        return derive_flavors(self._last, self.host, self._shares)


def _health(samples: Mapping[str, GpuSample], uuid: str) -> GpuHealth:
    return samples[uuid].health if uuid in samples else GpuHealth(ok=False, fault="lost", reason="it is not sampled")
