# SPDX-License-Identifier: Apache-2.0
"""Files with holes: ranges that were never written, read as zeros and take no room.

Restic reads a hole like everything else and restores it as zeros that are written: a file of terabytes of holes would
keep a stop busy for hours, and a small one would take more room in a fork than it did.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import stat
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from notebookd.mover.report import named, readable_size
from notebookd.mover.visit import Visit

MOST_BYTES = 1 << 30
"""So many bytes of holes, of all files together, are read for a snapshot: seconds. Larger ones are left out."""
SUSPECT_BYTES = 1 << 16
"""A file that takes so much less than its size is looked at: it may have holes, or be compressed by its disk."""
_CHUNK = 1 << 20
_READ_ONLY = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PUNCH = 0x03
"""FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE."""


@dataclass(frozen=True, slots=True)
class Holes:
    """A file by its path, and how many bytes of it are holes."""

    path: str
    size_bytes: int


def holes_of(found: Visit) -> Holes | None:
    """The holes of a visited name; None where it is no file that can be read, or has none."""
    if not stat.S_ISREG(found.status.st_mode):
        return None
    try:
        fd = os.open(found.name, _READ_ONLY, dir_fd=found.folder)
    except OSError:
        return None
    try:
        size = sum(end - begin for begin, end in _holes(fd, found.status.st_size))
    except OSError:  # a filesystem that cannot say
        return None
    finally:
        os.close(fd)
    return Holes(found.path, size) if size else None


def _holes(fd: int, size: int) -> Iterable[tuple[int, int]]:
    at = 0
    while at < size:
        try:
            data = os.lseek(fd, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
            data = size  # nothing but a hole from here on
        yield at, data
        at = os.lseek(fd, data, os.SEEK_HOLE) if data < size else size


def too_large(holes: Iterable[Holes]) -> list[Holes]:
    """Those to leave out, largest first, so that no more than :data:`MOST_BYTES` of holes are left."""
    by_size = sorted(holes, key=lambda each: each.size_bytes, reverse=True)
    left = sum(each.size_bytes for each in by_size)
    out: list[Holes] = []
    for each in by_size:
        if left <= MOST_BYTES:
            break
        out.append(each)
        left -= each.size_bytes
    return out


def left_out(holes: Sequence[Holes]) -> str:
    """The sentence that says so; empty when there are none."""
    if not holes:
        return ""
    size = readable_size(sum(each.size_bytes for each in holes))
    many = (
        "1 file is mostly holes ({}) and is"
        if len(holes) == 1
        else f"{len(holes)} files are mostly holes ({{}}) and are"
    )
    return f"{many.format(size)} not in it: {named(each.path for each in holes)}"


def write_patterns(file: Path, root: Path, paths: Iterable[str]) -> None:
    """Write a file for restic's ``--exclude-file`` that names exactly those paths below ``root``."""
    lines = [_pattern(f"{root}/{path}") for path in paths]
    file.write_bytes(b"".join(os.fsencode(line) + b"\n" for line in lines))


def _pattern(path: str) -> str:
    """A path as a pattern. A ``$`` begins a variable there, blanks at the end of a line are cut, and a line ends at a
    newline, for which no pattern but ``?`` can stand."""
    escaped = re.sub(r"[\\*?\[ \t\r\v\f]", lambda found: "\\\\" if found[0] == "\\" else f"[{found[0]}]", path)
    return escaped.replace("$", "$$").replace("\n", "?")


def dig(folder: Path) -> None:
    """Make holes again of what are zeros in the files below a folder that no container has seen."""
    for at, _, names in os.walk(folder):
        for name in names:
            path = Path(at, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size >= _CHUNK and not _dig_file(path, status):
                return


def _dig_file(path: Path, status: os.stat_result) -> bool:
    """Whether it is worth going on: not where the filesystem has no holes."""
    path.chmod(stat.S_IRUSR | stat.S_IWUSR)
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return all(_punch(fd, at, count) for at, count in _zeros(fd, status.st_size))
        finally:
            os.utime(fd, ns=(status.st_atime_ns, status.st_mtime_ns))
            os.close(fd)
    finally:
        path.chmod(stat.S_IMODE(status.st_mode))


def _zeros(fd: int, size: int) -> Iterable[tuple[int, int]]:
    zeros = bytes(_CHUNK)
    for at in range(0, size, _CHUNK):
        with suppress(OSError):
            chunk = os.pread(fd, _CHUNK, at)
            if chunk and chunk == zeros[: len(chunk)]:
                yield at, len(chunk)


def _punch(fd: int, at: int, count: int) -> bool:
    fallocate = ctypes.CDLL(None, use_errno=True).fallocate
    fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    return bool(fallocate(fd, _PUNCH, at, count) == 0)
