# SPDX-License-Identifier: Apache-2.0
"""What one transfer needs next."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notebookd.domain.observed import Known, Unknown
from notebookd.domain.syncing import (
    MAX_ATTEMPTS,
    Clear,
    Interrupt,
    Launch,
    Progress,
    Report,
    Sync,
    SyncCause,
    SyncKind,
    SyncState,
    Transfer,
    drive,
)
from notebookd.domain.volumes import parse_volume
from tests.values import NOTEBOOK_ID, NOW, RUN_ID, after

AT_WORK = Known(Report(over=False, progress=Progress(total=4, processed=1)))
GONE = Known(None)


def sync(*transfers: Transfer, cancelled: bool = False) -> Sync:
    return Sync(
        id="s",
        notebook_id=NOTEBOOK_ID,
        run_id=RUN_ID,
        kind=SyncKind.PULL,
        cause=SyncCause.START,
        queued_at=NOW,
        transfers=transfers,
        cancelled=cancelled,
    )


def transfer(name: str = "a", state: SyncState = SyncState.QUEUED, **changes: object) -> Transfer:
    made = Transfer(id=name, volume_id=name, volume=parse_volume(f"c@S3:/{name}"), state=state)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_what_is_queued_begins_when_a_mover_is_free() -> None:
    waiting, errands = drive(sync(transfer()), {}, after(5), slots=0)
    assert (waiting.state, errands) == (SyncState.QUEUED, ())
    begun, errands = drive(waiting, {}, after(5), slots=1)
    assert begun.state is SyncState.RUNNING
    assert begun.started_at == after(5)
    assert errands == (Launch(waiting, begun.transfers[0]),)


def test_no_more_movers_begin_than_are_free() -> None:
    begun, errands = drive(sync(transfer("a"), transfer("b"), transfer("c")), {}, NOW, slots=2)
    assert [each.state for each in begun.transfers] == [SyncState.RUNNING, SyncState.RUNNING, SyncState.QUEUED]
    assert len(errands) == 2


@pytest.mark.parametrize(("ok", "state"), [(True, SyncState.DONE), (False, SyncState.FAILED)])
def test_a_mover_that_says_how_it_ended_is_believed_and_cleared(ok: bool, state: SyncState) -> None:
    said = Report(over=True, ok=ok, code="DATASYNC_X", message="so it was", progress=Progress(failed=2), facts={"v": 1})
    running = transfer(state=SyncState.RUNNING, attempts=1)
    done, errands = drive(sync(running), {"a": Known(said)}, after(9), slots=0)
    assert done.state is state
    assert done.ended_at == after(9)
    got = done.transfers[0]
    assert (got.code, got.message, got.progress.failed, got.facts) == ("DATASYNC_X", "so it was", 2, {"v": 1})
    assert errands == (Clear(running),)


def test_a_mover_that_died_is_sent_again_and_in_the_end_given_up() -> None:
    going = sync(transfer(state=SyncState.RUNNING, attempts=1))
    now_s = 0.0
    for attempt in range(2, MAX_ATTEMPTS + 1):
        going, errands = drive(going, {"a": GONE}, after(now_s), slots=0)
        assert going.transfers[0].attempts == attempt
        assert errands == (Launch(errands[0].sync, going.transfers[0]),)  # type: ignore[union-attr]
        now_s += 2 ** (attempt - 1)
        assert drive(going, {"a": GONE}, after(now_s - 0.1), slots=0) == (going, ()), "not at once again"
    over, errands = drive(going, {"a": GONE}, after(now_s), slots=0)
    assert (over.state, over.code, errands) == (SyncState.FAILED, "DATASYNC_ERROR", ())


@pytest.mark.parametrize("seen", [{}, {"a": Unknown("the engine is away")}, {"a": AT_WORK}])
def test_nothing_follows_from_a_mover_at_work_or_unseen(seen: dict[str, object]) -> None:
    going = sync(transfer(state=SyncState.RUNNING, attempts=1))
    assert drive(going, seen, NOW, slots=3) == (going, ())  # type: ignore[arg-type]


def test_what_nobody_waits_for_is_not_begun_and_what_has_begun_is_interrupted() -> None:
    unwanted = sync(transfer("a"), transfer("b", SyncState.RUNNING, attempts=1), cancelled=True)
    going, errands = drive(unwanted, {"b": AT_WORK}, after(1), slots=3)
    assert [each.state for each in going.transfers] == [SyncState.INTERRUPTED, SyncState.RUNNING]
    assert errands == (Interrupt(unwanted.transfers[1]),)
    over, errands = drive(going, {"b": GONE}, after(2), slots=3)
    assert (over.state, over.over, errands) == (SyncState.INTERRUPTED, True, ())


def test_what_ended_before_it_was_interrupted_has_ended() -> None:
    unwanted = sync(transfer("b", SyncState.RUNNING, attempts=1), cancelled=True)
    over, errands = drive(unwanted, {"b": Known(Report(over=True, ok=True, code="DATASYNC_DONE"))}, after(1), slots=0)
    assert over.state is SyncState.DONE
    assert errands == (Clear(unwanted.transfers[0]),)


def test_the_state_of_a_sync_is_what_its_transfers_amount_to() -> None:
    done, failed, queued = SyncState.DONE, SyncState.FAILED, SyncState.QUEUED
    for states, expected in (
        ((queued, queued), queued),
        ((done, queued), SyncState.RUNNING),
        ((failed, SyncState.RUNNING), SyncState.RUNNING),
        ((done, failed), failed),
        ((done, SyncState.INTERRUPTED), SyncState.INTERRUPTED),
        ((done, done), done),
    ):
        made = sync(*(transfer(str(place), state) for place, state in enumerate(states)))
        assert made.state is expected, states
