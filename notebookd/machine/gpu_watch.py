# SPDX-License-Identifier: Apache-2.0
"""Looking at the GPUs and putting on record what was seen: sickness, strangers, a driver that comes and goes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from notebookd.domain.entry import Entry
from notebookd.domain.event import Event
from notebookd.domain.gpu import HEALTHY, UNMARKED, GpuEvent, GpuMarks, GpuUnit, Occupant
from notebookd.domain.ids import RunId
from notebookd.domain.observed import Known, Seen, Unknown
from notebookd.domain.plan import HeldGpus
from notebookd.domain.rules import RulesNow
from notebookd.domain.run import Run
from notebookd.domain.sickness import Diagnosis, Holder, Note, diagnose, quarantined, with_mode
from notebookd.errors import GpusUnavailable
from notebookd.machine.gpu_meter import GpuMeter
from notebookd.machine.inventory import Inventory
from notebookd.ports.clock import Clock
from notebookd.ports.gpus import Gpus
from notebookd.ports.store import Store, Transaction
from notebookd.ports.wake import ALLOCATION, Wake

log = logging.getLogger(__name__)

RELEASED = "gpus_released"
"""Remembered of the driver: the boot in which an admin let go of it; empty since he took it back."""
_TROUBLE = "gpus_trouble"
_WATCHED_FOR_S = 60.0
_IDLE_LOOK_S = 60.0
"""How often to look while no GPU is held or waited for, and nobody looks at the board."""


class GpuWatch:
    """The one who looks. Looks come one after the other; what is new is on record before a look returns. Notebooks
    whose GPUs are not as they were are woken, and the allocation when GPUs may be had that could not be before."""

    def __init__(
        self,
        gpus: Gpus,
        inventory: Inventory,
        store: Store,
        clock: Clock,
        wake: Wake,
        rules: RulesNow,
    ) -> None:
        self._gpus = gpus
        self._inventory = inventory
        self._store = store
        self._clock = clock
        self._wake = wake
        self._rules = rules
        self._meter = GpuMeter(store, clock)
        self._lock = asyncio.Lock()
        self._watched_until = 0.0
        self.dozing = False
        """Whether the next look is far off, because nobody had a use for one."""
        self._reports: tuple[GpuEvent, ...] = ()
        self._told: dict[RunId, Seen[HeldGpus]] = {}
        self._leasable: frozenset[str] = frozenset()

    async def stay_released(self) -> None:
        """At a start, before the first look: what an admin let go of in this boot is not taken behind his back."""
        if self._store.find_meta(RELEASED) == self._clock.boot_id():
            log.info("the GPU driver stays released: `notebookctl gpu acquire` takes it again")
            with contextlib.suppress(GpusUnavailable):
                await self._gpus.release()

    def attend(self) -> None:
        """Somebody looks at the board: look often for a while."""
        self._watched_until = self._clock.boottime() + _WATCHED_FOR_S

    async def turn(self) -> datetime:
        """One round of watching; returns when the next is due."""
        await self.look()
        busy = self._clock.boottime() < self._watched_until or any(
            entry.run.resources.gpu for entry in self._store.list_unsettled()
        )
        self.dozing = not busy
        busy_s = self._rules().look_every_s
        pause_s = busy_s if busy else max(busy_s, _IDLE_LOOK_S)
        return self._clock.now() + timedelta(seconds=pause_s)

    async def look(self, *, for_people: bool = False) -> Seen[tuple[GpuUnit, ...]]:
        """Look at the GPUs now and record what is new. ``for_people`` it asks also for what nobody else reads."""
        async with self._lock:
            seen = await self._inventory.look(for_people=for_people)
            holders = {entry.run.id: entry for entry in self._store.list_unsettled() if entry.run.holds}
            self._reports += self._gpus.take_events()
            wrote = await self._record(holders)
            self._reports = ()
            if isinstance(seen, Known):
                seen = self._inventory.judge() if wrote else seen
                await self._meter.add(self._store.list_leases(), self._inventory.samples)
            self._tell(seen, holders)
            return seen

    async def held_by(self, run: Run) -> Seen[HeldGpus]:
        """What a look now shows of the GPUs that a run holds."""
        await self.look()
        return self._inventory.held_by(run)

    async def quarantine(self, gpu_uuid: str, message: str, entry: Entry) -> None:
        """Keep a GPU from everybody because of what a run left on it."""
        async with self._store.transaction() as tx:
            marks = self._store.list_gpu_marks().get(gpu_uuid, UNMARKED)
            found = quarantined(
                marks, message, holder=_holder(entry), boot_id=self._clock.boot_id(), now=self._clock.now()
            )
            await self._write(tx, gpu_uuid, marks, found, entry)

    async def _record(self, holders: Mapping[RunId, Entry]) -> bool:
        """Whether there was something to write."""
        marks = self._store.list_gpu_marks()
        leases = {lease.gpu_uuid: lease for lease in self._store.list_leases()}
        found: list[tuple[str, Diagnosis, Entry | None]] = []
        for unit in self._inventory.units:
            lease = leases.get(unit.uuid)
            entry = holders.get(lease.run_id) if lease else None
            before = marks.get(unit.uuid, UNMARKED)
            diagnosis = self._diagnose(unit, before, entry)
            if isinstance(self._inventory.seen, Known):
                diagnosis = _with_strangers(diagnosis, self._inventory.strangers_on(unit, lease))
                sample = self._inventory.samples.get(unit.uuid)
                diagnosis = with_mode(diagnosis, sample.health) if sample is not None else diagnosis
            if diagnosis.notes or diagnosis.marks != before:
                found.append((unit.uuid, diagnosis, entry))
        trouble = self._trouble_note()
        if not found and trouble is None:
            return False
        async with self._store.transaction() as tx:
            for uuid, diagnosis, entry in found:
                await self._write(tx, uuid, marks.get(uuid, UNMARKED), diagnosis, entry)
            if trouble is not None:
                await tx.put_meta(_TROUBLE, self._inventory.trouble or "")
                await tx.append(Event(type=trouble.type, at=self._clock.now(), data=trouble.data))
        return True

    def _diagnose(self, unit: GpuUnit, marks: GpuMarks, entry: Entry | None) -> Diagnosis:
        sample = self._inventory.samples.get(unit.uuid)
        known = isinstance(self._inventory.seen, Known) and sample is not None
        return diagnose(
            sample.health if known and sample is not None else HEALTHY,
            [report for report in self._reports if report.uuid == unit.uuid],
            marks,
            holder=_holder(entry),
            boot_id=self._clock.boot_id(),
            now=self._clock.now(),
            rules=self._rules().xids,
        )

    def _trouble_note(self) -> Note | None:
        """The driver went silent, or answers again, or is silent for another reason."""
        seen, trouble = self._inventory.seen, self._inventory.trouble
        if (trouble or "") == (self._store.find_meta(_TROUBLE) or ""):
            return None
        if isinstance(seen, Unknown):
            return Note(type="gpus.unavailable", data={"trouble": trouble, "message": seen.reason})
        return Note(type="gpus.available")

    async def _write(
        self, tx: Transaction, gpu_uuid: str, before: GpuMarks, found: Diagnosis, entry: Entry | None
    ) -> None:
        if found.marks != before:
            await tx.put_gpu_marks(gpu_uuid, found.marks)
        for note in found.notes:
            data: dict[str, Any] = {"gpu": gpu_uuid, **note.data}
            log.warning("GPU %s: %s %s", gpu_uuid, note.type, dict(note.data))
            await tx.append(
                Event(
                    type=note.type,
                    at=self._clock.now(),
                    notebook_id=entry.notebook.id if entry else None,
                    run_id=entry.run.id if entry else None,
                    owner=entry.notebook.owner if entry else None,
                    data=data,
                )
            )

    def _tell(self, seen: Seen[tuple[GpuUnit, ...]], holders: Mapping[RunId, Entry]) -> None:
        told: dict[RunId, Seen[HeldGpus]] = {}
        for run_id, entry in holders.items():
            if entry.run.gpus:
                told[run_id] = self._inventory.held_by(entry.run)
                if run_id in self._told and self._told[run_id] != told[run_id]:
                    self._wake(entry.notebook.id)
        self._told = told
        leasable = (
            frozenset(unit.uuid for unit in seen.value if unit.leasable) if isinstance(seen, Known) else frozenset()
        )
        if leasable - self._leasable:
            self._wake(ALLOCATION)
        self._leasable = leasable


def _holder(entry: Entry | None) -> Holder | None:
    if entry is None:
        return None
    return Holder(run_id=entry.run.id, notebook_id=entry.notebook.id, owner=entry.notebook.owner)


def _with_strangers(diagnosis: Diagnosis, found: tuple[Occupant, ...]) -> Diagnosis:
    """With a note when strangers came or went."""
    marks = diagnosis.marks
    if bool(found) is marks.foreign:
        return diagnosis
    people = [
        {"pid": each.pid, "user": each.user, "command": each.command, "memory": each.memory_bytes} for each in found
    ]
    note = Note(type="gpu.foreign", data={"processes": people}) if found else Note(type="gpu.foreign-gone")
    return Diagnosis(marks=replace(marks, foreign=bool(found)), notes=(*diagnosis.notes, note))
