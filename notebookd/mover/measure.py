# SPDX-License-Identifier: Apache-2.0
"""How much room a workspace takes, in blocks of its disk: the one measure that quotas, snapshots and looks go by."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from notebookd.mover.holes import SUSPECT_BYTES, Holes, holes_of
from notebookd.mover.job import Job
from notebookd.mover.report import Reporter, Result
from notebookd.mover.visit import FOLDER, Visit, visit

BLOCK = 512
"""What ``st_blocks`` counts in, whatever the filesystem's own blocks are."""

CACHE_TAG = "CACHEDIR.TAG"
CACHE_SIGNATURE = b"Signature: 8a477f597d28d172789f06886806bc55"
"""https://bford.info/cachedir/: what marks a folder whose content can be had again."""

_IS_FOLDER = 0o040000
_KIND = 0o170000


@dataclass(slots=True)
class Room:
    """``used_bytes`` is all that a tree takes on its disk, ``cache_bytes`` what of it is in marked caches. ``holes``
    are the files outside of caches that are mostly holes."""

    used_bytes: int = 0
    cache_bytes: int = 0
    holes: list[Holes] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)


def measure(job: Job, reporter: Reporter) -> Result:
    """Facts: ``bytes`` that the workspace takes on its disk; a file of several names once, what cannot be seen not at
    all."""

    def one_more() -> None:
        reporter.progress.processed += 1

    room = room_of(job.places.workspace, each=one_more)
    reporter.progress.failed = len(room.unseen)
    return Result(facts={"bytes": room.used_bytes})


def room_of(folder: Path, *, each: Callable[[], None], caches_apart: bool = False, find_holes: bool = False) -> Room:
    """Measure a tree; ``each`` is called for every name in it. With ``caches_apart`` what is in marked caches is told
    apart; the tag itself belongs to the rest. With ``find_holes`` files are looked at for holes."""
    room = Room()
    root = os.open(folder, FOLDER)
    try:
        room.used_bytes = os.fstat(root).st_blocks * BLOCK
        several: set[int] = set()
        cache: str | None = None
        for found in visit(root, unseen=room.unseen.append):
            if cache is not None and not found.path.startswith(cache):
                cache = None
            in_cache = cache is not None and found.path != f"{cache}{CACHE_TAG}"
            if cache is None and caches_apart and _is_folder(found) and is_cache(found.folder, f"{found.name}/"):
                cache = f"{found.path}/"
            if find_holes and not in_cache:
                _look_for_holes(room, found)
            _count(room, found, several, in_cache=in_cache)
            each()
    finally:
        os.close(root)
    return room


def is_cache(folder: int, below: str = "") -> bool:
    """Whether a folder is marked as a cache: by a regular file that begins with the signature."""
    try:
        tag = os.open(f"{below}{CACHE_TAG}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError:
        return False
    try:
        return os.read(tag, len(CACHE_SIGNATURE)) == CACHE_SIGNATURE
    except OSError:
        return False
    finally:
        os.close(tag)


def _look_for_holes(room: Room, found: Visit) -> None:
    missing = found.status.st_size - found.status.st_blocks * BLOCK
    if missing >= SUSPECT_BYTES and (holes := holes_of(found)) is not None:
        room.holes.append(holes)


def _count(room: Room, found: Visit, several: set[int], *, in_cache: bool) -> None:
    status = found.status
    size = status.st_blocks * BLOCK
    if status.st_nlink > 1 and not _is_folder(found):
        if status.st_ino in several:
            return
        several.add(status.st_ino)
    room.used_bytes += size
    room.cache_bytes += size if in_cache else 0


def _is_folder(found: Visit) -> bool:
    return found.status.st_mode & _KIND == _IS_FOLDER
