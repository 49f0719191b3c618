# SPDX-License-Identifier: Apache-2.0
"""What a change of a notebook and its run entails: the one place that says it, for every commit of a run.

Whoever changes a run (a person by the API, the plan, the allocation, an idle stop) says only what the run is then.
What else must be written in the same transaction follows from the two values, before and after:

- *Events.* A notebook or a run that enters another state, or a new run, is one ``notebook.state``. A grant is
  ``lease.granted``, a release ``lease.released``, a warning that was given ``notebook.warning``. They are on record
  exactly when the change is: an event that is told of no change, or a change that no event tells of, cannot be.
- *Intervals.* A stay in a billed state opens with the commit in which the run enters the state, and closes with the
  commit in which it leaves. So no crash can bill a stay twice, or forget one. Where the container ended earlier than
  anybody noticed, the stay ends there (see :func:`notebookd.domain.billing.closed`); where that becomes known only
  after it was closed, it is amended.
- *Leases.* A run holds its compute from the commit that grants it to the commit that releases it. The store makes lease
  rows of the run that it is given, so a GPU is leased exactly when a run on record holds it.
- *Late starts.* A start that held compute for long and never answered is remembered of its owner.
- *Labels.* A run that ends keeps the labels that its notebook has then, so that a new label changes no past bill.

All of it is pure: the same change entails the same, and no change entails nothing. What must be looked up first (the
last interval, when the container was seen last, the clocks) comes in as :class:`Billed`. Most commits change nothing of
the bill; :func:`touches_bill` says whether the last interval must be looked up at all.

Example. A notebook is RUNNING, its user stops it: the run enters INTERRUPTING. That entails one ``notebook.state`` from
RUNNING to STOPPING, and the open stay gets its length, up to now, but never beyond the run's deadline. The lease stays:
the container is still there. When it is gone the run enters FINALIZING with ``released_at`` set: ``lease.released``,
and a ``notebook.state`` from STOPPING to STOPPING, whose data has the run's own state. If the engine says by then that
the container ended before the stop came, the closed stay is amended.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from notebookd.domain.billing import Departure, Interval, Tariff, amended, bill_of, checkpointed, closed, opened
from notebookd.domain.clocks import Reading
from notebookd.domain.deadlines import Reason, warning_event
from notebookd.domain.entry import Entry
from notebookd.domain.event import Event
from notebookd.domain.late_starts import came_to_nothing
from notebookd.domain.notebook import Notebook
from notebookd.domain.run import FINAL, Run, RunState

_TELLING = FINAL | {RunState.INTERRUPTING, RunState.FINALIZING}
"""Where the outcome is told: before, it may be written and its run still go on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Billed:
    """What the bill stands on: the clocks ``now``, today's tariff, the ``last`` interval of the run (None where it has
    none, or :func:`touches_bill` says that it does not matter), and the reading at which its container was ``seen`` to
    run last, where that is later than what is on record."""

    now: Reading
    tariff: Tariff
    last: Interval | None = None
    seen: Reading | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Consequences:
    """What is to be written with a change: the notebook, with its time of change; ``intervals`` in their order;
    ``late_start_at``, where a start came to nothing; and the events, in their order."""

    notebook: Notebook
    intervals: tuple[Interval, ...] = ()
    late_start_at: datetime | None = None
    events: tuple[Event, ...] = ()
    closes: bool = False
    """Whether an open stay ends with it."""


def touches_bill(before: Entry | None, run: Run) -> bool:
    """Whether the change may close or amend an interval on record."""
    was = _was(before, run)
    return was is not None and (was.history != run.history or _finished(was, run) is not None)


def labelled(before: Entry | None, after: Entry) -> Run:
    """The run, with the labels of its notebook where it ends with this change."""
    was = _was(before, after.run)
    if after.run.active or (was is not None and not was.active):
        return after.run
    return replace(after.run, labels=dict(after.notebook.spec.labels))


