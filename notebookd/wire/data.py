# SPDX-License-Identifier: Apache-2.0
"""What the daemon answers about data: snapshots, in the shapes of the OVHcloud AI API v1, and datastores, in ours."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from notebookd.wire.answers import Metadata
from notebookd.wire.base import Answer, Time, Uuid

__all__ = [
    "BackupCheck",
    "Datastore",
    "DatastoreList",
    "NotebookBackup",
    "NotebookBackupList",
    "ObjectList",
    "StoredObject",
]


class NotebookBackup(Answer, frozen=True):
    """A snapshot of a workspace. ``size`` (bytes) and ``files`` are the workspace's; on the disk it takes less."""

    id: Uuid
    backup_date: Time
    created_at: Time
    updated_at: Time
    mount_path: str
    comment: str
    size: int
    files: int


class NotebookBackupList(Answer, frozen=True):
    """A page of snapshots."""

    items: list[NotebookBackup]
    metadata: Metadata


class BackupCheck(Answer, frozen=True):
    """What a check of a notebook's snapshots said, which found them sound."""

    said: str


class Datastore(Answer, frozen=True):
    """A datastore that the caller may read; ``permission`` is ``RO``, or ``RWD`` where he may write, too. What is in a
    ``directory`` is mounted as it is, what is in an ``rclone`` remote is copied in and out."""

    alias: str
    type: str
    permission: str


class DatastoreList(Answer, frozen=True):
    """The datastores."""

    items: list[Datastore]


class StoredObject(Answer, frozen=True):
    """An object, or a folder of objects. ``path`` begins with the container; ``size`` in bytes."""

    path: str
    size: int
    folder: bool = False
    modified_at: Time | UnsetType = UNSET


class ObjectList(Answer, frozen=True):
    """What lies below a prefix, one level deep."""

    items: list[StoredObject]
