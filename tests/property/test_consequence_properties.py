# SPDX-License-Identifier: Apache-2.0
"""Whatever a run goes through, its events, its bill and its leases tell the same story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from notebookd.domain.billing import Interval, Tariff
from notebookd.domain.clocks import Reading, wall_ms
from notebookd.domain.consequences import Billed, Consequences, consequences, labelled, touches_bill
from notebookd.domain.entry import Entry
from notebookd.domain.late_starts import LATE_AFTER
from notebookd.domain.run import EDGES, FINAL, Outcome, Run, RunState, Warned
from tests.values import BOOT, NOW, STOPPED_BY_ALICE, notebook, run

NEXT = {state: sorted(edge.target for edge in EDGES if edge.source is state) for state in RunState}
TARIFFS = st.sampled_from(
    [
        Tariff(),
        Tariff(states=frozenset({RunState.RUNNING, RunState.RESTARTING}), rates={"fake-80gb-1-gpu": 2_000_000}),
        Tariff(states=frozenset({RunState.PENDING})),
        Tariff(states=frozenset()),
    ]
)


def reading(at: datetime) -> Reading:
    """All clocks, going alike."""
    ms = wall_ms(at)
    return Reading(
        at_ms=ms, boot_ms=ms - wall_ms(NOW) + 1_000_000, awake_ms=ms - wall_ms(NOW) + 1_000_000, boot_id=BOOT
    )


class Life:
    """A run's commits, each applied to what was on record before."""

    def __init__(self, tariff: Tariff) -> None:
        self.tariff = tariff
        self.entry: Entry | None = None
        self.intervals: list[Interval] = []
        self.commits: list[tuple[Entry | None, Entry, Consequences]] = []
        self.at = NOW
        self.timeouts: dict[int, datetime] = {}
        """The deadline of each stay in RUNNING, by its place in the history."""

    def commit(self, after: Run) -> None:
        last = self.intervals[-1] if self.intervals and touches_bill(self.entry, after) else None
        changed = Entry(notebook=notebook(), run=after)
        billed = Billed(now=reading(self.at), tariff=self.tariff, last=last)
        entailed = consequences(self.entry, changed, billed, actor="alice", at=self.at)
        for interval in entailed.intervals:
            if self.intervals and self.intervals[-1].position == interval.position:
                self.intervals[-1] = interval
            else:
                self.intervals.append(interval)
        if after.state is RunState.RUNNING and after.timeout_at is not None:
            self.timeouts[len(after.history) - 1] = after.timeout_at
        self.commits.append((self.entry, changed, entailed))
        self.entry = changed


def moved(before: Run, state: RunState, at: datetime, *, finished: bool, lasts_s: int) -> Run:
    """``before`` as the table lets it go on, with what comes with that state."""
    after = replace(before, history=(*before.history, (at, state)))
    if state is RunState.RUNNING:
        after = replace(after, timeout_at=at + timedelta(seconds=lasts_s), container_started_at=at)
    if state in FINAL | {RunState.INTERRUPTING, RunState.FINALIZING} and after.outcome is None:
        after = replace(after, outcome=replace(STOPPED_BY_ALICE, state=state if state in FINAL else RunState.DONE))
    if state is RunState.FINALIZING and finished:
        after = replace(after, container_finished_at=at - timedelta(seconds=1))
    if after.holds and (state is RunState.FINALIZING or state in FINAL):
        after = replace(after, released_at=at)
    return after


@st.composite
def lives(draw: st.DrawFn) -> Life:
    """A run by edges of the table, with grants, warnings and changes of nothing that is told, in between."""
    life = Life(draw(TARIFFS))
    fresh = run(RunState.PENDING)
    life.commit(replace(fresh, history=((life.at, RunState.PENDING),), granted_at=None, gpus=()))
    for _ in range(draw(st.integers(0, 12))):
        assert life.entry is not None
        now = life.entry.run
        life.at += timedelta(seconds=draw(st.integers(0, 400)))
        doing = draw(st.sampled_from(["move", "move", "move", "grant", "warn", "note"]))
        if doing == "grant" and now.granted_at is None and now.state is RunState.PENDING:
            life.commit(replace(now, granted_at=life.at, gpus=("GPU-1",), container_started_at=life.at))
        elif doing == "warn" and now.timeout_at is not None:
            life.commit(replace(now, warned=Warned(deadline_at=now.timeout_at, before_s=draw(st.integers(60, 600)))))
        elif doing == "note":
            life.commit(replace(now, hindrance=draw(st.sampled_from(["", "refused"]))))
        elif doing == "move" and NEXT[now.state]:
            runs = RunState.RUNNING in NEXT[now.state] and draw(st.booleans())
            state = RunState.RUNNING if runs else draw(st.sampled_from(NEXT[now.state]))
            finished = draw(st.booleans())
            life.commit(moved(now, state, life.at, finished=finished, lasts_s=draw(st.integers(1, 400))))
    return life


