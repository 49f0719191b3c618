# SPDX-License-Identifier: Apache-2.0
"""Copies of the database: made beside the writer, looked at before they are trusted, put in its place.

A copy is one file and whole, while what goes by the database's own name may have a journal beside it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from notebookd.adapters.sqlite.schema import load_migrations, schema_of, sync_folder
from notebookd.adapters.sqlite.sums import SUMS
from notebookd.errors import RestoreRefused, StoreUnavailable
from notebookd.ports.store import RESTORED
from notebookd.units import readable_size
from notebookd.wire import rfc3339

_JOURNALS = ("-wal", "-shm")
_NO_COPY = "give it a file that `notebookctl backup` wrote, or one of the dated copies beside the database"


@asynccontextmanager
async def fresh_copy(database: Path, *, reserve_bytes: int) -> AsyncIterator[BinaryIO]:
    """A consistent copy of a database that others read and write meanwhile, open for reading and without a name: it
    is gone with whoever reads it, however that ends. ``reserve_bytes`` are left free on the disk.

    Raises:
        StoreUnavailable: it cannot be made; nothing is left of it.
    """
    part = database.with_name(f"{database.name}.copy-{secrets.token_hex(8)}")
    try:
        handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as fault:
        raise _uncopied(fault) from fault
    with os.fdopen(handle, "rb") as copy:
        try:
            await asyncio.to_thread(_make_copy, database, part, reserve_bytes)
        except (sqlite3.Error, OSError) as fault:
            raise _uncopied(fault) from fault
        finally:
            part.unlink(missing_ok=True)
        yield copy


def _make_copy(database: Path, part: Path, reserve_bytes: int) -> None:
    try:
        with closing(sqlite3.connect(database, isolation_level=None, timeout=1)) as connection:
            pages, page_bytes = (connection.execute(f"PRAGMA {of}").fetchone()[0] for of in ("page_count", "page_size"))
            space = os.statvfs(database.parent)
            free, wanted = space.f_bavail * space.f_frsize, pages * page_bytes + reserve_bytes
            if free < wanted:
                raise OSError(f"{readable_size(free)} of its disk are free, and the copy wants {readable_size(wanted)}")
            connection.execute("VACUUM INTO ?", (str(part),))
    finally:
        part.unlink(missing_ok=True)  # here too: whoever waited may have been cancelled, and unlinked nothing yet


def _uncopied(fault: Exception) -> StoreUnavailable:
    return StoreUnavailable(f"cannot copy the database: {fault}", hint="free some disk space")


def sweep_copies(database: Path) -> None:
    """Remove what a killed process left of its copies."""
    for kind in ("copy-*", "v*.part", "part", "part-journal"):
        for left in database.parent.glob(f"{database.name}.{kind}"):
            left.unlink(missing_ok=True)
    for kept in database.parent.glob(f"{database.name}.before-restore-*[0-9]"):
        if database.exists() and kept.samefile(database):  # nothing took the database's place: these are its own names
            _remove_journals(kept)
            kept.unlink()


@dataclass(frozen=True, slots=True, kw_only=True)
class CopyFacts:
    """What a copy says of itself: whose it is, of which schema, and the id of its last event."""

    instance: str
    schema: int
    last_event: int


def examine_copy(path: Path) -> CopyFacts:
    """Look at a file that is said to be a copy of a database of ours. Nothing in it is trusted before.

    Raises:
        RestoreRefused: it is none, is damaged, or was written by a newer notebookd.
    """
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)) as connection:
            connection.execute("PRAGMA trusted_schema = OFF")
            return _examine(connection)
    except sqlite3.Error as fault:
        raise RestoreRefused(f"cannot restore the file: {fault}", hint=_NO_COPY) from fault


def _examine(connection: sqlite3.Connection) -> CopyFacts:
    schema, known = int(connection.execute("PRAGMA user_version").fetchone()[0]), len(load_migrations())
    if schema > known:
        raise RestoreRefused(
            f"cannot restore the file: it was written by a newer notebookd (schema {schema}, this one knows up to "
            f"{known})",
            hint="install that notebookd, and restore with it",
        )
    if schema < 1 or schema_of(connection) != _schema_at(schema):
        raise RestoreRefused("cannot restore the file: it is not a database of notebookd", hint=_NO_COPY)
    damage = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    if damage != "ok" or connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
        raise RestoreRefused(f"cannot restore the file: it is damaged ({damage})", hint="take an older copy")
    instance = _instance_of(connection)
    if instance is None:
        raise RestoreRefused("cannot restore the file: it names no instance", hint=_NO_COPY)
    return CopyFacts(instance=instance, schema=schema, last_event=_last_event(connection))


def _schema_at(version: int) -> frozenset[tuple[str, str, str]]:
    with closing(sqlite3.connect(":memory:")) as empty:
        for script in load_migrations()[:version]:
            empty.executescript(script)
        return schema_of(empty)


def _instance_of(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT value FROM meta WHERE key = 'instance'").fetchone()
    return str(row[0]) if row is not None else None


def _last_event(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
    return int(row[0]) if row is not None else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What was put in place, and where the database that was there before is kept; None when there was none."""

    facts: CopyFacts
    kept: Path | None


