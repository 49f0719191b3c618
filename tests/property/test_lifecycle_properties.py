# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from notebookd.domain.run import EDGES, FINAL, INITIAL, IllegalTransition, Outcome, Run, RunState, advance, end, release
from tests.values import NOW, granted, launched, run

LEGAL = {(edge.source, edge.target) for edge in EDGES}

moments = st.integers(-10_000, 10_000).map(lambda seconds: NOW + timedelta(seconds=seconds))
outcomes = st.sampled_from(sorted(FINAL - {RunState.SYNC_FAILED})).map(
    lambda state: Outcome(state=state, code="C", message="m")
)
steps = st.lists(st.tuples(st.sampled_from(list(RunState)), moments), max_size=30)
starts = st.sampled_from([run(RunState.QUEUED), run(RunState.PENDING), granted(run(RunState.PENDING))])


def walk(start: Run, asked: list[tuple[RunState, datetime]]) -> Run:
    """Ask for every change, take those that are legal."""
    for target, at in asked:
        try:
            start = advance(start, target, at)
        except IllegalTransition:
            continue
    return start


@given(start=starts, asked=steps)
def test_whatever_is_asked_a_history_follows_the_table_and_the_clock(
    start: Run, asked: list[tuple[RunState, datetime]]
) -> None:
    walked = walk(start, asked)
    assert walked.history[0][1] in INITIAL
    for (earlier, source), (later, target) in pairwise(walked.history):
        assert (source, target) in LEGAL
        assert earlier <= later


@given(start=starts, asked=steps, now=moments)
def test_running_time_is_never_negative_nor_longer_than_the_run(
    start: Run, asked: list[tuple[RunState, datetime]], now: datetime
) -> None:
    walked = walk(start, asked)
    spent = walked.running_time(now)
    assert timedelta() <= spent <= max(now, walked.state_since) - walked.queued_at


@given(
    state=st.sampled_from([state for state in RunState if state not in FINAL]),
    outcome=outcomes,
    second=outcomes,
    at=moments,
    gone=st.booleans(),
    had_container=st.booleans(),
)
def test_a_run_can_be_ended_from_anywhere_once(
    state: RunState, outcome: Outcome, second: Outcome, at: datetime, gone: bool, had_container: bool
) -> None:
    before = run(state)
    if state is RunState.PENDING and had_container:
        before = launched(before)
    if before.launched_at is None and outcome.state in {RunState.DONE, RunState.TIMEOUT}:
        return  # only an editor can exit, or run out of its time
    ended = end(before, outcome, at, container_gone=gone)
    assert ended.outcome == (before.outcome or outcome)
    assert ended.state in FINAL | {RunState.INTERRUPTING, RunState.FINALIZING}
    assert ended.holds == (before.holds and before.launched_at is not None)
    assert end(ended, second, at) == ended


@given(at=moments, later=moments)
def test_release_is_idempotent(at: datetime, later: datetime) -> None:
    held = granted(run(RunState.PENDING))
    assert release(release(held, at), later) == replace(held, released_at=at)
