# SPDX-License-Identifier: Apache-2.0
"""What is remembered of a volume between tasks, in files beside ``data/`` that no notebook sees.

* ``manifest.json``: each file as it was, here and at the remote, when both were last known to be the same. There is one
  as soon as a pull was whole once; until then it is ``partial.json``, from which nothing is ever pushed.
* ``incoming.json``: what a pull is about to rename into ``data/``, so that files which it brought are not taken for
  edits when it is killed between two renames.
* ``outgoing.json``: what a push is about to send, so that what arrived is known for ours when it is killed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from notebookd.mover.report import Code, Fault


class Stamp(NamedTuple):
    """A local file as ``lstat`` has it. Times in nanoseconds. If size or time differs, somebody wrote to the file:
    what a mover brings in is on the disk before it gets its name, so a crash of the machine cuts none of it."""

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Stamp:
        """From a stat."""
        return cls(status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns)

    def same_content(self, other: Stamp) -> bool:
        """Whether nothing was written in between: only the change time, which links move too, may differ."""
        return self[:3] == other[:3]


class Seen(NamedTuple):
    """A file at the remote as a listing has it. ``digest`` is empty where the remote does not give it for free."""

    size: int
    mtime_ns: int
    digest: str = ""

    def is_now(self, now: Seen | None) -> bool:
        """Whether ``now`` is still this version; what only one of them knows says nothing."""
        if now is None or self.size != now.size or self.mtime_ns != now.mtime_ns:
            return False
        return not (self.digest and now.digest) or self.digest == now.digest


class Entry(NamedTuple):
    """A file that was the same on both sides. ``remote`` None: never seen there. ``conflict``: the remote had another
    version, and ours was laid beside it."""

    local: Stamp
    remote: Seen | None
    conflict: bool = False


class Sending(NamedTuple):
    """A file on its way to the remote: what it replaces there, its digest, and what its temporary copy looks like."""

    path: str
    target: str
    local: Stamp
    before: Seen | None
    conflict: bool
    digest: str = ""
    staged: Seen | None = None


class Incoming(NamedTuple):
    """A file on its way in: the version that is fetched, and the staged file once it is whole."""

    remote: Seen
    staged: Stamp | None = None


Row = list[Any]
T = TypeVar("T")


class Notes:
    """The files beside ``data/``. Each is replaced in one step and is on the disk when the call returns."""

    def __init__(self, volume: Path) -> None:
        self._volume = volume

    def load(self) -> tuple[dict[str, Entry], bool]:
        """The manifest, and whether a pull was ever whole."""
        rows = self._load("manifest.json")
        whole = rows is not None
        return _read(rows or self._load("partial.json") or {}, _entry), whole

    def save(self, entries: Mapping[str, Entry], *, whole: bool) -> None:
        """Keep the manifest."""
        rows = {path: [each.local, each.remote, each.conflict] for path, each in entries.items()}
        self._save("manifest.json" if whole else "partial.json", rows)
        if whole:
            (self._volume / "partial.json").unlink(missing_ok=True)

    def load_incoming(self) -> dict[str, Incoming]:
        """What a pull was about to rename; empty when none was."""
        return _read(self._load("incoming.json") or {}, _incoming)

    def save_incoming(self, plan: Mapping[str, Incoming]) -> None:
        """Keep what a pull is about to rename; nothing forgets it."""
        self._save("incoming.json", dict(plan.items())) if plan else self._drop("incoming.json")

    def load_outgoing(self) -> list[Sending]:
        """What a push was about to send."""
        return list(_read(self._load("outgoing.json") or {}, _sending).values())

    def save_outgoing(self, plan: Sequence[Sending]) -> None:
        """Keep what a push is about to send; nothing forgets it."""
        self._save("outgoing.json", {each.target: list(each) for each in plan}) if plan else self._drop("outgoing.json")

    def forget(self) -> None:
        """Give the local copy up: from here on there is no manifest."""
        for name in ("manifest.json", "partial.json", "incoming.json", "outgoing.json"):
            self._drop(name)
        sync_folder(self._volume)  # a manifest that came back without its files would say that they were deleted

    def _drop(self, name: str) -> None:
        (self._volume / name).unlink(missing_ok=True)

    def _load(self, name: str) -> dict[str, Row] | None:
        try:
            said = json.loads((self._volume / name).read_bytes())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise Fault(Code.DAMAGED, f"cannot read {name} of the local copy: it is damaged") from error
        if not isinstance(said, dict) or said.get("format") != 1:
            raise Fault(Code.DAMAGED, f"cannot read {name} of the local copy: another version wrote it")
        rows: dict[str, Row] = said["files"]
        return rows

    def _save(self, name: str, rows: Mapping[str, Sequence[Any]]) -> None:
        place_durably(self._volume / name, json.dumps({"format": 1, "files": rows}).encode())


def place_durably(path: Path, content: bytes) -> None:
    """Replace a file in one step; it outlives a power cut."""
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Have the names in a folder reach the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _read(rows: Mapping[str, Row], decode: Callable[[Row], T]) -> dict[str, T]:
    try:
        return {path: decode(row) for path, row in rows.items()}
    except (TypeError, ValueError, IndexError) as error:
        raise Fault(Code.DAMAGED, "cannot read what is remembered of the local copy: it is damaged") from error


def _entry(row: Row) -> Entry:
    local, remote, conflict = row
    return Entry(Stamp(*local), Seen(*remote) if remote else None, bool(conflict))


def _incoming(row: Row) -> Incoming:
    remote, staged = row
    return Incoming(Seen(*remote), Stamp(*staged) if staged else None)


def _sending(row: Row) -> Sending:
    path, target, local, before, conflict, digest, staged = row
    seen_before, seen_staged = (Seen(*each) if each else None for each in (before, staged))
    return Sending(path, target, Stamp(*local), seen_before, bool(conflict), digest, seen_staged)