def restore_copy(source: BinaryIO, database: Path, now: datetime, *, other_instance: bool) -> Restored:
    """Put a copy in the place of a database that nobody has open. Killed at any point, the one or the other is there,
    whole. Ids of events go on from the highest that either knew: who follows them by id misses none.

    ``other_instance`` lets it be a copy of another instance's.

    Raises:
        RestoreRefused: the copy is not to be trusted, or is another instance's; nothing was changed.
        StoreUnavailable: the disk does not take it; nothing was changed.
    """
    part = database.with_name(f"{database.name}.part")
    try:
        _write_whole(source, part)
        facts = examine_copy(part)
        kept = _keep(database, now)
        present = _settle(database)
        if present is not None and kept is not None:
            _remove_journals(kept)
        if present is not None and present.instance != facts.instance and not other_instance:
            if kept is not None:
                kept.unlink()
            raise RestoreRefused(
                f"cannot restore the file: it is of instance {facts.instance}, and {database} is of {present.instance}",
                hint="containers of the present instance would be nobody's: stop all notebooks first, then use --force",
            )
        _note_restore(part, present.last_event if present is not None else 0, now)
        _remove_journals(database)  # one that stayed would be played into what comes in its place
        part.replace(database)
        sync_folder(database.parent)
    except (sqlite3.Error, OSError) as fault:
        raise StoreUnavailable(f"cannot restore {database}: {fault}", hint="is there room on its disk?") from fault
    finally:
        part.unlink(missing_ok=True)
    return Restored(facts=facts, kept=kept)


def _write_whole(source: BinaryIO, part: Path) -> None:
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(handle, "wb") as sink:
        shutil.copyfileobj(source, sink, 1024 * 1024)
        sink.flush()
        os.fsync(sink.fileno())


def _settle(database: Path) -> CopyFacts | None:
    """Bring all that was committed from the journal into the database's file. None when there is none, or it is too
    damaged for that."""
    if not database.exists():
        return None
    try:
        with closing(sqlite3.connect(database, isolation_level=None, timeout=1)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            schema = int(connection.execute("PRAGMA user_version").fetchone()[0])
            return CopyFacts(instance=_instance_of(connection) or "", schema=schema, last_event=_last_event(connection))
    except sqlite3.Error:
        return None


def _note_restore(part: Path, last_event: int, now: datetime) -> None:
    """Number its events on from ``last_event``, and have the next notebookd know that this is a restored database."""
    with closing(sqlite3.connect(part, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT OR REPLACE INTO meta (key, value) VALUES (?, ?)", (RESTORED, rfc3339(now)))
        connection.execute("DELETE FROM meta WHERE key = ?", (SUMS,))  # who knows what was done to the file
        last_event = max(last_event, _last_event(connection))
        connection.execute("DELETE FROM sqlite_sequence WHERE name = 'event'")
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('event', ?)", (last_event,))
        connection.execute("COMMIT")


def _keep(database: Path, now: datetime) -> Path | None:
    """Give the present database a second name, and its journal with it."""
    if not database.exists():
        return None
    kept = database.with_name(f"{database.name}.before-restore-{now:%Y%m%dT%H%M%S}")
    os.link(database, kept)
    for journal in _JOURNALS:
        with suppress(FileNotFoundError):
            os.link(f"{database}{journal}", f"{kept}{journal}")
    sync_folder(database.parent)
    return kept


def _remove_journals(database: Path) -> None:
    for journal in _JOURNALS:
        database.with_name(f"{database.name}{journal}").unlink(missing_ok=True)
