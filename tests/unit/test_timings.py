# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from notebookd.domain import actions as act
from notebookd.domain.compute import Resources
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.run import Run, RunState
from notebookd.domain.timings import CREATED, PREPARED, STARTED, timings
from notebookd.reconciler.trace import Trace
from notebookd.testing.clock import FakeClock

T = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
RUN = Run(
    id=RunId("r"),
    notebook_id=NotebookId("n"),
    number=1,
    resources=Resources(flavor="cpu", units=1, gpu=False, cpus=1, memory_bytes=1),
    image="i:1",
    command=("x",),
    uid=1,
    probe="/",
    history=((T, RunState.PENDING),),
)


def at(ms: int) -> datetime:
    return T + timedelta(milliseconds=ms)


def test_a_start_is_told_step_by_step() -> None:
    run = replace(
        RUN,
        granted_at=at(5),
        launched_at=at(8),
        trace=((PREPARED, at(10)), (CREATED, at(60)), (STARTED, at(160))),
        history=((T, RunState.PENDING), (at(500), RunState.RUNNING), (at(900), RunState.RESTARTING)),
    )
    assert [(each.step, round(each.seconds * 1000)) for each in timings(run)] == [
        ("accepted", 0),
        ("compute granted", 5),
        ("start on record", 3),
        ("files prepared", 2),
        ("container created", 50),
        ("container started", 100),
        ("editor answered", 340),
    ]


def test_a_run_that_got_nowhere_was_accepted() -> None:
    assert [each.step for each in timings(RUN)] == ["accepted"]


def test_a_start_that_failed_tells_when_it_was_given_up() -> None:
    ended = ((T, RunState.PENDING), (at(900), RunState.INTERRUPTING), (at(950), RunState.ERROR))
    run = replace(RUN, granted_at=at(5), history=ended)
    assert [(each.step, each.at) for each in timings(run)][1:] == [("compute granted", at(5)), ("given up", at(900))]


def test_bringing_data_in_is_a_step_of_its_own() -> None:
    run = replace(RUN, history=((T, RunState.QUEUED), (at(1), RunState.INITIALIZING), (at(9), RunState.PENDING)))
    assert [(each.step, each.at) for each in timings(run)] == [("accepted", T), ("data in place", at(9))]


def test_a_note_waits_for_the_next_write_and_the_first_one_counts() -> None:
    clock = FakeClock()
    trace = Trace(clock)
    trace.note(RUN, PREPARED)
    first = clock.now()
    clock.step(1)
    trace.note(RUN, PREPARED)
    trace.note(RUN, CREATED)
    noted = trace.onto(RUN)
    assert noted.trace == ((PREPARED, first), (CREATED, clock.now()))
    assert trace.onto(noted) is noted
    trace.note(RUN, PREPARED)
    assert trace.onto(noted) is noted


def test_what_was_noted_is_written_when_the_run_is_written_anyway() -> None:
    trace = Trace(FakeClock())
    assert trace.after(act.PrepareFiles(), RUN) is RUN
    assert trace.after(act.CreateContainer(), RUN) is RUN
    started = trace.after(act.StartContainer(), RUN)
    assert [step for step, _ in started.trace] == [PREPARED, CREATED, STARTED]


def test_nothing_is_noted_of_a_restart_and_a_removed_container_leaves_nothing() -> None:
    trace = Trace(FakeClock())
    restarting = replace(RUN, history=(*RUN.history, (at(1), RunState.RESTARTING)))
    assert trace.after(act.StartContainer(), restarting) is restarting
    trace.after(act.PrepareFiles(), RUN)
    trace.after(act.RemoveContainer(), RUN)
    assert trace.onto(RUN) is RUN
