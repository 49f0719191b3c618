# SPDX-License-Identifier: Apache-2.0
"""The logs of containers beyond conmon's bound.

Conmon throws a log away whole when it reaches its size, and begins a new file in its place. So each log has a second
name here, by which the file stays: when the first name stands for another file, the one before is kept beside it, and
the one before that goes. Where nobody looked in time a part is missing, and that is said where it was.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from notebookd.adapters.podman.streams import LineJoiner
from notebookd.ports.engine import LogLine

LOOK_LATE_S = 10.0
"""Who has not looked for so long may have missed a file."""
_AT_ONCE = 1000
"""Lines that are read in one piece."""
STALE_LOOKS = 300
"""A log without a container is removed when so many looks found none."""
_LOG, _HELD, _BEFORE, _CUT, _MISSED = ".log", ".held", ".before", ".cut", ".missed"
_ALL = (_LOG, _HELD, _BEFORE, _CUT, _MISSED)
_OLDER = "notebookd: what came before this is not kept: a log is kept for its last 10 to 20 MiB"
_HOLE = "notebookd: lines may be missing here: more than 10 MiB were written while notebookd did not look"


class Read(Protocol):
    """Reads what the engine has of one log."""

    def __call__(self, *, follow: bool) -> AsyncIterator[LogLine]:
        """Its lines, oldest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Before:
    """The file before a container's present one: whether something came before it, and may be missing behind it."""

    file: BinaryIO
    cut: bool
    missed: bool

    def lines(self) -> Iterator[LogLine]:
        """What to show of it, from its beginning."""
        self.file.seek(0)
        last = None
        for line in read_lines(self.file):
            if last is None and self.cut:
                yield LogLine(at=line.at, stream="stderr", content=_OLDER)
            last = line
            yield line
        if last is not None and self.missed:
            yield LogLine(at=last.at, stream="stderr", content=_HOLE)

    def count(self) -> int:
        """How many lines that is."""
        return sum(1 for _ in self.lines())


class Logs:
    """The logs in ``folder``, by the names of their containers; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder or Path("/nonexistent")
        self._kept = folder is not None
        self._looked_at: float | None = None
        self._absent: Counter[str] = Counter()

    def place(self, name: str) -> dict[str, str]:
        """Where a container is to have its log, as Podman is told; the folder is there then."""
        if not self._kept:
            return {}
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return {"path": str(self._folder / f"{name}{_LOG}")}

    async def hold(self) -> None:
        """Look whether any log was thrown away, and keep what it was."""
        now = time.monotonic()
        late = self._looked_at is None or now - self._looked_at > LOOK_LATE_S
        self._looked_at = now
        await asyncio.to_thread(self._hold_all, late=late)

    async def earlier(
        self, name: str, read: Read, *, since: datetime | None = None, tail: int | None = None
    ) -> AsyncGenerator[LogLine, None]:
        """What is kept of a container from before its present file, oldest first, that belongs before what ``read``
        gives; nothing as long as that is all. However much that is, little of it is in memory, also for who takes no
        more."""
        before = await asyncio.to_thread(self._open_before, name)
        if before is None:
            return
        with before.file:
            lines, wanted = before.lines(), None if tail is None else tail - await _count(read(follow=False))
            if wanted is not None:
                total = await asyncio.to_thread(before.count)
                lines = itertools.islice(lines, max(0, total - max(0, wanted)), None)
            from_second = None if since is None else since.replace(microsecond=0)
            while batch := await asyncio.to_thread(lambda: list(itertools.islice(lines, _AT_ONCE))):
                for line in batch:
                    if from_second is None or line.at >= from_second:
                        yield line

    def follow(self, name: str) -> Follower | None:
        """A reader of a container's log from the beginning of its present file on; None where there is none. Blocks."""
        if not self._kept:
            return None
        self._hold(name, late=False)  # so that what comes next is known to come next
        try:
            return Follower(self, name, self._file(name, _LOG))
        except OSError:
            return None

    def came_next(self, name: str, inode: int) -> bool:
        """Whether the present file came right after the one of that inode. Blocks."""
        self._hold(name, late=False)
        try:
            return self._file(name, _BEFORE).stat().st_ino == inode
        except OSError:
            return False

    def remove(self, name: str) -> None:
        """Remove all that is kept of a container. Idempotent."""
        for kind in _ALL:
            with suppress(OSError):
                self._file(name, kind).unlink()

    async def sweep(self, present: Collection[str]) -> None:
        """Remove what is kept of containers that are not there any more, and were not for many looks."""
        self._absent = Counter({name: self._absent[name] + 1 for name in set(self._names()) - set(present)})
        for name in [each for each, looks in self._absent.items() if looks > STALE_LOOKS]:
            self.remove(name)

    def _hold_all(self, *, late: bool) -> None:
        for name in self._names():
            self._hold(name, late=late)

    def _open_before(self, name: str) -> _Before | None:
        self._hold(name, late=False)
        try:
            file = self._file(name, _BEFORE).open("rb")
        except FileNotFoundError:
            return None
        return _Before(file=file, cut=self._file(name, _CUT).exists(), missed=self._file(name, _MISSED).exists())

    def _names(self) -> list[str]:
        with suppress(OSError):
            return [each.name.removesuffix(_LOG) for each in self._folder.iterdir() if each.name.endswith(_LOG)]
        return []

    def _hold(self, name: str, *, late: bool) -> None:
        log, held, before = (self._file(name, kind) for kind in (_LOG, _HELD, _BEFORE))
        with suppress(OSError):  # it goes meanwhile, or the disk takes no name more: then less is kept
            if not held.exists():
                os.link(log, held)
            if log.stat().st_ino == held.stat().st_ino:
                return
            for mark, due in ((_CUT, before.exists()), (_MISSED, late)):
                if due:
                    self._file(name, mark).touch(mode=0o600)
                elif mark is _MISSED:
                    self._file(name, mark).unlink(missing_ok=True)
            held.rename(before)
            os.link(log, held)

    def _file(self, name: str, kind: str) -> Path:
        return self._folder / f"{name}{kind}"


