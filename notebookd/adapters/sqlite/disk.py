# SPDX-License-Identifier: Apache-2.0
"""What a database takes on the disk, and what is left there."""

from __future__ import annotations

import os
from pathlib import Path

from notebookd.adapters.sqlite.ballast import Ballast
from notebookd.errors import StoreUnavailable
from notebookd.ports.store import DiskUse


def disk_use(database: Path, ballast: Ballast) -> DiskUse:
    """Of the database, its log and the reserve."""
    files = (database, database.with_name(database.name + "-wal"))
    return DiskUse(
        database_bytes=sum(each.stat().st_size for each in files if each.exists()),
        ballast_bytes=ballast.held_bytes(),
    )


def free_bytes(database: Path) -> int:
    """Free space beside it."""
    space = os.statvfs(database.parent)
    return space.f_bavail * space.f_frsize


def unopened(database: Path, fault: Exception) -> StoreUnavailable:
    """What to say of a database that cannot be opened."""
    return StoreUnavailable(
        f"cannot open the database {database}: {fault}",
        hint=f"{database.parent} must be a writable folder of the service's",
    )
