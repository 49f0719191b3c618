# SPDX-License-Identifier: Apache-2.0
"""Routes of data that is carried: transfers and snapshots."""

from __future__ import annotations

from datetime import datetime

from aiohttp import web

from notebookd import wire
from notebookd.api import data_shapes, wishes
from notebookd.api.call import Call, answer, page_of
from notebookd.api.notebooks import shape, tag_of
from notebookd.domain.snapshots import Snapshot

BACKUP_SORTS = frozenset({"createdAt", "updatedAt", "backupDate", "id"})


async def sync(call: Call) -> web.Response:
    """POST /v1/notebook/{id}/datasync."""
    raw = await call.body()
    notebook_id = call.entry("transfer data of").notebook.id
    body = wishes.require(wire.DataSyncRequest, raw, f"transfer data of notebook {notebook_id}")
    volume = body.volume if isinstance(body.volume, str) and body.volume else None
    begun = await call.services.syncs.request(call.actor, notebook_id, body.direction, volume)
    return answer(data_shapes.data_sync(begun, call.entry("transfer data of").run.volumes))


async def list_backups(call: Call) -> web.Response:
    """GET /v1/notebook/{id}/backup."""
    entry = call.entry("list the snapshots of")
    query = wishes.Query(call.request.query, "list the snapshots")
    page, size = query.page()
    by_id = query.choice("sort", "createdAt", BACKUP_SORTS) == "id"
    descending = query.choice("order", "desc", frozenset({"asc", "desc"})) == "desc"
    now = call.services.clock.now()
    after, before = query.moment("updatedAfter", now), query.moment("updatedBefore", now)
    query.done()
    found = [
        each
        for each in call.services.snapshots.list(call.actor, entry.notebook.id)
        if _within(each.taken_at, after, before)
    ]

    def key(each: Snapshot) -> tuple[object, ...]:
        return (each.id,) if by_id else (each.taken_at, each.id)

    found.sort(key=key, reverse=descending)
    shown = found[(page - 1) * size : page * size]
    return answer(
        wire.NotebookBackupList(
            items=[data_shapes.backup(each) for each in shown], metadata=page_of(call, page, size, len(found))
        )
    )


def _within(at: datetime, after: datetime | None, before: datetime | None) -> bool:
    return (after is None or at > after) and (before is None or at < before)


async def get_backup(call: Call) -> web.Response:
    """GET /v1/notebook/{id}/backup/{bid}."""
    found = call.services.snapshots.get(call.actor, call.notebook_id, call.request.match_info["bid"])
    return answer(data_shapes.backup(found))


async def fork(call: Call) -> web.Response:
    """POST /v1/notebook/{id}/backup/{bid}/fork."""
    entry = await call.services.snapshots.fork(call.actor, call.notebook_id, call.request.match_info["bid"])
    return answer(await shape(call, entry), headers=tag_of(entry))


async def check_backups(call: Call) -> web.Response:
    """POST /v1/notebook/{id}/backup/check: this reads all of the notebook's snapshots, and takes its time."""
    return answer(wire.BackupCheck(said=await call.services.snapshots.check(call.actor, call.notebook_id)))