class Follower:
    """Reads a log while conmon writes it. Podman's own following loses what it has not read when conmon puts a new file
    in the log's place; this one holds the old file open, and reads it to its end before it goes on with the new one.
    All of it blocks."""

    def __init__(self, logs: Logs, name: str, path: Path) -> None:
        self._logs = logs
        self._name = name
        self._path = path
        self._file = path.open("rb")
        self._joiner = LineJoiner()
        self._half = b""
        self._last: LogLine | None = None

    def close(self) -> None:
        """Read no more."""
        self._file.close()

    def last(self, tail: int) -> list[LogLine]:
        """The last so many of the lines that are there."""
        return list(deque(iter(self._next, None), maxlen=tail))

    def read(self) -> list[LogLine]:
        """The next lines, as many as are read at once; none when there are no more now."""
        return list(itertools.islice(iter(self._next, None), _AT_ONCE))

    def _next(self) -> LogLine | None:
        while row := self._file.readline():
            if not row.endswith(b"\n"):
                self._half += row
                continue
            line = _line_of(self._joiner, self._half + row)
            self._half = b""
            if line is not None:
                self._last = line
                return line
        inode = os.fstat(self._file.fileno()).st_ino
        if not self._moves_on(inode):
            return None
        if self._last is not None and not self._logs.came_next(self._name, inode):
            return LogLine(at=self._last.at, stream="stderr", content=_HOLE)
        return self._next()

    def _moves_on(self, inode: int) -> bool:
        """Whether conmon has begun another file, which is then read. It writes no more to the one before."""
        try:
            if self._path.stat().st_ino == inode:
                return False
            fresh = self._path.open("rb")
        except OSError:
            return False
        if rest := self._file.read():  # came between the last read and the new file
            self._file.seek(-len(rest), os.SEEK_CUR)
            fresh.close()
            return False
        self._file.close()
        self._file = fresh
        return True


async def _count(lines: AsyncIterator[LogLine]) -> int:
    count = 0
    async for _ in lines:
        count += 1
    return count


def read_lines(rows: Iterable[bytes]) -> Iterator[LogLine]:
    """The lines of a file as conmon writes it, of its rows: time, stream, ``F`` (or ``P`` of a piece), and the output.
    Times are cut to the second, as Podman's answers are."""
    joiner = LineJoiner()
    for row in rows:
        if (line := _line_of(joiner, row)) is not None:
            yield line


def _line_of(joiner: LineJoiner, row: bytes) -> LogLine | None:
    stamp, _, rest = row.removesuffix(b"\n").partition(b" ")
    stream, _, tagged = rest.partition(b" ")
    tag, _, output = tagged.partition(b" ")
    if tag not in {b"F", b"P"}:
        return None
    ending = b"\n" if tag == b"F" else b""
    line = joiner.feed(stream.decode("ascii", "replace"), stamp + b" " + output + ending)
    return (
        None if line is None else LogLine(at=line.at.replace(microsecond=0), stream=line.stream, content=line.content)
    )
