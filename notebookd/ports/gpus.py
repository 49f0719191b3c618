# SPDX-License-Identifier: Apache-2.0
"""The GPUs port: what is in the machine and what it is doing.

Implementations: :mod:`notebookd.adapters.nvml`, :mod:`notebookd.adapters.simulated_gpus` and
:mod:`notebookd.testing.gpus`. All pass ``tests/contract/test_gpus_contract.py``. Reads raise
:class:`~notebookd.errors.GpusUnavailable` when the driver cannot be asked, which means *unknown*: never "no GPUs" and
never "idle". ``details["trouble"]`` of that error is a stable word for the cause where the driver gave one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from notebookd.domain.gpu import HEALTHY, GpuEvent, GpuFault, GpuHealth

__all__ = [
    "HEALTHY",
    "Gpu",
    "GpuEvent",
    "GpuFault",
    "GpuHealth",
    "GpuProcess",
    "GpuSample",
    "Gpus",
    "ProcessKind",
]

ProcessKind = Literal["compute", "graphics"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """A GPU as it is installed. ``uuid`` is its identity; ``index`` and ``pci_bus_id`` are for people, since
    neither is stable over boots."""

    uuid: str
    index: int
    pci_bus_id: str
    name: str
    memory_total_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuProcess:
    """A process on a GPU by its host pid. ``memory_used_bytes`` is None when the driver does not say."""

    pid: int
    memory_used_bytes: int | None
    kind: ProcessKind


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSample:
    """What a GPU is doing now. None means that this GPU does not tell, or could not at this moment.

    ``utilisation`` is 0 to 1; ``energy_j`` counts up since the driver was loaded. For a GPU that is lost every
    reading is None or zero and ``health`` says why: look at it first. An empty ``processes`` means that nobody is
    on it only where ``processes_seen``."""

    uuid: str
    memory_used_bytes: int
    utilisation: float | None = None
    temperature_c: float | None = None
    power_w: float | None = None
    energy_j: float | None = None
    processes: tuple[GpuProcess, ...] = ()
    processes_seen: bool = True
    health: GpuHealth = HEALTHY


class Gpus(Protocol):
    """The GPUs of this machine."""

    @property
    def cdi(self) -> bool:
        """Whether a lease reaches the container as the CDI device ``nvidia.com/gpu=<UUID>``. False when the GPUs
        are pretended: the container gets no device then."""
        ...

    async def inventory(self) -> tuple[Gpu, ...]:
        """Every GPU, by index. One that the driver lists no longer stays, as lost. Raises GpusUnavailable, also while
        released."""
        ...

    async def sample(self, *, for_people: bool = True) -> tuple[GpuSample, ...]:
        """One sample per GPU of the inventory, a lost one included. Without ``for_people`` what only people read (the
        temperature, the power, and what holds the clocks down) may be left out. Raises GpusUnavailable, also while
        released."""
        ...

    def take_events(self) -> tuple[GpuEvent, ...]:
        """What was reported since this was last called, oldest first. Neither blocks nor raises; what happens while
        nobody holds the driver (before the start, while released) is never reported."""
        ...

    async def release(self) -> None:
        """Let go of the driver, so that it can be reset or upgraded, until :meth:`acquire`. Idempotent. Raises
        GpusUnavailable when a call that hangs keeps hold of it; the next reads are refused all the same."""
        ...

    async def acquire(self) -> None:
        """Take the driver again. Idempotent. Raises GpusUnavailable when it cannot be."""
        ...
