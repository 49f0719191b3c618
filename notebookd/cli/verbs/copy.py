# SPDX-License-Identifier: Apache-2.0
"""``notebookctl cp``."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import click

from notebookd.cli.guard import raw_bytes
from notebookd.cli.here import Declined, Here, Verb, completes, pass_here
from notebookd.cli.naming import notebook_and_path, notebook_id
from notebookd.cli.output import clean, counted, size
from notebookd.cli.progress import Rate, screen
from notebookd.cli.tar import Incoming, Tally, pack, receive
from notebookd.client import Client, ClientError, Refused

_HOME = "/workspace"
_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class There:
    """A path of a notebook: relative to its workspace, or absolute beside it. ``inside`` asks for what is in the
    folder; ``folder`` says that it is one."""

    notebook: str
    path: str
    inside: bool
    folder: bool


@click.command("cp", cls=Verb)
@click.argument("source", metavar="SRC", shell_complete=completes("notebook_paths_and_files"))
@click.argument("target", metavar="DST", shell_complete=completes("notebook_paths_and_files"))
@pass_here
def verb(here: Here, *, source: str, target: str) -> None:
    """Copy files into a notebook's workspace, or out of it.

    One of SRC and DST is NOTEBOOK:PATH, with PATH relative to /workspace; the notebook may be stopped. A folder is
    copied whole, links in it as links; volumes are no part of the workspace. Where DST is a folder, SRC comes into it
    by its own name; where there is no DST, it becomes DST. "SRC/." is what is in SRC. "-" is a tar stream on stdin or
    stdout.

    NOTEBOOK:/MOUNT/PATH as SRC is in a volume that was copied in, from a remote or from Git: as it is here, whether or
    not it could be carried back.
    """
    from_there, to_there = _there(here, source), _there(here, target)
    if to_there is not None and to_there.path.startswith("/"):
        raise Declined(f"{target}: files are copied into {_HOME} alone")
    if (from_there is None) == (to_there is None):
        raise click.UsageError(
            "one of SRC and DST is NOTEBOOK:PATH (write ./a:b for a file here whose name has a colon)"
        )
    with _counted(here) as tally:
        if to_there is not None:
            _into(here, source, to_there, tally)
        elif from_there is not None:
            _out_of(here, from_there, target, tally)
    if "-" not in (source, target):
        here.terminal.note(f"copied {counted(tally.files, 'file')}, {size(tally.bytes)}")
    if tally.missing:
        raise ClientError(
            f"cannot copy all of it: {clean(tally.missing)}", hint="the modes of files say who may read them"
        )


def _there(here: Here, word: str) -> There | None:
    parted = notebook_and_path(word)
    if parted is None:
        return None
    notebook, path = parted
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if ".." in parts:
        raise Declined(f"{path}: write it without ..")
    beside = path.startswith("/")
    if beside and parts[:1] == [_HOME.strip("/")]:
        beside, parts = False, parts[1:]
    identity = _notebook(here, notebook, word)
    if identity is None:
        return None
    return There(
        notebook=identity,
        path="/" * beside + "/".join(parts),
        inside=bool(re.search(r"(^|/)\.$", path)),
        folder=not parts or bool(re.search(r"/\.?$", path)),
    )


def _notebook(here: Here, name: str, word: str) -> str | None:
    """The id of a notebook. Where there is none, ``word`` may have meant a file here: ``out/a:b`` did where the folder
    is (None), and of another one that is said."""
    try:
        return notebook_id(here, name)
    except Refused as refused:
        if refused.status == 404 and "/" in name and Path(word).parent.is_dir():
            return None
        if refused.status == 404 and ("/" in name or os.path.lexists(word)):
            refused.hint = f"write ./{word} for the file here"
        raise


@contextlib.contextmanager
def _counted(here: Here) -> Iterator[Tally]:
    rate = Rate(here.terminal.now())
    with screen(here, lines=False) as shown:

        def show(tally: Tally) -> None:
            speed = rate.per_second(tally.bytes, here.terminal.now())
            shown.current(f"{counted(tally.files, 'file')}, {size(tally.bytes)}{speed}")

        yield Tally(on_change=show, note=lambda text: here.terminal.note(clean(text)))


# Into the notebook


def _into(here: Here, source: str, target: There, tally: Tally) -> None:
    client = here.client
    if source == "-":
        if sys.stdin.isatty():
            raise Declined("a tar stream does not come from a terminal: redirect it, or name a file")
        client.write_archive(target.notebook, target.path, lambda sink: _pour(sys.stdin.buffer, sink, tally))
        return
    path = Path(source)
    try:
        is_folder = path.is_dir() if path.stat() else False
    except OSError as error:
        raise Declined(f"cannot read {source}: {error.strerror or error}") from error
    if not is_folder and not path.is_file():
        raise Declined(f"{source} is neither a file nor a folder")
    folder, name = _place(client, path, target, is_folder=is_folder)
    if is_folder and re.search(r"(^|/)\.$", source) and name == path.resolve().name:
        name = ""
    client.write_archive(target.notebook, folder, lambda sink: pack(path, name, sink, tally))


def _place(client: Client, source: Path, target: There, *, is_folder: bool) -> tuple[str, str]:
    """The folder of the workspace that it comes into, and its name there."""
    found = "folder" if not target.path else _kind(client, target)
    if found == "folder":
        return target.path, source.resolve().name
    if found == "file" and is_folder:
        raise Declined(f"{target.path} is a file in the notebook, and {source} a folder")
    if target.folder and (found == "file" or not is_folder):
        raise Declined(f"there is no folder {target.path} in the notebook")
    folder, name = posixpath.split(target.path)
    return folder, name


def _kind(client: Client, target: There) -> str | None:
    """What lies there: its stream's first member tells, and that is all of it that is read."""
    try:
        with client.read_archive(target.notebook, target.path) as stream, receive(stream) as incoming:
            return "folder" if incoming.is_folder else "file"
    except Refused as refused:
        if refused.status == 404:
            return None
        raise