def consequences(before: Entry | None, after: Entry, billed: Billed, *, actor: str, at: datetime) -> Consequences:
    """What follows from the change, made by ``actor`` at that time. ``before`` is None for a new notebook, and has
    another run where the run is a new one."""
    notebook, run = after.notebook, after.run
    moved = before is None or before.run.id != run.id or before.run.state is not run.state
    moved = moved or (before is not None and before.state is not after.state)
    if moved:
        notebook = replace(notebook, updated_at=max(at, notebook.updated_at))
    was = _was(before, run)
    intervals = () if was == run else tuple(_intervals(was, after, billed))
    return Consequences(
        notebook=notebook,
        intervals=intervals,
        closes=billed.last is not None and billed.last.length_ms is None and len(intervals) > 0,
        late_start_at=run.state_since if was is not None and _is_late(was, run) else None,
        events=tuple(_events(before, after, moved=moved, actor=actor, at=at)),
    )


def _was(before: Entry | None, run: Run) -> Run | None:
    """The same run before the change."""
    return before.run if before is not None and before.run.id == run.id else None


def _is_late(was: Run, run: Run) -> bool:
    return was != run and was.outcome is None and came_to_nothing(run)


def _intervals(was: Run | None, after: Entry, billed: Billed) -> list[Interval]:
    run, last = after.run, billed.last
    written: list[Interval] = []
    moved = was is None or was.history != run.history
    if was is not None and last is not None:
        finished_at = _finished(was, run)
        if last.length_ms is None and moved:
            freshest = last if billed.seen is None else checkpointed(last, billed.seen)
            written.append(closed(freshest, _departure(was, run), billed.now))
        elif last.length_ms is not None and finished_at is not None and last.state is RunState.RUNNING:
            written.append(amended(last, finished_at))
    if moved and run.state in billed.tariff.states:
        written.append(opened(bill_of(after.notebook, run), run, billed.tariff, billed.now))
    return written


def _finished(was: Run, run: Run) -> datetime | None:
    """When its container ended, where that is known with this change."""
    return run.container_finished_at if run.container_finished_at != was.container_finished_at else None


def _departure(was: Run, run: Run) -> Departure:
    running = was.state is RunState.RUNNING
    gone = run.state is RunState.FINALIZING and was.state is not RunState.INTERRUPTING
    return Departure(
        finished_at=run.container_finished_at if gone else None,
        gone=gone,
        deadline_at=was.timeout_at if running else None,
    )


def _events(before: Entry | None, after: Entry, *, moved: bool, actor: str, at: datetime) -> list[Event]:
    notebook, run = after.notebook, after.run
    events: list[Event] = []
    if moved:
        events.append(
            Event(
                type="notebook.state",
                at=at,
                actor=actor,
                notebook_id=notebook.id,
                run_id=run.id,
                owner=notebook.owner,
                before=before.state if before is not None else None,
                after=after.state,
                data=_said_of(run),
            )
        )
    if run.warned is not None and before is not None and run.warned != before.run.warned:
        restarts = notebook.spec.timeout_auto_restart
        events.append(warning_event(notebook, run, Reason.TIMEOUT, run.timeout_at or at, at, restarts=restarts))
    if run.granted_at is not None and (before is None or before.run.granted_at is None):
        events.append(_lease_event("lease.granted", notebook, run, at))
    if run.released_at is not None and before is not None and before.run.holds:
        events.append(_lease_event("lease.released", notebook, before.run, at))
    return events


def _said_of(run: Run) -> dict[str, Any]:
    data: dict[str, Any] = {"runState": str(run.state)}
    if run.outcome is not None and run.state in _TELLING:
        data |= {"outcome": str(run.outcome.state), "code": run.outcome.code, "message": run.outcome.message}
    if run.exit_code is not None:
        data["exitCode"] = run.exit_code
    return data


def _lease_event(kind: str, notebook: Notebook, run: Run, at: datetime) -> Event:
    data = {"gpus": list(run.gpus), "flavor": run.resources.flavor, "units": run.resources.units}
    return Event(type=kind, at=at, notebook_id=notebook.id, run_id=run.id, owner=notebook.owner, data=data)
