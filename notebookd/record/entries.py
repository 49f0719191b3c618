# SPDX-License-Identifier: Apache-2.0
"""Committing a run as it shall be, with all that this entails."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from notebookd.domain.consequences import consequences, labelled
from notebookd.domain.entry import Entry
from notebookd.domain.event import PLATFORM
from notebookd.domain.ids import RunId
from notebookd.domain.notebook import Notebook
from notebookd.domain.run import Run, successor
from notebookd.domain.syncing import Sync
from notebookd.ports.store import Store, Transaction
from notebookd.record.late_starts import note_late_start
from notebookd.record.meter import Meter
from notebookd.record.syncs import write_sync

_EVENTS_AT_ONCE = 2000


class Stale(Exception):
    """Somebody else changed the notebook or its run in between: look again."""


async def forget_events(store: Store, before: datetime) -> None:
    """Forget the events from before that time; some at once, lest anybody wait long for his turn to write."""
    while (oldest := store.list_events(after=0, limit=1, notebook_id=None, owner=None)) and oldest[0].at < before:
        async with store.transaction() as tx:
            await tx.forget_events(before, at_most=_EVENTS_AT_ONCE)
        if store.first_event_id() == oldest[0].id:
            return  # the newest of all, which stays


async def write_entry(
    tx: Transaction, before: Entry | None, notebook: Notebook, run: Run, *, meter: Meter, actor: str, at: datetime
) -> Entry:
    """Write notebook and run inside ``tx``, and all that this entails: see :mod:`notebookd.domain.consequences`. There
    is no other way to write a run."""
    run = labelled(before, Entry(notebook=notebook, run=run))
    after = Entry(notebook=notebook, run=run)
    entailed = consequences(before, after, meter.billed(before, run), actor=actor, at=at)
    notebook = entailed.notebook
    if before is None or notebook != before.notebook:
        notebook = await tx.put_notebook(notebook)
    if before is None or run != before.run:
        run = await tx.put_run(run)
        await meter.put(tx, run.id, entailed)
        await note_late_start(tx, meter.store, notebook.owner, entailed.late_start_at)
    for event in entailed.events:
        await tx.append(event)
    return Entry(notebook=notebook, run=run)


async def commit(
    store: Store,
    entry: Entry,
    run: Run,
    at: datetime,
    *,
    meter: Meter,
    again: bool = False,
    syncs: Sequence[Sync] = (),
    actor: str = PLATFORM,
) -> Entry:
    """Commit ``run`` over ``entry`` with its ``syncs``, and ``again`` the new run that follows it. Raises
    :class:`Stale` when ``entry`` is not the latest any more."""
    async with store.transaction() as tx:
        current = store.find_entry(entry.notebook.id)
        if current is None or current.run.id != entry.run.id:
            raise Stale
        if (current.notebook.version, current.run.version) != (entry.notebook.version, entry.run.version):
            raise Stale  # also a label or auto-restart: whoever wrote it was told that it counts
        for sync in syncs:
            await write_sync(tx, store, sync, entry.notebook, at=at)
        ended = await write_entry(tx, current, current.notebook, run, meter=meter, actor=actor, at=at)
        if not again:
            return ended
        notebook = replace(ended.notebook, token=secrets.token_urlsafe(32))
        following = successor(ended.run, RunId(str(uuid.uuid4())), at)
        asked = ended.run.following
        starter = asked.actor if asked is not None else actor
        return await write_entry(tx, ended, notebook, following, meter=meter, actor=starter, at=at)
