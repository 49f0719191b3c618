# SPDX-License-Identifier: Apache-2.0
"""Where the time of a start went: the steps from the wish to the editor's answer, and how long each took."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise

from notebookd.domain.run import Run, RunState

PREPARED = "files prepared"
CREATED = "container created"
STARTED = "container started"
ASKED = "editor asked first"
_STARTING = frozenset({RunState.QUEUED, RunState.INITIALIZING, RunState.PENDING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """A step that was done ``at``, and the seconds since the step before; never negative, whatever the clock did."""

    step: str
    at: datetime
    seconds: float


def timings(run: Run) -> tuple[Timing, ...]:
    """The steps of a run's start, as far as it got, in the order in which they were done. The first took no time."""
    steps = sorted(_steps(run), key=lambda step: step[1])
    if not steps:
        return ()
    following = (
        Timing(step=name, at=at, seconds=max(0.0, (at - before).total_seconds()))
        for (_, before), (name, at) in pairwise(steps)
    )
    return (Timing(step=steps[0][0], at=steps[0][1], seconds=0.0), *following)


def _steps(run: Run) -> Iterator[tuple[str, datetime]]:
    yield "accepted", run.queued_at
    if run.queued_at != (pending := run.first(RunState.PENDING)) and pending is not None:
        yield "data in place", pending
    if run.granted_at is not None:
        yield "compute granted", run.granted_at
    if run.launched_at is not None:
        yield "start on record", run.launched_at
    yield from run.trace
    if (answered := run.first(RunState.RUNNING)) is not None:
        yield "editor answered", answered
    elif (given_up := next((at for at, state in run.history if state not in _STARTING), None)) is not None:
        yield "given up", given_up
