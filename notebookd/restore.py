# SPDX-License-Identifier: Apache-2.0
"""``notebookd restore``: put a backup in the database's place while no notebookd runs."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.sqlite.copies import Restored, restore_copy
from notebookd.adapters.sqlite.schema import load_migrations
from notebookd.adapters.state_folder import hold
from notebookd.config import load_config
from notebookd.errors import ConfigError, NotebookdError, RestoreRefused

_SIDE_FILES = ("-wal", "-journal")


def main(arguments: Sequence[str] | None = None) -> int:
    """``notebookd restore FILE [--config FILE] [--force]``."""
    parser = argparse.ArgumentParser(
        prog="notebookd restore",
        description="Put a backup in the place of the database. notebookd must not run.",
        epilog="The present database is kept beside it. What happens to notebooks that changed since the backup stands "
        "in the operating guide.",
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="what `notebookctl backup` wrote")
    parser.add_argument("--config", type=Path, metavar="FILE", help="the configuration, instead of the installed one")
    parser.add_argument("--force", action="store_true", help="also a backup of another instance")
    options = parser.parse_args(arguments)
    try:
        database = load_config(options.config, catalogue=False).paths.database
        done = restore(options.file, database, force=options.force)
    except NotebookdError as fault:
        sys.stderr.write(f"notebookd: {fault.message}\n")
        if fault.hint:
            sys.stderr.write(f"hint: {fault.hint}\n")
        return 1
    sys.stdout.write(_told(done, options.file, database))
    return 0


def restore(file: Path, database: Path, *, force: bool) -> Restored:
    """Put ``file`` in the place of ``database``; ``force`` also where it is of another instance.

    Raises:
        NotebookdError: it cannot be; nothing was changed.
    """
    with _opened(file) as source:
        load_migrations()
        os.umask(0o077)
        _become_owner_of(database.parent)
        with hold(database.parent):
            return restore_copy(source, database, SystemClock().now(), other_instance=force)


def _opened(file: Path) -> BinaryIO:
    for beside in _SIDE_FILES:
        if Path(f"{file}{beside}").exists():
            raise RestoreRefused(
                f"cannot restore {file}: there is {file.name}{beside} beside it, so that it is not the whole",
                hint="take a copy of a database with `notebookctl backup`, never with cp",
            )
    try:
        return file.open("rb")
    except OSError as fault:
        raise RestoreRefused(f"cannot restore {file}: {fault.strerror}") from fault


def _become_owner_of(state: Path) -> None:
    """As root, go on as the account whose folder it is: it may put links there, and the database must be its."""
    if os.geteuid() != 0:
        return
    try:
        owner = state.stat()
    except OSError as fault:
        raise ConfigError(f"cannot use the state folder {state}: {fault.strerror}") from fault
    if owner.st_uid != 0:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)


def _told(done: Restored, file: Path, database: Path) -> str:
    lines = [f"restored {file} to {database} (schema {done.facts.schema}, instance {done.facts.instance})"]
    if done.kept is not None:
        lines.append(f"the database that was there is kept as {done.kept}")
    lines.append("start notebookd: it looks at what there is, and goes on from there")
    return "\n".join(lines) + "\n"
