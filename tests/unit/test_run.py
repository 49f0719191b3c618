# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import product

import pytest

from notebookd.domain.run import (
    EDGES,
    FINAL,
    INITIAL,
    IllegalTransition,
    NotebookState,
    Outcome,
    Run,
    RunState,
    advance,
    diagram,
    end,
    notebook_state,
    release,
    stopped_at,
)
from tests.values import NOW, STOPPED_BY_ALICE, after, granted, launched, run

_S = RunState
LEGAL = {(edge.source, edge.target) for edge in EDGES}
ACTIVE = [state for state in RunState if state not in FINAL]
LATER = after(3600)


@pytest.mark.parametrize(("source", "target"), sorted(LEGAL))
def test_every_edge_is_a_legal_change_and_is_remembered(source: RunState, target: RunState) -> None:
    before = run(source)
    moved = advance(before, target, LATER)
    assert (moved.state, moved.state_since) == (target, LATER)
    assert moved.history == (*before.history, (LATER, target))
    assert replace(moved, history=before.history) == before


@pytest.mark.parametrize(("source", "target"), sorted(set(product(RunState, RunState)) - LEGAL))
def test_what_is_not_in_the_table_is_refused_and_changes_nothing(source: RunState, target: RunState) -> None:
    before = run(source)
    copy = replace(before)
    with pytest.raises(IllegalTransition, match=f"{source} to {target}"):
        advance(before, target, LATER)
    assert before == copy


def test_no_edge_is_listed_twice() -> None:
    assert len(LEGAL) == len(EDGES)


def test_every_state_can_be_reached_and_every_active_one_can_end() -> None:
    reached, frontier = set(INITIAL), set(INITIAL)
    while frontier:
        frontier = {target for source, target in LEGAL if source in frontier} - reached
        reached |= frontier
    assert reached == set(RunState)
    ending, grown = set(FINAL), True
    while grown:
        more = {source for source, target in LEGAL if target in ending} - ending
        ending |= more
        grown = bool(more)
    assert ending == set(RunState)


def test_nothing_leaves_a_final_state_but_a_late_push() -> None:
    assert {source for source, _ in LEGAL if source in FINAL} == {_S.SYNC_FAILED}
    assert {target for source, target in LEGAL if source is _S.SYNC_FAILED} == FINAL - {_S.SYNC_FAILED}


@pytest.mark.parametrize("state", [_S.PENDING, _S.RUNNING, _S.RESTARTING])
@pytest.mark.parametrize("outcome", [_S.DONE, _S.INTERRUPTED, _S.TIMEOUT, _S.FAILED, _S.ERROR])
def test_a_run_that_had_a_container_ends_by_way_of_interrupting_and_finalizing(
    state: RunState, outcome: RunState
) -> None:
    wish = Outcome(state=outcome, code="C", message="m")
    ending = end(launched(run(state)), wish, LATER)
    assert (ending.state, ending.outcome) == (_S.INTERRUPTING, wish)
    assert ending.holds, "the GPUs are held until the container is gone"
    gone = end(launched(run(state)), wish, LATER, container_gone=True)
    assert (gone.state, gone.outcome) == (_S.FINALIZING, wish)
    assert gone.holds, "a process of it may still be on a GPU"
    assert advance(gone, outcome, LATER).state is outcome


@pytest.mark.parametrize("state", [_S.QUEUED, _S.INITIALIZING, _S.PENDING])
@pytest.mark.parametrize("outcome", [_S.INTERRUPTED, _S.FAILED, _S.ERROR])
@pytest.mark.parametrize("gone", [False, True])
def test_a_run_without_a_container_ends_at_once(state: RunState, outcome: RunState, gone: bool) -> None:
    wish = Outcome(state=outcome, code="C", message="m")
    ended = end(granted(run(state)), wish, LATER, container_gone=gone)
    assert (ended.state, ended.outcome, ended.released_at) == (outcome, wish, LATER)
    assert not ended.active
    assert not ended.holds


@pytest.mark.parametrize("state", [_S.INTERRUPTING, _S.FINALIZING, *sorted(FINAL)])
def test_the_first_outcome_stays(state: RunState) -> None:
    before = run(state)
    assert end(before, Outcome(state=_S.ERROR, code="LATE", message="too late"), LATER) is before


