# SPDX-License-Identifier: Apache-2.0
"""Volumes, transfers, snapshots and datastores as they cross the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from notebookd import wire
from notebookd.domain.attached import Attached
from notebookd.domain.datastores import Datastore, DirectoryDatastore
from notebookd.domain.snapshots import Snapshot, WorkspaceUse
from notebookd.domain.syncing import Sync, SyncCause, SyncKind, SyncState, Transfer
from notebookd.domain.volumes import WORKSPACE, Permission, ScratchSource, StoreSource, Volume
from notebookd.ports.files import Usage
from notebookd.ports.movers import StoredObject
from notebookd.units import readable_size
from notebookd.wire import UNSET, UnsetType, answers

_DIRECTIONS = {
    SyncKind.PULL: "pull",
    SyncKind.RESTORE: "pull",
    SyncKind.PUSH: "push",
    SyncKind.SNAPSHOT: "push",
}
_MESSAGES = {
    SyncState.QUEUED: "waiting to begin",
    SyncState.RUNNING: "being transferred",
    SyncState.DONE: "transferred",
    SyncState.FAILED: "failed",
    SyncState.INTERRUPTED: "interrupted",
}


def volume(asked: Volume) -> answers.Volume:
    """A volume of a specification."""
    return answers.Volume(
        mount_path=asked.mount_path,
        permission=str(asked.permission),
        cache=asked.cache,
        data_store=_store(asked.store) if asked.store else UNSET,
        public_git=answers.UrlSource(url=asked.git.git_url) if asked.git else UNSET,
        standalone=answers.StandaloneSource() if isinstance(asked.source, ScratchSource) else UNSET,
    )


def _store(source: StoreSource) -> answers.DataStoreSource:
    return answers.DataStoreSource(alias=source.alias, container=source.container, prefix=source.prefix or UNSET)


def volume_status(attached: Attached) -> wire.VolumeStatus:
    """A volume as a run has it."""
    return wire.VolumeStatus(
        id=attached.id,
        mount_path=attached.volume.mount_path,
        last_pulled_created_at=_time(attached.pulled_at),
        last_pushed_created_at=_time(attached.pushed_at),
    )


def workspace(usage: Usage | None, use: WorkspaceUse | None, quota_bytes: int | None) -> wire.Workspace | UnsetType:
    """How full a workspace is: as it was measured last, and what it may take still."""
    if usage is None:
        return UNSET
    used = usage.used_bytes if use is None else use.used_bytes
    free = usage.free_bytes if quota_bytes is None else min(usage.free_bytes, max(0, quota_bytes - (used or 0)))
    return wire.Workspace(storage_free=free, storage_used=UNSET if used is None else used)


def data_sync(sync: Sync, attached: Sequence[Attached] = ()) -> wire.DataSync:
    """A transfer. A snapshot is a push and its restoration a pull to those who know these two alone."""
    known = {each.id: each for each in attached}
    alone = sync.transfers[0].volume_id if len(sync.transfers) == 1 else None
    failure = sync.failure
    return wire.DataSync(
        id=sync.id,
        created_at=wire.rfc3339(sync.queued_at),
        updated_at=wire.rfc3339(sync.ended_at or sync.started_at or sync.queued_at),
        spec=wire.DataSyncSpec(
            direction=_DIRECTIONS[sync.kind],
            kind=str(sync.kind),
            manual=sync.cause is SyncCause.MANUAL,
            volume=alone or UNSET,
        ),
        status=wire.DataSyncStatus(
            queued_at=wire.rfc3339(sync.queued_at),
            state=str(sync.state),
            started_at=_time(sync.started_at),
            ended_at=_time(sync.ended_at),
            info=wire.Info(code=sync.code, message=(failure and failure.message) or _MESSAGES[sync.state]),
            progress=[_progress(sync, each, known) for each in sync.transfers],
        ),
    )


def _progress(sync: Sync, transfer: Transfer, known: Mapping[str, Attached]) -> wire.DataSyncProgress:
    moved, at = transfer.progress, transfer.ended_at or transfer.started_at or sync.queued_at
    return wire.DataSyncProgress(
        id=transfer.id,
        data_sync_id=sync.id,
        direction=_DIRECTIONS[sync.kind],
        state=str(transfer.state),
        info=str(transfer.volume.source) if transfer.volume else "workspace",
        reason=wire.Info(
            code=transfer.code or f"DATASYNC_{transfer.state}", message=transfer.message or _MESSAGES[transfer.state]
        ),
        notebook_volume=volume(transfer.volume) if transfer.volume else UNSET,
        volume_status=_status_of(transfer, known),
        total=moved.total,
        total_bytes=moved.total_bytes,
        processed=moved.processed,
        completed=moved.completed,
        deleted=moved.deleted,
        skipped=moved.skipped,
        failed=moved.failed,
        transferred_bytes=moved.transferred_bytes,
        created_at=wire.rfc3339(sync.queued_at),
        updated_at=wire.rfc3339(at),
    )


def _status_of(transfer: Transfer, known: Mapping[str, Attached]) -> wire.VolumeStatus | UnsetType:
    if transfer.volume_id is None:
        return UNSET
    if transfer.volume_id in known:
        return volume_status(known[transfer.volume_id])
    if transfer.volume is None:
        return UNSET
    return wire.VolumeStatus(id=transfer.volume_id, mount_path=transfer.volume.mount_path)


def backup(taken: Snapshot) -> wire.NotebookBackup:
    """A snapshot of a workspace."""
    at = wire.rfc3339(taken.taken_at)
    return wire.NotebookBackup(
        id=taken.id,
        backup_date=at,
        created_at=at,
        updated_at=at,
        mount_path=WORKSPACE,
        comment=f"{taken.files} file{'s' * (taken.files != 1)}, {readable_size(taken.size_bytes)}",
        size=taken.size_bytes,
        files=taken.files,
    )


def datastore(store: Datastore, right: Permission) -> wire.Datastore:
    """A datastore, and what its reader may."""
    kind = "directory" if isinstance(store, DirectoryDatastore) else "rclone"
    return wire.Datastore(alias=store.alias, type=kind, permission=str(right))


def stored_object(found: StoredObject, below: str) -> wire.StoredObject:
    """An object that was found ``below`` a prefix, by its whole path."""
    return wire.StoredObject(
        path=f"{below}/{found.path}" if below else found.path,
        size=found.size_bytes,
        folder=found.is_folder,
        modified_at=_modified(found.modified_at),
    )


def _modified(text: str) -> str | UnsetType:
    """A time as remotes give it, with as many digits as they like."""
    try:
        return wire.rfc3339(wire.parse_rfc3339(text))
    except ValueError:
        return UNSET


def _time(at: datetime | None) -> str | UnsetType:
    return UNSET if at is None else wire.rfc3339(at)
