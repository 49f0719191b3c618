# SPDX-License-Identifier: Apache-2.0
"""``notebookctl backup``."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click

from notebookd.cli.guard import raw, raw_bytes
from notebookd.cli.here import Declined, Here, Verb, pass_here
from notebookd.cli.output import size
from notebookd.client import ClientError

Progress = Callable[[int, int], None]


@click.command("backup", cls=Verb)
@click.argument("file", type=click.Path(allow_dash=True, dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace FILE where it exists.")
@pass_here
def verb(here: Here, *, file: Path, force: bool) -> None:
    """Write a copy of the daemon's database to a file.

    FILE "-" is stdout. The copy is consistent, and can be taken while notebooks run. Keep it as you keep a password:
    tokens of running notebooks are in it. Workspaces are not. "notebookd restore FILE" puts it in place again. For
    admins.
    """
    if str(file) == "-":
        if here.terminal.width() is not None:
            raise Declined("a database is nothing for a terminal: redirect it, or name a file")
        with _progress(here) as progress:
            here.client.backup(raw_bytes(sys.stdout), progress)
        return
    if os.path.lexists(file) and not force:
        raise Declined(f"{file} exists: name another file, or say --force to replace it")
    if file.exists() and not file.is_file():
        raise Declined(f"{file} is no file: only a file is replaced")
    written = _write(here, file)
    here.terminal.note(f"wrote {size(written)} to {file}")


def _write(here: Here, file: Path) -> int:
    """Write beside the file, and give it the name when it is whole and on the disk."""
    part = file.with_name(f"{file.name}.part")
    try:
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(handle, "wb") as sink, _progress(here) as progress:
                written = here.client.backup(sink, progress)
                sink.flush()
                os.fsync(sink.fileno())
            part.replace(file)
        finally:
            part.unlink(missing_ok=True)
        _sync_folder(file.parent)
    except OSError as error:
        raise ClientError(f"cannot write {file}: {error.strerror or error}") from error
    return written


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _progress(here: Here) -> Iterator[Progress]:
    """A bar on stderr where somebody sees it."""
    if not here.terminal.watched():
        yield lambda _done, _size: None
        return
    with click.progressbar(length=1, label="backup", file=raw(sys.stderr)) as bar:

        def show(done: int, whole: int) -> None:
            bar.length = whole
            bar.update(done - bar.pos)

        yield show