def test_a_stop_of_a_waiting_run_has_no_compute_to_release() -> None:
    ended = end(run(_S.PENDING), STOPPED_BY_ALICE, LATER)
    assert ended.released_at is None
    assert release(ended, LATER) is ended


def test_compute_is_released_once() -> None:
    held = granted(run())
    freed = release(held, LATER)
    assert (held.holds, freed.holds, freed.released_at) == (True, False, LATER)
    assert release(freed, after(9999)).released_at == LATER


def test_time_never_goes_back_in_a_history() -> None:
    ahead = run(_S.RUNNING)
    assert advance(ahead, _S.INTERRUPTING, NOW - timedelta(days=1)).state_since == ahead.state_since


def test_running_time_counts_running_alone() -> None:
    stretches = ((0, _S.PENDING), (10, _S.RUNNING), (100, _S.RESTARTING), (130, _S.RUNNING), (200, _S.INTERRUPTING))
    made = run(_S.PENDING, history=tuple((after(at), state) for at, state in stretches))
    assert made.running_time(after(10**6)) == timedelta(seconds=90 + 70)
    assert replace(made, history=made.history[:2]).running_time(after(25)) == timedelta(seconds=15)


def test_running_time_is_not_negative_when_the_wall_clock_was_set_back() -> None:
    assert run(_S.RUNNING).running_time(NOW - timedelta(days=1)) == timedelta()


def test_firsts_and_lasts_of_a_history() -> None:
    stretches = ((0, _S.PENDING), (10, _S.RUNNING), (100, _S.RESTARTING), (130, _S.RUNNING))
    made = run(_S.PENDING, history=tuple((after(at), state) for at, state in stretches))
    assert (made.queued_at, made.first(_S.RUNNING), made.last(_S.RUNNING)) == (NOW, after(10), after(130))
    assert (made.first(_S.DONE), made.last(_S.DONE, _S.ERROR)) == (None, None)
    assert made.last(_S.PENDING, _S.RESTARTING) == after(100)


@pytest.mark.parametrize(
    ("made", "at"),
    [
        (run(_S.PENDING), None),
        (run(_S.RUNNING), None),
        (run(_S.INTERRUPTING), after(2)),
        (run(_S.FINALIZING), after(2)),
        (run(_S.DONE), after(2)),
        (end(run(_S.PENDING), STOPPED_BY_ALICE, after(7)), after(7)),
    ],
)
def test_stopped_at_is_when_it_stopped_serving(made: Run, at: object) -> None:
    assert stopped_at(made) == at


def test_waiting_and_holding_are_read_off_the_run() -> None:
    assert run(_S.PENDING).waiting
    assert not granted(run(_S.PENDING)).waiting
    assert not run(_S.QUEUED).waiting
    assert granted(run(_S.PENDING)).holds
    assert not run(_S.FINALIZING).holds


def test_a_notebook_shows_its_latest_run_unless_it_is_being_deleted() -> None:
    shown = {state: notebook_state(state, deleting=False) for state in RunState}
    assert {state for state in RunState if shown[state] is NotebookState.STARTING} == {
        _S.QUEUED,
        _S.INITIALIZING,
        _S.PENDING,
    }
    assert {state for state in RunState if shown[state] is NotebookState.STOPPING} == {_S.INTERRUPTING, _S.FINALIZING}
    assert {state for state in RunState if shown[state] is NotebookState.STOPPED} == {
        _S.DONE,
        _S.INTERRUPTED,
        _S.TIMEOUT,
    }
    for same in ("RUNNING", "RESTARTING", "FAILED", "ERROR", "SYNC_FAILED"):
        assert shown[RunState(same)] == same
    assert {notebook_state(state, deleting=True) for state in RunState} == {NotebookState.DELETING}


def test_the_diagram_draws_every_edge() -> None:
    drawn = diagram()
    assert drawn.startswith("stateDiagram-v2\n")
    for edge in EDGES:
        assert f"    {edge.source} --> {edge.target}: {edge.when}\n" in drawn
    assert drawn.count("[*] -->") == len(INITIAL)
    assert drawn.count("--> [*]") == len(FINAL)
