# SPDX-License-Identifier: Apache-2.0
"""Pretended GPUs, so that everything runs on a machine that has none.

They are always healthy and idle, nobody else uses them, and the same instance has the same UUIDs after every start.
A container gets no device for them.
"""

from __future__ import annotations

import uuid

from notebookd.errors import GpusUnavailable
from notebookd.ports.gpus import Gpu, GpuEvent, GpuSample

NAME = "Simulated GPU"
MEMORY_BYTES = 16 * 1024**3
TEMPERATURE_C = 30.0
POWER_W = 20.0

_NAMESPACE = uuid.UUID("6f1d0a52-5b0c-4c3e-9a37-0c8f9d1b7a10")


class SimulatedGpus:
    """``count`` GPUs whose UUIDs follow from ``instance``, the id of this installation."""

    def __init__(self, count: int, instance: str = "") -> None:
        self._gpus = tuple(_gpu(instance, index) for index in range(count))
        self._released = False

    @property
    def cdi(self) -> bool:
        """False: there is no device to hand to a container."""
        return False

    async def inventory(self) -> tuple[Gpu, ...]:
        """The pretended GPUs, by index."""
        self._check()
        return self._gpus

    async def sample(self, *, for_people: bool = True) -> tuple[GpuSample, ...]:
        """Idle GPUs at room temperature."""
        self._check()
        return tuple(
            GpuSample(
                uuid=gpu.uuid,
                memory_used_bytes=0,
                utilisation=0.0,
                temperature_c=TEMPERATURE_C if for_people else None,
                power_w=POWER_W if for_people else None,
            )
            for gpu in self._gpus
        )

    def take_events(self) -> tuple[GpuEvent, ...]:
        """Nothing ever happens to them."""
        return ()

    async def release(self) -> None:
        """Pretend to let go of the driver."""
        self._released = True

    async def acquire(self) -> None:
        """Pretend to take it again."""
        self._released = False

    def _check(self) -> None:
        if self._released:
            raise GpusUnavailable("cannot ask the GPU driver: it was released", hint="run `notebookctl gpu acquire`")


def _gpu(instance: str, index: int) -> Gpu:
    return Gpu(
        uuid=f"GPU-{uuid.uuid5(_NAMESPACE, f'{instance}/{index}')}",
        index=index,
        pci_bus_id=f"00000000:{index + 1:02X}:00.0",
        name=NAME,
        memory_total_bytes=MEMORY_BYTES,
    )
