# SPDX-License-Identifier: Apache-2.0
"""Starts that held compute and came to nothing. Pure.

What an editor does before it answers is not billed, and its owner's configuration runs then. Whose starts repeatedly
hold compute for long and never answer waits behind all others for a while. Nobody is kept out: an idle machine serves
them.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from notebookd.domain.run import Run, RunState

LATE_AFTER = timedelta(minutes=2)
"""How long an editor may boot before its end in between counts."""
REMEMBERED_FOR = timedelta(hours=4)
REPEATED = 2
_BOOTING = frozenset({RunState.PENDING, RunState.RESTARTING})


def came_to_nothing(run: Run) -> bool:
    """Whether a run that is just ending had a container that booted for long and did not answer. What the platform is
    to blame for, and starts again, is none."""
    if run.outcome is None or run.outcome.again or run.container_started_at is None or len(run.history) < 2:
        return False
    since, state = run.history[-2]
    return state in _BOOTING and run.state_since - max(since, run.container_started_at) >= LATE_AFTER


def recent(times: Iterable[datetime], now: datetime) -> list[datetime]:
    """Those that still count."""
    return [each for each in times if now - each < REMEMBERED_FOR]


def waits_behind(times: Iterable[datetime], now: datetime) -> bool:
    """Whether an owner of such starts waits behind others."""
    return len(recent(times, now)) >= REPEATED
