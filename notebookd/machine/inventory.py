# SPDX-License-Identifier: Apache-2.0
"""What is known of the machine's compute, looked up once and kept until somebody looks again."""

from __future__ import annotations

from collections.abc import Mapping

from notebookd.domain.gpu import (
    UNMARKED,
    GpuHealth,
    GpuMarks,
    GpuUnit,
    Lease,
    Occupant,
    leftover,
    strangers,
)
from notebookd.domain.observed import Known, Seen, Unknown
from notebookd.domain.plan import HeldGpus
from notebookd.domain.resources import Flavor, HostCompute, derive_flavors
from notebookd.domain.rules import RulesNow
from notebookd.domain.run import Run
from notebookd.domain.sickness import ailing
from notebookd.errors import GpusUnavailable
from notebookd.machine.occupants import Account, Attribution
from notebookd.ports.gpus import Gpu, Gpus, GpuSample
from notebookd.ports.processes import Processes
from notebookd.ports.store import Reader
from notebookd.units import readable_size

_UNSAMPLED = GpuHealth(ok=False, fault="lost", reason="it is not sampled")


class Inventory:
    """GPUs, their last samples, who is on them, and the flavors that follow. ``units`` keeps the last good view beside
    ``seen``; ``trouble`` is the driver's word for why nothing can be seen."""

    def __init__(
        self,
        gpus: Gpus,
        store: Reader,
        processes: Processes,
        host: HostCompute,
        rules: RulesNow,
        account: Account | None = None,
    ) -> None:
        self._gpus = gpus
        self._store = store
        self._rules = rules
        self._attribution = Attribution(processes, account or Account())
        self._found: tuple[Gpu, ...] = ()
        self._occupants: Mapping[str, tuple[Occupant, ...]] = {}
        self.host = host
        self.seen: Seen[tuple[GpuUnit, ...]] = Unknown("nobody has looked yet")
        self.trouble: str | None = None
        self.samples: dict[str, GpuSample] = {}
        self._last: tuple[GpuUnit, ...] = ()

    async def look(self, *, for_people: bool = False) -> Seen[tuple[GpuUnit, ...]]:
        """Ask the driver, ``for_people`` also what nobody else reads. A GPU that vanished from one look to the next
        stays on the board as lost."""
        try:
            found = await self._gpus.inventory()
            samples = {sample.uuid: sample for sample in await self._gpus.sample(for_people=for_people)}
        except GpusUnavailable as fault:
            self.trouble = str(fault.details.get("trouble", "driver-fault"))
            self.seen = Unknown(fault.message)
            return self.seen
        occupants = self._attribution.attribute(samples.values(), self._store)
        self.trouble = None
        self.samples = samples
        self._found = found
        self._occupants = occupants
        return self.judge()

    def judge(self) -> Seen[tuple[GpuUnit, ...]]:
        """Make up the units from the last look, the marks and the leases as they are now."""
        marks = self._store.list_gpu_marks()
        leases = {lease.gpu_uuid: lease for lease in self._store.list_leases()}
        self._last = tuple(
            self._unit(gpu, marks.get(gpu.uuid, UNMARKED), self._occupants.get(gpu.uuid, ()), leases.get(gpu.uuid))
            for gpu in self._found
        )
        self.seen = Known(self._last)
        return self.seen

    def _unit(self, gpu: Gpu, marks: GpuMarks, occupants: tuple[Occupant, ...], lease: Lease | None) -> GpuUnit:
        sample = self.samples.get(gpu.uuid)
        health = sample.health if sample else _UNSAMPLED
        sick = ailing(health, marks)
        unreadable = health.fault == "unreadable" or not (sample and sample.processes_seen)
        reason = health.reason if sick else marks.quarantine.message if marks.quarantine else None
        if unreadable and reason is None:
            reason = "nobody can tell which processes are on it"
        left = leftover(sample.memory_used_bytes if sample else 0, occupants, self._rules().leftover)
        withheld = left > 0 and lease is None and not self._rules().leftover.leased
        if withheld and reason is None:
            reason = f"{left_words(left)}, and [gpus] lease_leftover is false"
        return GpuUnit(
            uuid=gpu.uuid,
            index=gpu.index,
            model=gpu.name,
            memory_bytes=gpu.memory_total_bytes,
            pci_bus_id=gpu.pci_bus_id,
            drained=marks.drained,
            drain_reason=marks.drain_reason,
            quarantined=marks.quarantine is not None or (sick and health.fault in {None, "ecc", "reset-required"}),
            foreign=bool(strangers(occupants, lease.run_id if lease else None, self._rules().foreign)),
            lost=health.fault == "lost",
            unsupported=health.mig,
            unreadable=unreadable,
            leftover_bytes=left,
            withheld=withheld,
            reason=reason,
            occupants=occupants,
        )

    @property
    def units(self) -> tuple[GpuUnit, ...]:
        """The GPUs as last seen."""
        return self._last

    def held_by(self, run: Run) -> Seen[HeldGpus]:
        """What the last look says of the GPUs that a run holds or held."""
        if isinstance(self.seen, Unknown):
            return Unknown(self.seen.reason)
        units = {unit.uuid: unit for unit in self._last}
        held = [units[uuid] for uuid in run.gpus if uuid in units]
        absent = next((uuid for uuid in run.gpus if uuid not in units), None)
        sick = next((_words(unit, unit.reason or "it is sick") for unit in held if unit.sick), None)
        return Known(
            HeldGpus(
                sick=sick or (f"GPU {absent} is not in the machine" if absent else None),
                taken=next((self._taken(unit, run) for unit in held if unit.foreign), None),
                lingering=tuple(
                    (unit.uuid, lingering)
                    for unit in held
                    if not unit.quarantined and (lingering := _lingering(unit, run)) is not None
                ),
            )
        )

    def _taken(self, unit: GpuUnit, run: Run) -> str:
        return _words(unit, f"{people(strangers(unit.occupants, run.id, self._rules().foreign))} on it")

    def strangers_on(self, unit: GpuUnit, lease: Lease | None) -> tuple[Occupant, ...]:
        """Who is on a GPU without holding it."""
        return strangers(unit.occupants, lease.run_id if lease else None, self._rules().foreign)

    def leftover_on(self, run: Run) -> tuple[str, ...]:
        """What there is to say of memory that nobody holds on the GPUs of a run."""
        units = (unit for unit in self._last if unit.uuid in run.gpus and unit.leftover_bytes)
        return tuple(_words(unit, left_words(unit.leftover_bytes)) for unit in units)

    def flavors(self) -> tuple[Flavor, ...]:
        """What can be asked for."""
        return derive_flavors(self._last, self.host, self._rules().shares)


def people(occupants: tuple[Occupant, ...]) -> str:
    """Who they are, in words."""
    named = [f"{each.user}'s {each.command} (pid {each.pid})" for each in occupants]
    return f"{', '.join(named)} {'are' if len(named) > 1 else 'is'}"


def left_words(left_bytes: int) -> str:
    """That memory is held by nobody, in words."""
    return f"{readable_size(left_bytes)} of its memory is held by no process that is seen"


def _words(unit: GpuUnit, what: str) -> str:
    return f"GPU {unit.index} ({unit.uuid}): {what}"


def _lingering(unit: GpuUnit, run: Run) -> str | None:
    if unit.unreadable and not unit.lost:
        return "nobody can tell which processes are on it"
    mine = tuple(each for each in unit.occupants if each.run_id == run.id)
    return f"{people(mine)} still on it" if mine else None
