# SPDX-License-Identifier: Apache-2.0
"""The database's shape over time: an append-only list of migrations, each in a transaction of its own."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path

from notebookd.errors import StoreUnavailable

_HERE = files("notebookd.adapters.sqlite")
_QUERIES = ("accounts.sql", "queries.sql", "ledger.sql", "shelf.sql", "sums.sql", "tokens.sql")
STEPS_PER_WORD = 1_000_000
"""Of SQLite's machine; some ten milliseconds of work."""


def load_queries() -> dict[str, str]:
    """The named queries of the files beside this one."""
    text = "".join((_HERE / name).read_text(encoding="utf-8") for name in _QUERIES)
    parts = re.split(r"^-- name: (\w+)\n", text, flags=re.MULTILINE)[1:]
    return {name: body.strip().rstrip(";") for name, body in zip(parts[::2], parts[1::2], strict=True)}


@cache
def load_migrations() -> tuple[str, ...]:
    """The migrations, oldest first; number N brings ``user_version`` to N. Read once: later the process may be somebody
    who cannot enter the folder that the program lies in."""
    scripts = sorted((entry for entry in (_HERE / "migrations").iterdir() if entry.name.endswith(".sql")), key=_name)
    return tuple(script.read_text(encoding="utf-8") for script in scripts)


def _name(entry: object) -> str:
    return str(getattr(entry, "name", ""))


def migrate(
    connection: sqlite3.Connection, path: Path, now: datetime, at_work: Callable[[], None] = lambda: None
) -> None:
    """Bring the database to the newest version. A dated copy of an older one is made first.

    ``at_work`` is called again and again as long as the work gets on, and not when it hangs.

    Raises:
        StoreUnavailable: the database is of a newer notebookd than this one.
    """
    migrations = load_migrations()
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(migrations):
        raise StoreUnavailable(
            f"cannot open {path}: it was written by a newer notebookd (schema {version}, this one knows up to "
            f"{len(migrations)})",
            hint="install the newer notebookd again, or restore a backup made by this one",
        )
    if 0 < version < len(migrations):
        connection.set_progress_handler(at_work, STEPS_PER_WORD)  # anything but None would end the statement
        _keep_copy(connection, path.with_name(f"{path.name}.v{version}-{now:%Y%m%dT%H%M%S}"))
    for number, script in enumerate(migrations[version:], start=version + 1):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number:d}")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")


def schema_of(connection: sqlite3.Connection) -> frozenset[tuple[str, str, str]]:
    """Kind, name and definition of everything that the schema holds, less blanks and quotes, in which versions of
    SQLite differ."""
    rows = connection.execute("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'")
    return frozenset((str(kind), str(name), re.sub(r'["\s]+', "", str(sql))) for kind, name, sql in rows)


def _keep_copy(connection: sqlite3.Connection, copy: Path) -> None:
    """Copy the database; under its own name only once it is whole and on the disk."""
    part = copy.with_name(f"{copy.name}.part")
    part.unlink(missing_ok=True)
    connection.execute("VACUUM INTO ?", (str(part),))
    handle = os.open(part, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fchmod(handle, 0o600)
        os.fsync(handle)
    finally:
        os.close(handle)
    part.rename(copy)
    sync_folder(copy.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, as a power failure would find them."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _statements(script: str) -> list[str]:
    """Split a script at its statements' ends; ``executescript`` would commit behind our back."""
    statements: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    return statements
