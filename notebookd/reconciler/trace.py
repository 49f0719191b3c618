# SPDX-License-Identifier: Apache-2.0
"""Noting when each step of a start was done.

Nothing is committed for the sake of a note: it waits in memory until the run is written anyway. A daemon that dies in
between has forgotten it, and the step is missing in the run's timings.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from notebookd.domain import actions as act
from notebookd.domain import timings
from notebookd.domain.ids import RunId
from notebookd.domain.run import Run, RunState
from notebookd.ports.clock import Clock

_STEPS: dict[type, str] = {
    act.PrepareFiles: timings.PREPARED,
    act.CreateContainer: timings.CREATED,
    act.StartContainer: timings.STARTED,
}


class Trace:
    """Notes of the runs that are being started."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._notes: dict[RunId, dict[str, datetime]] = {}

    def after(self, action: act.Action, run: Run) -> Run:
        """``run``, for which the action was carried out, with what was noted if it is to be written in any case."""
        if (step := _STEPS.get(type(action))) is not None:
            self.note(run, step)
        if isinstance(action, act.RemoveContainer):
            self._notes.pop(run.id, None)
        if isinstance(action, act.StartContainer) or run.state is RunState.RUNNING:
            return self.onto(run)
        return run

    def note(self, run: Run, step: str) -> None:
        """The step of a run's start is done now; of a repeated one the first time counts."""
        if run.state is RunState.PENDING:
            self._notes.setdefault(run.id, {}).setdefault(step, self._clock.now())

    def onto(self, run: Run) -> Run:
        """``run`` with what was noted of it."""
        known = dict(run.trace)
        fresh = {step: at for step, at in self._notes.pop(run.id, {}).items() if step not in known}
        return replace(run, trace=(*run.trace, *fresh.items())) if fresh else run
