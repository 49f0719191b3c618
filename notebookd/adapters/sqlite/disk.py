# SPDX-License-Identifier: Apache-2.0
"""What a database takes on the disk, and what is left there."""

from __future__ import annotations

import os
from pathlib import Path

from notebookd.adapters.sqlite.ballast import Ballast
from notebookd.adapters.sqlite.spares import free_inodes
from notebookd.errors import StoreUnavailable
from notebookd.ports.store import DiskUse


def disk_use(database: Path, ballast: Ballast) -> DiskUse:
    """Of the database, its log and the reserve, and what is left beside them."""
    files = (database, database.with_name(database.name + "-wal"))
    return DiskUse(
        database_bytes=sum(each.stat().st_size for each in files if each.exists()),
        ballast_bytes=ballast.held_bytes(),
        free_bytes=free_bytes(database),
        free_inodes=free_inodes(database.parent),
    )


def free_bytes(database: Path) -> int:
    """Free space beside it."""
    space = os.statvfs(database.parent)
    return space.f_bavail * space.f_frsize


def unopened(database: Path, fault: Exception) -> StoreUnavailable:
    """What to say of a database that cannot be opened."""
    hint = f"{database.parent} must be a writable folder of the service's"
    if short_of(database):
        hint = f"{short_of(database)} at {database.parent}: remove files that nobody needs there, then start again"
    return StoreUnavailable(f"cannot open the database {database}: {fault}", hint=hint)


_FEW_BYTES, _FEW_INODES = 1024 * 1024, 8


def short_of(database: Path) -> str:
    """What the file system of the database has so little of that it may not open; empty when it has enough."""
    try:
        inodes, room = free_inodes(database.parent), free_bytes(database)
    except OSError:
        return ""
    if inodes is not None and inodes < _FEW_INODES:
        return "no file more can be made (the inodes of the file system are used up)"
    return "no disk space is left" if room < _FEW_BYTES else ""
