# SPDX-License-Identifier: Apache-2.0
"""Which GPU is sick, from what the driver reports and reads, and what is remembered of it. Pure.

Not every trouble is the GPU's: a program that touches memory it does not own brings an Xid too.
:mod:`notebookd.domain.xids` says which Xids are noted and which put the GPU in quarantine; so do an uncorrectable
memory error and a fall off the bus. Quarantine outlives every restart of notebookd and ends with the boot or by an
admin's word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from notebookd.domain.gpu import GpuEvent, GpuHealth, GpuMarks, Quarantine
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.xids import NO_RECOVERY, XidRules, xid_words

_LASTING = frozenset({"lost", "reset-required", "ecc"})
"""Faults that need an admin or a boot even when the driver no longer shows them."""

_TABLE = XidRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """Who has a GPU now."""

    run_id: RunId
    notebook_id: NotebookId
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """Something to be put on record of a GPU: an event's type and its data."""

    type: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """A GPU's marks as they shall be, and what happened to it."""

    marks: GpuMarks
    notes: tuple[Note, ...] = ()


def ailing(health: GpuHealth, marks: GpuMarks) -> bool:
    """Whether the driver's reading alone speaks against the GPU; memory errors that were forgiven do not."""
    if health.fault == "ecc":
        return (health.ecc_errors or 0) > marks.forgiven_ecc
    return not health.ok


def diagnose(
    health: GpuHealth,
    reports: Sequence[GpuEvent],
    marks: GpuMarks,
    *,
    holder: Holder | None,
    boot_id: str,
    now: datetime,
    rules: XidRules = _TABLE,
) -> Diagnosis:
    """What one GPU's reading and the reports about it mean."""
    notes: list[Note] = []
    if marks.quarantine is not None and marks.quarantine.boot_id != boot_id:
        notes.append(Note(type="gpu.cleared", data={"message": "the host was booted anew"}))
        marks = replace(marks, quarantine=None, forgiven_ecc=0)
    if health.ecc_errors is not None and health.ecc_errors < marks.forgiven_ecc:
        marks = replace(marks, forgiven_ecc=health.ecc_errors)  # the driver was loaded anew and counts from zero
    for report in reports:
        if marks.quarantine is not None or not rules.quarantines(report.xid, health.recovery):
            if report.xid is not None:
                notes.append(Note(type="gpu.xid", data={"xid": report.xid, "message": xid_words(report.xid)}))
        else:
            marks, note = _quarantined(marks, _reported(report, health), report.xid, holder, boot_id, report.at)
            notes.append(note)
    if marks.quarantine is None and health.fault in _LASTING and ailing(health, marks):
        marks, note = _quarantined(marks, health.reason or str(health.fault), None, holder, boot_id, now)
        notes.append(note)
    return Diagnosis(marks=marks, notes=tuple(notes))


def with_mode(diagnosis: Diagnosis, health: GpuHealth) -> Diagnosis:
    """With a note when MIG mode was switched on or off. A GPU that cannot be read tells nothing of its mode."""
    marks = diagnosis.marks
    told = health.mig or health.fault in {None, "ecc"}
    if not told or health.mig is marks.mig:
        return diagnosis
    note = Note(type="gpu.mig", data={"message": health.reason}) if health.mig else Note(type="gpu.mig-off")
    return Diagnosis(marks=replace(marks, mig=health.mig), notes=(*diagnosis.notes, note))


def quarantined(marks: GpuMarks, message: str, *, holder: Holder | None, boot_id: str, now: datetime) -> Diagnosis:
    """Put a GPU in quarantine for a reason of ours; one that is there already stays as it is."""
    if marks.quarantine is not None:
        return Diagnosis(marks=marks)
    marks, note = _quarantined(marks, message, None, holder, boot_id, now)
    return Diagnosis(marks=marks, notes=(note,))


def _reported(report: GpuEvent, health: GpuHealth) -> str:
    if report.xid is None:
        return "an uncorrectable memory error (double-bit ECC)"
    asked = f": the driver asks for {health.recovery}" if health.recovery not in {None, NO_RECOVERY} else ""
    return f"{xid_words(report.xid)}{asked}"


def _quarantined(
    marks: GpuMarks, message: str, xid: int | None, holder: Holder | None, boot_id: str, at: datetime
) -> tuple[GpuMarks, Note]:
    quarantine = Quarantine(
        at=at,
        boot_id=boot_id,
        message=message,
        xid=xid,
        run_id=holder.run_id if holder else None,
        notebook_id=holder.notebook_id if holder else None,
    )
    data: dict[str, Any] = {"message": message}
    if xid is not None:
        data["xid"] = xid
    return replace(marks, quarantine=quarantine), Note(type="gpu.quarantined", data=data)