def of_type(entailed: Consequences, kind: str) -> Sequence[object]:
    return [each for each in entailed.events if each.type == kind]


@given(lives())
def test_every_change_of_state_is_told_once_and_nothing_else_is(life: Life) -> None:
    for before, after, entailed in life.commits:
        changed = before is None or before.run.history != after.run.history
        assert len(of_type(entailed, "notebook.state")) == changed
        if changed:
            (told,) = of_type(entailed, "notebook.state")
            assert told.data["runState"] == after.run.state  # type: ignore[attr-defined]
            assert told.after == after.state  # type: ignore[attr-defined]
            assert entailed.notebook.updated_at >= after.notebook.updated_at


@given(lives())
def test_a_grant_and_a_release_are_told_exactly_when_compute_is_taken_and_given_back(life: Life) -> None:
    for before, after, entailed in life.commits:
        held = before is not None and before.run.holds
        assert len(of_type(entailed, "lease.granted")) == (
            after.run.granted_at is not None and not (before is not None and before.run.granted_at is not None)
        )
        assert len(of_type(entailed, "lease.released")) == (held and not after.run.holds)


@given(lives())
def test_a_stay_is_on_record_for_each_time_in_a_billed_state_and_only_the_present_one_is_open(life: Life) -> None:
    assert life.entry is not None
    entered = [position for position, (_, state) in enumerate(life.entry.run.history) if state in life.tariff.states]
    assert [each.position for each in life.intervals] == entered
    still = life.entry.run.state in life.tariff.states
    assert [each.length_ms is None for each in life.intervals] == [False] * (len(entered) - still) + [True] * still


@given(lives())
def test_no_stay_is_longer_than_the_run_was_in_its_state_nor_goes_on_past_its_deadline(life: Life) -> None:
    assert life.entry is not None
    history = life.entry.run.history
    for each in life.intervals:
        if each.length_ms is not None:
            entered, left = history[each.position][0], history[each.position + 1][0]
            assert 0 <= each.length_ms <= wall_ms(left) - wall_ms(entered)
            if each.state is RunState.RUNNING:
                assert each.length_ms <= wall_ms(life.timeouts[each.position]) - wall_ms(entered)


@given(lives(), st.sampled_from(["alice", "notebookd"]))
def test_what_is_committed_twice_entails_nothing_more(life: Life, actor: str) -> None:
    assert life.entry is not None
    billed = Billed(now=reading(life.at), tariff=life.tariff, last=None)
    assert not touches_bill(life.entry, life.entry.run)
    again = consequences(life.entry, life.entry, billed, actor=actor, at=life.at)
    assert (again.intervals, again.events, again.late_start_at, again.closes) == ((), (), None, False)
    assert again.notebook == life.entry.notebook


@given(lives())
def test_a_run_keeps_the_labels_that_its_notebook_has_when_it_ends(life: Life) -> None:
    before, kept = None, None
    for place, (_, after, _) in enumerate(life.commits):
        spec = replace(after.notebook.spec, labels={"place": str(place)})
        entry = Entry(notebook=replace(after.notebook, spec=spec), run=replace(after.run, labels=kept))
        entry = replace(entry, run=labelled(before, entry))
        ends = before is None or before.run.active
        expected = None if after.run.active else spec.labels if ends else kept
        assert entry.run.labels == expected
        before, kept = entry, entry.run.labels


@given(st.integers(0, 300), st.sampled_from([RunState.ERROR, RunState.INTERRUPTED]), st.booleans())
def test_a_start_that_booted_for_long_and_never_answered_is_remembered(
    boots_s: int, state: RunState, again: bool
) -> None:
    started = replace(run(RunState.PENDING), granted_at=NOW, gpus=("GPU-1",), container_started_at=NOW)
    started = replace(started, history=((NOW, RunState.PENDING),))
    at = NOW + timedelta(seconds=boots_s)
    outcome = Outcome(state=state, code="JOB_ERROR", message="it did not answer", again=again)
    ended = replace(started, outcome=outcome, history=(*started.history, (at, state)), released_at=at)
    before = Entry(notebook=notebook(), run=started)
    billed = Billed(now=reading(at), tariff=Tariff())
    entailed = consequences(before, replace(before, run=ended), billed, actor="notebookd", at=at)
    assert entailed.late_start_at == (at if timedelta(seconds=boots_s) >= LATE_AFTER and not again else None)
