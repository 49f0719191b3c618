# SPDX-License-Identifier: Apache-2.0
"""What the driver's readings and reports mean for a GPU."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notebookd.domain.gpu import HEALTHY, UNMARKED, GpuEvent, GpuHealth, GpuMarks, Quarantine
from notebookd.domain.sickness import Diagnosis, Holder, ailing, diagnose, quarantined, with_mode
from notebookd.domain.xids import XIDS, Action, XidRules, xid_words
from tests.values import BOOT, NOTEBOOK_ID, NOW, OTHER_BOOT, RUN_ID, after

HOLDER = Holder(run_id=RUN_ID, notebook_id=NOTEBOOK_ID, owner="alice")
LOST = GpuHealth(ok=False, reason="it has fallen off the bus", fault="lost")
IN_QUARANTINE = GpuMarks(quarantine=Quarantine(at=NOW, boot_id=BOOT, message="Xid 79", xid=79))


def ecc(count: int) -> GpuHealth:
    return GpuHealth(ok=not count, reason=f"{count} memory errors", fault="ecc" if count else None, ecc_errors=count)


def reported(xid: int | None) -> GpuEvent:
    return GpuEvent(uuid="GPU-0", kind="ecc" if xid is None else "xid", xid=xid, at=after(1))


def look(
    health: GpuHealth = HEALTHY,
    *reports: GpuEvent,
    marks: GpuMarks = UNMARKED,
    holder: Holder | None = HOLDER,
    boot: str = BOOT,
) -> Diagnosis:
    return diagnose(health, reports, marks, holder=holder, boot_id=boot, now=after(2))


def types(found: Diagnosis) -> list[str]:
    return [note.type for note in found.notes]


def test_a_gpu_that_cannot_be_read_has_not_left_mig_mode() -> None:
    on = GpuHealth(ok=False, reason="MIG mode is on", mig=True, fault="mig")
    found = with_mode(look(on), on)
    assert (found.marks, types(found)) == (GpuMarks(mig=True), ["gpu.mig"])
    for unread in (on, LOST, GpuHealth(ok=False, fault="unreadable"), GpuHealth(ok=False, fault="reset-required")):
        assert with_mode(Diagnosis(marks=found.marks), unread) == Diagnosis(marks=found.marks)
    for read in (HEALTHY, ecc(1)):
        left = with_mode(Diagnosis(marks=found.marks), read)
        assert (left.marks, types(left)) == (UNMARKED, ["gpu.mig-off"])


def test_a_healthy_gpu_is_not_news() -> None:
    assert look() == Diagnosis(marks=UNMARKED)


@pytest.mark.parametrize("xid", [8, 13, 31, 39, 43, 45, 63, 68, 92, 94, 126, 135])
def test_an_xid_after_which_the_gpu_can_be_used_is_noted_and_nothing_follows(xid: int) -> None:
    found = look(HEALTHY, reported(xid))
    assert found.marks == UNMARKED
    assert [(note.type, dict(note.data)) for note in found.notes] == [
        ("gpu.xid", {"xid": xid, "message": f"Xid {xid}, {XIDS[xid].words}"})
    ]


@pytest.mark.parametrize("xid", [48, 62, 64, 74, 79, 95, 109, 119, 154, 171, 999])
def test_any_other_xid_is_quarantine_with_its_number_time_and_notebook(xid: int) -> None:
    found = look(HEALTHY, reported(xid))
    assert found.marks.quarantine is not None
    assert found.marks.quarantine.message.startswith(f"Xid {xid}")
    assert replace(found.marks.quarantine, message="") == Quarantine(
        at=after(1), boot_id=BOOT, message="", xid=xid, run_id=RUN_ID, notebook_id=NOTEBOOK_ID
    )
    assert types(found) == ["gpu.quarantined"]


@pytest.mark.parametrize("xid", [154, 48, 144, None])
@pytest.mark.parametrize(("recovery", "noted"), [("none", True), ("gpu-reset", False), (None, False)])
def test_the_recovery_action_decides_where_the_catalogue_asks_for_it(
    xid: int | None, recovery: str | None, noted: bool
) -> None:
    found = look(replace(HEALTHY, recovery=recovery), reported(xid))
    assert (found.marks.quarantine is None) == noted
    if xid == 154 and not noted:
        assert found.marks.quarantine is not None
        asked = ": the driver asks for gpu-reset" if recovery else ""
        assert found.marks.quarantine.message == f"Xid 154, GPU recovery action changed{asked}"


def test_the_configuration_stands_over_the_catalogue() -> None:
    rules = XidRules(overrides={94: Action.QUARANTINE, 109: Action.NOTE, 999: Action.NOTE, 154: Action.NOTE})
    for xid, noted in ((94, False), (109, True), (999, True), (154, True), (79, False)):
        found = diagnose(HEALTHY, [reported(xid)], UNMARKED, holder=None, boot_id=BOOT, now=NOW, rules=rules)
        assert (found.marks.quarantine is None) == noted, xid


def test_every_xid_of_the_catalogue_has_words_that_are_its_own() -> None:
    assert all(entry.words for entry in XIDS.values())
    assert xid_words(94) == "Xid 94, contained memory error: only the program that hit it is affected"
    assert xid_words(999) == "Xid 999, which NVIDIA's catalogue does not explain"


def test_a_double_bit_error_is_quarantine() -> None:
    found = look(HEALTHY, reported(None), holder=None)
    assert found.marks.quarantine is not None
    assert (found.marks.quarantine.xid, found.marks.quarantine.notebook_id) == (None, None)
    assert "double-bit" in found.marks.quarantine.message


def test_the_first_reason_stays_and_later_xids_are_noted() -> None:
    found = look(LOST, reported(63), reported(None), marks=IN_QUARANTINE)
    assert found.marks == IN_QUARANTINE
    assert types(found) == ["gpu.xid"]


@pytest.mark.parametrize("health", [LOST, replace(LOST, fault="reset-required"), ecc(2)])
def test_a_lasting_fault_is_quarantine_that_outlives_it(health: GpuHealth) -> None:
    found = look(health)
    assert found.marks.quarantine is not None
    assert found.marks.quarantine.message == health.reason
    assert look(HEALTHY, marks=found.marks) == Diagnosis(marks=found.marks)


@pytest.mark.parametrize("fault", ["mig", "unreadable"])
def test_a_fault_that_passes_is_not_remembered(fault: str) -> None:
    assert look(GpuHealth(ok=False, reason="r", fault=fault)) == Diagnosis(marks=UNMARKED)  # type: ignore[arg-type]


def test_a_boot_ends_the_quarantine_and_what_is_still_wrong_begins_another() -> None:
    well = look(marks=IN_QUARANTINE, boot=OTHER_BOOT)
    assert (well.marks, types(well)) == (UNMARKED, ["gpu.cleared"])
    still = look(LOST, marks=IN_QUARANTINE, boot=OTHER_BOOT)
    assert still.marks.quarantine is not None
    assert still.marks.quarantine.boot_id == OTHER_BOOT
    assert types(still) == ["gpu.cleared", "gpu.quarantined"]


def test_a_drain_outlives_a_boot() -> None:
    assert look(marks=replace(IN_QUARANTINE, drained=True), boot=OTHER_BOOT).marks == GpuMarks(drained=True)


def test_forgiven_memory_errors_are_no_news_and_one_more_is() -> None:
    forgiven = GpuMarks(forgiven_ecc=2)
    assert look(ecc(2), marks=forgiven) == Diagnosis(marks=forgiven)
    assert not ailing(ecc(2), forgiven)
    assert types(look(ecc(3), marks=forgiven)) == ["gpu.quarantined"]


def test_a_driver_loaded_anew_counts_memory_errors_from_zero() -> None:
    anew = look(ecc(0), marks=GpuMarks(forgiven_ecc=2)).marks
    assert anew.forgiven_ecc == 0
    assert types(look(ecc(1), marks=anew)) == ["gpu.quarantined"]


def test_a_gpu_is_put_in_quarantine_once() -> None:
    first = quarantined(UNMARKED, "a process stays", holder=HOLDER, boot_id=BOOT, now=NOW)
    assert types(first) == ["gpu.quarantined"]
    assert quarantined(first.marks, "another", holder=None, boot_id=BOOT, now=after(9)) == Diagnosis(marks=first.marks)