def _pour(source: BinaryIO, sink: BinaryIO, tally: Tally) -> None:
    while chunk := source.read(_CHUNK_BYTES):
        sink.write(chunk)
        tally.add(len(chunk))


# Out of the notebook


def _out_of(here: Here, source: There, target: str, tally: Tally) -> None:
    if target == "-":
        if here.terminal.width() is not None:
            raise Declined("a tar stream is nothing for a terminal: redirect it, or name a file")
        with here.client.read_archive(source.notebook, source.path) as stream:
            _spill(stream)
        return
    with here.client.read_archive(source.notebook, source.path) as stream, receive(stream) as incoming:
        folder, name = _landing(source, incoming, target)
        incoming.unpack(folder, name, tally)


def _spill(stream: BinaryIO) -> None:
    """All of it to stdout."""
    out = raw_bytes(sys.stdout)
    while chunk := stream.read(_CHUNK_BYTES):
        out.write(chunk)
        out.flush()


def _landing(source: There, incoming: Incoming, target: str) -> tuple[Path, str]:
    """The folder here that it comes into, and its name there."""
    path, own = Path(target), posixpath.basename(source.path) or posixpath.basename(_HOME)
    try:
        path.is_dir()
    except OSError as error:
        raise ClientError(f"cannot write {target}: {error.strerror or error}") from error
    if path.is_dir():
        return path, "" if source.inside and incoming.is_folder else own
    if incoming.is_folder and path.exists():
        raise ClientError(f"cannot copy: {target} is a file here, and {source.path or _HOME} a folder")
    if target.endswith("/") and not incoming.is_folder:
        raise ClientError(f"cannot copy: there is no folder {target} here")
    named = Path(os.path.realpath(path))  # whoever names a link means what it leads to
    if named.exists() and not named.is_file():
        raise ClientError(f"cannot write {target}: it is neither a file nor a folder", hint='"-" is stdout')
    return named.parent, named.name
