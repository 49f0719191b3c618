# SPDX-License-Identifier: Apache-2.0
"""Turns that a run takes at what is done to it: the editor answers, somebody restarts or extends it, a start fails."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from notebookd.domain.container import Container
from notebookd.domain.deadlines import Patience
from notebookd.domain.run import Outcome, Run, RunState, advance, end

SLOW_S = 20.0
"""From when on an editor that does not answer is told of."""


def seen_running(run: Run, container: Container) -> Run:
    """``run`` with what is worth remembering of its running container."""
    return replace(
        run,
        container_started_at=container.started_at,
        container_id=container.id,
        container_pid=container.pid,
        container_finished_at=None,
        image_digest=container.image_digest or run.image_digest,
    )


def answered(run: Run, patience: Patience, now: datetime) -> Run:
    """The editor answered its probe: RUNNING, with a fresh deadline."""
    if run.state not in {RunState.PENDING, RunState.RESTARTING}:
        return run
    timeout_at = now + timedelta(seconds=patience.max_running_s)
    return replace(advance(run, RunState.RUNNING, now), timeout_at=timeout_at, restart_from=None, hindrance="")


def unanswered(run: Run, seen: str, now: datetime) -> Run:
    """The editor was asked and is not up. What was seen of it is worth telling when it takes longer than editors do."""
    if run.state not in {RunState.PENDING, RunState.RESTARTING}:
        return run
    begun = max(run.state_since, run.launched_at or run.state_since)
    return replace(run, hindrance=seen) if now - begun >= timedelta(seconds=SLOW_S) else run


def extended(run: Run, until: datetime, patience: Patience) -> Run | str:
    """``run`` with its deadline moved to ``until``, or why that is not possible."""
    begun = run.last(RunState.RUNNING)
    if run.state is not RunState.RUNNING or begun is None or run.timeout_at is None:
        return "it is not running"
    latest = begun + timedelta(seconds=patience.max_extension_s)
    if until < run.timeout_at:
        return f"that is before its deadline as it stands, {run.timeout_at:%Y-%m-%d %H:%M:%S} UTC"
    if until > latest:
        return f"it may run until {latest:%Y-%m-%d %H:%M:%S} UTC at the latest"
    return replace(run, timeout_at=until)


def restart(run: Run, now: datetime) -> Run:
    """``run`` on its way through a restart of the container it has."""
    return replace(advance(run, RunState.RESTARTING, now), restart_from=run.container_started_at)


def start_failed(run: Run, why: Outcome, now: datetime, *, nothing_made: bool) -> Run:
    """Its container could not be made or started: on to the outcome, straight when there surely is no container."""
    if nothing_made and run.container_started_at is None:
        run = replace(run, launched_at=None)
    return end(run, why, now)
