# SPDX-License-Identifier: Apache-2.0
"""Committing a sync as it shall be, with what it brought about and the event of its beginning or end."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from notebookd.domain.data_plan import kept_keys, snapshot_of, used_at
from notebookd.domain.event import Event
from notebookd.domain.notebook import Notebook
from notebookd.domain.snapshots import WorkspaceUse
from notebookd.domain.syncing import Sync
from notebookd.ports.store import Store, Transaction


async def write_sync(tx: Transaction, store: Store, sync: Sync, notebook: Notebook, *, at: datetime) -> None:
    """Write a sync inside ``tx``, what it brought about, and the event of its beginning or end."""
    before = store.find_sync(sync.id)
    await tx.put_sync(sync)
    if before is None or before.state is not sync.state:
        await tx.append(_sync_event(before, sync, notebook, at))
    snapshot = snapshot_of(sync, notebook.owner)
    if snapshot is None or (before is not None and before.over):
        return
    kept = kept_keys(sync)
    await tx.put_snapshot(snapshot)
    earlier = [each.id for each in store.list_snapshots(notebook.id) if each.key in kept]
    await tx.drop_snapshots(notebook.id, but=[snapshot.id, *earlier])
    await tx.put_workspace_use(notebook.id, WorkspaceUse(used_bytes=used_at(sync), measured_at=at))


def _sync_event(before: Sync | None, sync: Sync, notebook: Notebook, at: datetime) -> Event:
    data: dict[str, Any] = {"id": sync.id, "kind": str(sync.kind), "cause": str(sync.cause)}
    if sync.over:
        total = [each.progress for each in sync.transfers]
        data |= {"code": sync.code, "bytes": sum(each.transferred_bytes for each in total)}
        data |= {"files": sum(each.completed for each in total), "failed": sum(each.failed for each in total)}
        said = [sync.failure.message] if sync.failure is not None else [each.message for each in sync.transfers]
        data |= {"message": "; ".join(filter(None, said))} if any(said) else {}
    return Event(
        type="data.sync",
        at=at,
        actor=sync.actor,
        notebook_id=notebook.id,
        run_id=sync.run_id,
        owner=notebook.owner,
        before=str(before.state) if before is not None else None,
        after=str(sync.state),
        data=data,
    )
