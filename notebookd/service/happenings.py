# SPDX-License-Identifier: Apache-2.0
"""Events of what a person did to a notebook that is no change of its state."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from notebookd.domain.actor import Actor
from notebookd.domain.entry import Entry
from notebookd.domain.event import Event
from notebookd.domain.run import Run
from notebookd.wire import rfc3339


def extension(entry: Entry, moved: Run, actor: Actor, at: datetime) -> Event:
    """Its deadline was moved to that of ``moved``."""
    before, after = entry.run.timeout_at or at, moved.timeout_at or at
    return happened("notebook.extended", entry, actor, at, {"from": rfc3339(before), "until": rfc3339(after)})


def hurry(entry: Entry, actor: Actor, at: datetime) -> Event:
    """It is to stop without waiting for its data."""
    return happened("notebook.hurried", entry, actor, at, {})


def start_asked(entry: Entry, actor: Actor, at: datetime) -> Event:
    """It is to start again once it has stopped."""
    return happened("notebook.start-asked", entry, actor, at, {})


def happened(kind: str, entry: Entry, actor: Actor, at: datetime, data: dict[str, Any]) -> Event:
    """Something of that kind was done to a notebook and its latest run."""
    return Event(
        type=kind,
        at=at,
        actor=actor.signature,
        notebook_id=entry.notebook.id,
        run_id=entry.run.id,
        owner=entry.notebook.owner,
        data=data,
    )
