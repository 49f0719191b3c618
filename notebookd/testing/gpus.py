# SPDX-License-Identifier: Apache-2.0
"""GPUs whose troubles a test chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from notebookd.errors import GpusUnavailable
from notebookd.ports.gpus import HEALTHY, Gpu, GpuEvent, GpuHealth, GpuProcess, GpuSample, ProcessKind

GIB = 1024**3


@dataclass(slots=True, kw_only=True)
class _Board:
    """One GPU and what a test made of it."""

    gpu: Gpu
    health: GpuHealth = HEALTHY
    lost: bool = False
    utilisation: float = 0.0
    energy_j: float = 0.0
    leftover_bytes: int = 0
    processes: list[GpuProcess] = field(default_factory=list)


class FakeGpus:
    """A :class:`~notebookd.ports.gpus.Gpus` with faults. UUIDs are ``GPU-00000000-…-0000000000NN`` by index.

    ``calls`` lists the names of the port's methods in the order they were called."""

    def __init__(
        self, count: int = 2, *, name: str = "NVIDIA Fake 80GB", memory_gib: int = 80, cdi: bool = True
    ) -> None:
        self._boards = {
            board.gpu.uuid: board
            for board in (_Board(gpu=fake_gpu(index, name=name, memory_gib=memory_gib)) for index in range(count))
        }
        self._cdi = cdi
        self._released = False
        self._unavailable: str | None = None
        self._events: list[GpuEvent] = []
        self.calls: list[str] = []

    @property
    def cdi(self) -> bool:
        """Whether leases reach containers as CDI devices."""
        return self._cdi

    @property
    def uuids(self) -> tuple[str, ...]:
        """The UUIDs installed, whatever the driver says."""
        return tuple(self._boards)

    async def inventory(self) -> tuple[Gpu, ...]:
        """Every GPU installed, by index."""
        self._answer("inventory")
        return tuple(board.gpu for board in self._boards.values())

    async def sample(self, *, for_people: bool = True) -> tuple[GpuSample, ...]:
        """What the test made of them."""
        self._answer("sample")
        samples = tuple(_sample(board) for board in self._boards.values())
        return samples if for_people else tuple(map(unread, samples))

    def take_events(self) -> tuple[GpuEvent, ...]:
        """What the test had them report."""
        taken, self._events = tuple(self._events), []
        return taken

    async def release(self) -> None:
        """Let go of the driver."""
        self.calls.append("release")
        self._released = True

    async def acquire(self) -> None:
        """Take it again."""
        self.calls.append("acquire")
        if self._unavailable is not None:
            raise GpusUnavailable(f"cannot ask the GPU driver: {self._unavailable}")
        self._released = False

    def become_unavailable(self, why: str = "driver not loaded") -> None:
        """Every read raises GpusUnavailable from now on."""
        self._unavailable = why

    def become_available(self) -> None:
        """The driver answers again."""
        self._unavailable = None

    def lose(self, uuid: str, reason: str = "the GPU has fallen off the bus") -> None:
        """The driver still lists it and every question about it fails."""
        self._boards[uuid].lost = True
        self._boards[uuid].health = GpuHealth(ok=False, reason=reason, fault="lost")

    def sicken(self, uuid: str, reason: str = "double-bit ECC errors") -> None:
        """It answers and is not to be trusted."""
        self._boards[uuid].health = GpuHealth(ok=False, reason=reason)

    def set_mig(self, uuid: str) -> None:
        """Someone turned MIG on."""
        self._boards[uuid].health = GpuHealth(ok=False, reason="MIG mode is on: unsupported", mig=True, fault="mig")

    def throttle(self, uuid: str, *reasons: str) -> None:
        """Its clocks are held down for these reasons."""
        self._boards[uuid].health = replace(self._boards[uuid].health, throttle=reasons)

    def report(self, uuid: str, xid: int | None, at: datetime) -> None:
        """The driver reports an Xid, or for None a double-bit ECC error."""
        self._events.append(GpuEvent(uuid=uuid, kind="ecc" if xid is None else "xid", xid=xid, at=at))

    def heal(self, uuid: str) -> None:
        """As if nothing had been."""
        self._boards[uuid].lost = False
        self._boards[uuid].health = HEALTHY

    def reorder(self, uuids: Sequence[str]) -> None:
        """Give indices in that order, as a boot may."""
        self._boards = {uuid: self._boards[uuid] for uuid in uuids}
        for index, board in enumerate(self._boards.values()):
            board.gpu = replace(board.gpu, index=index)

    def add_process(
        self, uuid: str, pid: int, *, memory_bytes: int | None = GIB, kind: ProcessKind = "compute"
    ) -> None:
        """A process takes memory on a GPU."""
        self._boards[uuid].processes.append(GpuProcess(pid=pid, memory_used_bytes=memory_bytes, kind=kind))

    def leave_memory(self, uuid: str, memory_bytes: int) -> None:
        """So much of its memory is in use and no process has it."""
        self._boards[uuid].leftover_bytes = memory_bytes

    def end_process(self, pid: int) -> None:
        """A process is gone from every GPU."""
        for board in self._boards.values():
            board.processes = [process for process in board.processes if process.pid != pid]

    def work(self, uuid: str, utilisation: float, *, energy_j: float = 0.0) -> None:
        """How busy a GPU is, and what that took in joules on top of what it had used."""
        self._boards[uuid].utilisation = utilisation
        self._boards[uuid].energy_j += energy_j

    def _answer(self, call: str) -> None:
        self.calls.append(call)
        if self._unavailable is not None:
            raise GpusUnavailable(f"cannot ask the GPU driver: {self._unavailable}")
        if self._released:
            raise GpusUnavailable("cannot ask the GPU driver: it was released", hint="run `notebookctl gpu acquire`")


def fake_gpu(index: int, *, name: str = "NVIDIA Fake 80GB", memory_gib: int = 80) -> Gpu:
    """A GPU as :class:`FakeGpus` installs it."""
    return Gpu(
        uuid=f"GPU-00000000-0000-0000-0000-{index:012d}",
        index=index,
        pci_bus_id=f"00000000:{index + 1:02X}:00.0",
        name=name,
        memory_total_bytes=memory_gib * GIB,
    )


def unread(sample: GpuSample) -> GpuSample:
    """A sample without what only people read."""
    return replace(sample, temperature_c=None, power_w=None, health=replace(sample.health, throttle=()))


def _sample(board: _Board) -> GpuSample:
    if board.lost:
        return GpuSample(uuid=board.gpu.uuid, memory_used_bytes=0, processes_seen=False, health=board.health)
    used = board.leftover_bytes + sum(process.memory_used_bytes or 0 for process in board.processes)
    return GpuSample(
        uuid=board.gpu.uuid,
        memory_used_bytes=min(used, board.gpu.memory_total_bytes),
        utilisation=board.utilisation,
        temperature_c=40.0,
        power_w=60.0,
        energy_j=board.energy_j,
        processes=tuple(board.processes),
        health=board.health,
    )
