# SPDX-License-Identifier: Apache-2.0
"""Committing a run as it shall be, with the event that says so."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from notebookd.domain.deadlines import Reason
from notebookd.domain.entry import Entry
from notebookd.domain.event import PLATFORM, Event
from notebookd.domain.ids import RunId
from notebookd.domain.notebook import Notebook
from notebookd.domain.run import FINAL, Run, RunState, notebook_state, successor
from notebookd.domain.syncing import Sync
from notebookd.ports.store import Store, Transaction
from notebookd.record.meter import Meter
from notebookd.record.syncs import write_sync
from notebookd.wire import rfc3339

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
    """Write notebook and run inside ``tx``, what that means for the bill, and the event of the change of state, if it
    is one."""
    old = notebook_state(before.run.state, deleting=before.notebook.deleting_at is not None) if before else None
    new = notebook_state(run.state, deleting=notebook.deleting_at is not None)
    moved = before is None or before.run.id != run.id or before.run.state is not run.state or old is not new
    if moved:
        notebook = replace(notebook, updated_at=max(at, notebook.updated_at))
    if before is None or notebook != before.notebook:
        notebook = await tx.put_notebook(notebook)
    if before is None or run != before.run:
        run = await tx.put_run(run)
        await meter.note(tx, before, notebook, run)
    if moved:
        await tx.append(
            Event(
                type="notebook.state",
                at=at,
                actor=actor,
                notebook_id=notebook.id,
                run_id=run.id,
                owner=notebook.owner,
                before=old,
                after=new,
                data=_data(run),
            )
        )
    if run.warned is not None and before is not None and run.warned != before.run.warned:
        restarts = notebook.spec.timeout_auto_restart
        await tx.append(warning_event(notebook, run, Reason.TIMEOUT, run.timeout_at or at, at, restarts=restarts))
    if run.granted_at is not None and (before is None or before.run.granted_at is None):
        await tx.append(_lease_event("lease.granted", notebook, run, at))
    if run.released_at is not None and before is not None and before.run.holds:
        await tx.append(_lease_event("lease.released", notebook, before.run, at))
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


def _data(run: Run) -> dict[str, Any]:
    data: dict[str, Any] = {"runState": str(run.state)}
    if run.outcome is not None and (run.state in FINAL or run.state in {RunState.INTERRUPTING, RunState.FINALIZING}):
        data |= {"outcome": str(run.outcome.state), "code": run.outcome.code, "message": run.outcome.message}
    if run.exit_code is not None:
        data["exitCode"] = run.exit_code
    return data


def warning_event(notebook: Notebook, run: Run, reason: Reason, due_at: datetime, at: datetime, **more: Any) -> Event:
    """Somebody is told ``at`` a time what will happen to his notebook ``due_at`` another."""
    left_s = max(0, round((due_at - at).total_seconds()))
    data = {"reason": str(reason), "at": rfc3339(due_at), "leftSeconds": left_s, **more}
    return _run_event("notebook.warning", notebook, run, at, data)


def _lease_event(kind: str, notebook: Notebook, run: Run, at: datetime) -> Event:
    data = {"gpus": list(run.gpus), "flavor": run.resources.flavor, "units": run.resources.units}
    return _run_event(kind, notebook, run, at, data)


def _run_event(kind: str, notebook: Notebook, run: Run, at: datetime, data: dict[str, Any]) -> Event:
    return Event(type=kind, at=at, notebook_id=notebook.id, run_id=run.id, owner=notebook.owner, data=data)
