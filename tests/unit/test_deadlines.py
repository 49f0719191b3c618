# SPDX-License-Identifier: Apache-2.0
"""What happens by itself, when, and who is told before."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from notebookd.domain import actions as act
from notebookd.domain.deadlines import Patience, Reason, deadline_of, due_warning, next_look, notice, warning_times
from notebookd.domain.observed import Known
from notebookd.domain.plan import LifecyclePolicy, Plan, Sight, plan
from notebookd.domain.run import FINAL, Run, RunState, Warned
from notebookd.domain.turns import answered, extended
from tests.values import BOOT, NOW, after, container, granted, notebook, run

_S = RunState
DAY, HOUR = 86400, 3600
PATIENCE = Patience()
POLICY = LifecyclePolicy()
STARTED = run(_S.RUNNING).state_since
END = after(7 * DAY)


def before_end(seconds: float) -> datetime:
    return after(7 * DAY - seconds)


def decide(made: Run, now: datetime, *, auto_restart: bool = False) -> Plan:
    sight = Sight(container=Known(container()), boot_id=BOOT)
    return plan(notebook(timeout_auto_restart=auto_restart), made, sight, POLICY, now)


def test_the_shipped_patience_is_seven_days_to_the_second() -> None:
    running = answered(replace(run(_S.PENDING), launched_at=NOW), POLICY, NOW)
    assert running.timeout_at is not None
    assert (running.timeout_at - NOW).total_seconds() == 604_800


@pytest.mark.parametrize(
    ("made", "reason", "at"),
    [
        (run(_S.PENDING), Reason.QUEUE_TIMEOUT, after(7 * DAY)),
        (granted(run(_S.PENDING), after(50)), Reason.START_TIMEOUT, after(950)),
        (run(_S.RUNNING), Reason.TIMEOUT, END),
        (run(_S.RESTARTING), Reason.START_TIMEOUT, after(2 + 930)),
    ],
    ids=["waiting", "booting", "running", "restarting"],
)
def test_each_state_that_can_last_too_long_has_one_deadline(made: Run, reason: Reason, at: datetime) -> None:
    deadline = deadline_of(notebook(), made, PATIENCE)
    assert deadline is not None
    assert (deadline.reason, deadline.at) == (reason, at)


@pytest.mark.parametrize("state", [_S.QUEUED, _S.INITIALIZING, _S.INTERRUPTING, _S.FINALIZING, *sorted(FINAL)])
def test_other_states_have_none(state: RunState) -> None:
    assert deadline_of(notebook(), run(state), PATIENCE) is None


@pytest.mark.parametrize(("again", "word"), [(True, "restarted as it is"), (False, "stopped")])
def test_the_deadline_says_what_follows(again: bool, word: str) -> None:
    deadline = deadline_of(notebook(timeout_auto_restart=again), run(_S.RUNNING), PATIENCE)
    assert deadline is not None
    assert word in deadline.why
    text = notice(notebook(timeout_auto_restart=again), deadline)
    assert word in text
    assert "2026-03-09 09:00 UTC" in text


def test_warnings_come_a_day_an_hour_and_ten_minutes_before() -> None:
    made = run(_S.RUNNING)
    now = STARTED
    for left in (DAY, HOUR, 600):
        planned = decide(made, now)
        assert planned == Plan(run=made, wake_at=before_end(left))
        now = before_end(left)
        (left_notice,) = decide(made, now).actions
        assert isinstance(left_notice, act.LeaveNotice)
        assert left_notice.warned == Warned(deadline_at=END, before_s=left)
        made = replace(made, warned=left_notice.warned)
    assert decide(made, now) == Plan(run=made, wake_at=END)
    assert decide(made, END).run.state is _S.INTERRUPTING


def test_warnings_that_were_slept_through_are_given_once_and_as_the_last() -> None:
    made = run(_S.RUNNING)
    (left_notice,) = decide(made, before_end(60)).actions
    assert isinstance(left_notice, act.LeaveNotice)
    assert left_notice.warned.before_s == 600
    assert decide(replace(made, warned=left_notice.warned), before_end(60)).actions == ()


def test_nobody_is_warned_a_day_before_the_end_of_what_lasts_an_hour() -> None:
    made = replace(run(_S.RUNNING), timeout_at=after(HOUR))
    deadline = deadline_of(notebook(), made, PATIENCE)
    assert deadline is not None
    assert [before for _, before in warning_times(deadline, STARTED, PATIENCE.warn_before_s)] == [600]
    assert due_warning(made, deadline, PATIENCE, after(5)) is None
    assert next_look(made, deadline, PATIENCE, after(5)) == after(HOUR - 600)


def test_a_deadline_that_moved_takes_its_notice_back_and_warns_anew() -> None:
    warned = replace(run(_S.RUNNING), warned=Warned(deadline_at=END, before_s=600))
    moved = replace(warned, timeout_at=after(8 * DAY))
    assert decide(moved, before_end(60)).actions == (act.RemoveNotice(Reason.TIMEOUT),)
    again = replace(moved, warned=None)
    (left_notice,) = decide(again, END).actions
    assert isinstance(left_notice, act.LeaveNotice)
    assert left_notice.warned == Warned(deadline_at=after(8 * DAY), before_s=DAY)


def test_an_extension_moves_the_deadline_and_nothing_else() -> None:
    made = run(_S.RUNNING)
    moved = extended(made, after(9 * DAY), PATIENCE)
    assert moved == replace(made, timeout_at=after(9 * DAY))


@pytest.mark.parametrize(
    ("until", "why"),
    [(before_end(1), "before its deadline"), (after(28 * DAY + 2), "at the latest")],
)
def test_an_extension_has_bounds(until: datetime, why: str) -> None:
    refused = extended(run(_S.RUNNING), until, PATIENCE)
    assert isinstance(refused, str)
    assert why in refused
    assert isinstance(extended(run(_S.RUNNING), after(28 * DAY + 1), PATIENCE), Run), "from its entry into RUNNING"


@pytest.mark.parametrize("state", [state for state in RunState if state is not _S.RUNNING])
def test_only_what_runs_is_extended(state: RunState) -> None:
    assert extended(run(state), after(9 * DAY), PATIENCE) == "it is not running"
