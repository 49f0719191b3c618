# SPDX-License-Identifier: Apache-2.0
"""What will happen to a notebook by itself, and when: one derivation that timers, warnings and ``why`` all read.

A deadline is never stored beside the run: it follows from what is. So it cannot be forgotten by a crash, cannot
disagree with the run, and one that passed while nobody looked is simply overdue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from notebookd.domain.event import Event
from notebookd.domain.notebook import Notebook
from notebookd.domain.run import Run, RunState, Warned
from notebookd.times import format_duration
from notebookd.wire import rfc3339


class Reason(StrEnum):
    """What a deadline is about."""

    TIMEOUT = "timeout"
    IDLE_STOP = "idle-stop"
    QUEUE_TIMEOUT = "queue-timeout"
    START_TIMEOUT = "start-timeout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadline:
    """Something that will happen ``at``. ``why`` is a sentence, ``moved_by`` what somebody can do about it."""

    reason: Reason
    at: datetime
    why: str
    moved_by: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long things may take, in seconds. ``warn_before_s`` is how long before the end of a run its user is told."""

    max_running_s: float = 7 * 86400
    max_extension_s: float = 28 * 86400
    stop_grace_s: float = 30
    start_timeout_s: float = 900
    queue_timeout_s: float = 7 * 86400
    warn_before_s: tuple[float, ...] = (86400, 3600, 600)


def deadline_of(notebook: Notebook, run: Run, patience: Patience) -> Deadline | None:
    """The deadline of a run in the state that it is in."""
    match run.state:
        case RunState.PENDING if run.granted_at is None:
            waited = format_duration(patience.queue_timeout_s)
            return Deadline(
                reason=Reason.QUEUE_TIMEOUT,
                at=run.state_since + timedelta(seconds=patience.queue_timeout_s),
                why=f"nobody waits for compute longer than {waited}: it is stopped then",
            )
        case RunState.PENDING if run.granted_at is not None:
            return _start(run.granted_at + timedelta(seconds=patience.start_timeout_s), patience)
        case RunState.RESTARTING:
            allowed_s = patience.start_timeout_s + patience.stop_grace_s
            return _start(run.state_since + timedelta(seconds=allowed_s), patience)
        case RunState.RUNNING if run.timeout_at is not None:
            again = notebook.spec.timeout_auto_restart
            return Deadline(
                reason=Reason.TIMEOUT,
                at=run.timeout_at,
                why=f"its longest running time is up: it is {'restarted as it is' if again else 'stopped'}",
                moved_by="notebookctl extend" if again else "notebookctl extend, or patch --restart-on-timeout",
            )
        case _:
            return None


def _start(at: datetime, patience: Patience) -> Deadline:
    allowed = format_duration(patience.start_timeout_s)
    return Deadline(
        reason=Reason.START_TIMEOUT,
        at=at,
        why=f"an editor that does not answer within {allowed} of its start has failed",
    )


def warning_times(deadline: Deadline, since: datetime, warn_before_s: Sequence[float]) -> list[tuple[datetime, float]]:
    """When to warn of a deadline, and how long before it each is, in order. What would be said before ``since``, when
    the matter began, is not said."""
    times = [(deadline.at - timedelta(seconds=before_s), before_s) for before_s in warn_before_s]
    return sorted((at, before_s) for at, before_s in times if at > since)


def due_warning(run: Run, deadline: Deadline, patience: Patience, now: datetime) -> Warned | None:
    """The warning to give now: the latest that is due, if it was not given. Warnings that were slept through are
    one."""
    due = [before_s for at, before_s in warning_times(deadline, run.state_since, patience.warn_before_s) if at <= now]
    if not due:
        return None
    warned = Warned(deadline_at=deadline.at, before_s=due[-1])
    given = run.warned
    if given is not None and given.deadline_at == warned.deadline_at and given.before_s <= warned.before_s:
        return None
    return warned


def next_look(run: Run, deadline: Deadline | None, patience: Patience, now: datetime) -> datetime | None:
    """When a run's deadline or one of its warnings is due next."""
    if deadline is None:
        return None
    if deadline.reason is not Reason.TIMEOUT:
        return deadline.at
    times = [at for at, _ in warning_times(deadline, run.state_since, patience.warn_before_s) if at > now]
    return min([deadline.at, *times])


def notice(notebook: Notebook, deadline: Deadline) -> str:
    """The text that is left in the workspace of a notebook that is about to end."""
    lines = [
        f"Notice of notebookd for the notebook {notebook.spec.name} ({notebook.id}):",
        "",
        f"At {deadline.at:%Y-%m-%d %H:%M} UTC {deadline.why}.",
        "Everything under /workspace stays. What is in memory only (kernels, terminals) is lost.",
    ]
    if deadline.moved_by:
        lines.append(f"To change that: {deadline.moved_by}.")
    return "\n".join(lines) + "\n"


def idle_deadline(stops_at: datetime) -> Deadline:
    """The deadline of a notebook that nobody uses."""
    return Deadline(
        reason=Reason.IDLE_STOP,
        at=stops_at,
        why="it will have been idle for as long as it may: it is stopped",
        moved_by="any use of it, or notebookctl label NAME notebookd/idle-stop=off",
    )


def warning_event(notebook: Notebook, run: Run, reason: Reason, due_at: datetime, at: datetime, **more: Any) -> Event:
    """Somebody is told ``at`` a time what will happen to their notebook ``due_at`` another."""
    left_s = max(0, round((due_at - at).total_seconds()))
    data = {"reason": str(reason), "at": rfc3339(due_at), "leftSeconds": left_s, **more}
    return Event(
        type="notebook.warning", at=at, notebook_id=notebook.id, run_id=run.id, owner=notebook.owner, data=data
    )
