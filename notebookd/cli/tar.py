# SPDX-License-Identifier: Apache-2.0
"""Files of this machine into a tar stream, and out of one.

Links are carried as links and never followed. What a stream holds was written by whoever works in the notebook: every
name is walked from the target folder without following a link, so nothing is written outside of it, and a file gets
its name when it is whole.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import secrets
import stat
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from notebookd.client import BadAnswer, ClientError

__all__ = ["Incoming", "Tally", "pack", "receive"]

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
_CHUNK_BYTES = 256 * 1024

Note = Callable[[str], None]


@dataclass(slots=True)
class Tally:
    """How much was carried; ``on_change`` is called whenever that is more, ``note`` with what is left out."""

    on_change: Callable[[Tally], None] = lambda _: None
    note: Note = lambda _: None
    missing: str = ""
    """What the other end could not send."""
    files: int = 0
    bytes: int = 0

    def add(self, count: int, files: int = 0) -> None:
        """So many bytes more."""
        self.bytes += count
        self.files += files
        self.on_change(self)


@contextlib.contextmanager
def _local(verb: str, name: str) -> Iterator[None]:
    """What goes wrong with files here is no fault of the connection."""
    try:
        yield
    except ConnectionError:
        raise
    except OSError as error:
        raise ClientError(f"cannot {verb} {name}: {error.strerror or error}") from error


# Out


def pack(source: Path, name: str, sink: BinaryIO, tally: Tally) -> None:
    """Write ``source``, a file or a folder, to ``sink`` by the name ``name``; without one what is in the folder. A link
    is followed where it is ``source`` itself, and nowhere below it, whatever is put there meanwhile."""
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.PAX_FORMAT, bufsize=_CHUNK_BYTES) as tar:
        with _local("read", str(source)):
            kind = source.stat()
        if stat.S_ISREG(kind.st_mode):
            with _local("read", str(source)):
                handle = os.open(source, _READ)
            _pack_file(tar, handle, str(source), name, tally)
        elif stat.S_ISDIR(kind.st_mode):
            with _local("read", str(source)):
                handle = os.open(source, _READ | os.O_DIRECTORY)
            try:
                _pack_folder(tar, handle, str(source), name, tally)
            finally:
                os.close(handle)
        else:
            tally.note(f"left out {source}: it is neither a file nor a folder nor a link")


def _pack_folder(tar: tarfile.TarFile, base: int, source: str, name: str, tally: Tally) -> None:
    left: list[tuple[str, ...]] = [()]
    while left:
        parts = left.pop()
        path, called = "/".join((source, *parts)), "/".join((name, *parts) if name else parts)
        with _local("read", path):
            kind = os.stat(base) if not parts else _look(base, parts)
        if stat.S_ISDIR(kind.st_mode):
            if called:
                tar.addfile(_member(called, kind, tarfile.DIRTYPE))
            with _local("read", path), _inner(base, *parts) as folder:
                left += [(*parts, each) for each in sorted(os.listdir(folder), reverse=True)]  # noqa: PTH208 - names
        elif stat.S_ISREG(kind.st_mode):
            with _local("read", path):
                handle = _open_file(base, parts)
            _pack_file(tar, handle, path, called, tally)
        elif stat.S_ISLNK(kind.st_mode):
            member = _member(called, kind, tarfile.SYMTYPE)
            with _local("read", path), _inner(base, *parts[:-1]) as folder:
                member.linkname = os.readlink(parts[-1], dir_fd=folder)
            tar.addfile(member)
        else:
            tally.note(f"left out {path}: it is neither a file nor a folder nor a link")


@contextlib.contextmanager
def _inner(base: int, *parts: str) -> Iterator[int]:
    """A handle on a folder below the base, to which no link leads."""
    handle = os.dup(base)
    try:
        for part in parts:
            below = os.open(part, _FOLDER, dir_fd=handle)
            os.close(handle)
            handle = below
        yield handle
    finally:
        os.close(handle)


def _look(base: int, parts: tuple[str, ...]) -> os.stat_result:
    with _inner(base, *parts[:-1]) as folder:
        return os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)


def _open_file(base: int, parts: tuple[str, ...]) -> int:
    with _inner(base, *parts[:-1]) as folder:
        return os.open(parts[-1], _READ | os.O_NOFOLLOW, dir_fd=folder)


def _member(name: str, kind: os.stat_result, type_: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = type_, stat.S_IMODE(kind.st_mode), int(kind.st_mtime)
    return member


def _pack_file(tar: tarfile.TarFile, handle: int, path: str, name: str, tally: Tally) -> None:
    """The file of ``handle``, which is closed."""
    with os.fdopen(handle, "rb") as file:
        kind = os.fstat(handle)
        if not stat.S_ISREG(kind.st_mode):
            raise ClientError(f"cannot read {path}: it is no file any more")
        member = _member(name, kind, tarfile.REGTYPE)
        member.size = kind.st_size
        tar.addfile(member, _Reader(file, path, kind.st_size, tally))
        if file.read(1):
            tally.note(f"{path} became longer meanwhile: its first {kind.st_size} bytes were copied")
    tally.add(0, files=1)


class _Reader:
    """A file that is expected to be as long as it was."""

    def __init__(self, file: BinaryIO, name: str, size: int, tally: Tally) -> None:
        self._file, self._name, self._left, self._tally = file, name, size, tally

    def read(self, count: int = -1) -> bytes:
        with _local("read", self._name):
            data = self._file.read(self._left if count < 0 else min(count, self._left))
        if not data and self._left:
            raise ClientError(f"cannot read {self._name}: it became shorter meanwhile")
        self._left -= len(data)
        self._tally.add(len(data))
        return data


# In


@dataclass(slots=True)
class Incoming:
    """A tar stream of one thing: its first member is the thing itself, the others lie in it."""

    tar: tarfile.TarFile
    root: tarfile.TarInfo
    parts: tuple[str, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.parts = _parts(self.root.name)

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder."""
        return self.root.isdir()

    def unpack(self, folder: Path, name: str, tally: Tally) -> None:
        """Write it into ``folder``, which is there, by the name ``name``; without one what is in it."""
        with _local("write to", str(folder)):
            base = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _Target(base, str(folder), (name,) if name else (), tally).take(self)
        finally:
            os.close(base)


@contextlib.contextmanager
def receive(stream: BinaryIO) -> Iterator[Incoming]:
    """Begin to read a stream."""
    try:
        with tarfile.open(fileobj=stream, mode="r|", bufsize=_CHUNK_BYTES) as tar:
            root = tar.next()
            if root is None:
                raise ClientError("cannot copy it: it is neither a file nor a folder nor a link")
            yield Incoming(tar, root)
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise BadAnswer(f"the daemon sent no archive: {error}") from error


def _parts(name: str) -> tuple[str, ...]:
    parts = tuple(part for part in name.split("/") if part not in {"", "."})
    if ".." in parts or "\0" in name:
        raise BadAnswer(f"the daemon sent a name that leads elsewhere: {name!r}")
    return parts


class _Target:
    """A folder of this machine that a stream is written into."""

    def __init__(self, base: int, shown: str, below: tuple[str, ...], tally: Tally) -> None:
        self._base, self._shown, self._below, self._tally = base, shown, below, tally

    def take(self, incoming: Incoming) -> None:
        depth = len(incoming.parts)
        member: tarfile.TarInfo | None = incoming.root
        while member is not None:
            parts = _parts(member.name)
            if parts[:depth] != incoming.parts:
                raise BadAnswer(f"the daemon sent more than was asked for: {member.name!r}")
            self._take(incoming.tar, member, parts[depth:], incoming.parts)
            self._tally.missing = member.pax_headers.get("comment", "")
            member = incoming.tar.next()

    def _take(
        self, tar: tarfile.TarFile, member: tarfile.TarInfo, inner: tuple[str, ...], root: tuple[str, ...]
    ) -> None:
        path = (*self._below, *inner)
        shown = "/".join((self._shown, *path))
        with _local("write", shown):
            if member.isdir():
                os.close(self._folder(path, member.mode))
            elif not path:
                raise ClientError(f"cannot write {shown}: it is a folder here")
            elif member.issym() and not inner:
                raise ClientError(f"cannot copy {shown}: it is a link to {member.linkname!r}, which is not followed")
            elif member.isreg():
                self._file(tar, member, path)
            elif member.issym() and _stays_inside(inner, member.linkname):
                self._link(member.linkname, path)
            elif member.islnk() and (target := _parts(member.linkname))[: len(root)] == root:
                self._hard_link((*self._below, *target[len(root) :]), path)
            else:
                self._tally.note(f"left out {shown}: it is a link that leads out, or no file")

    def _folder(self, path: tuple[str, ...], mode: int = 0o777) -> int:
        """A handle on a folder below the base, which is made where it is not there."""
        handle = os.dup(self._base)
        for part in path:
            try:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, (mode & 0o777) | 0o700, dir_fd=handle)
                below = os.open(part, _FOLDER, dir_fd=handle)
            finally:
                os.close(handle)
            handle = below
        return handle

    @contextlib.contextmanager
    def _new(self, path: tuple[str, ...]) -> Iterator[tuple[int, str]]:
        """The folder of ``path`` and a name in it for what gets its own name when the block is left."""
        parent = self._folder(path[:-1])
        part = f".notebookctl-{secrets.token_hex(6)}"
        try:
            _require_replaceable(parent, path[-1])
            yield parent, part
            os.replace(part, path[-1], src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(part, dir_fd=parent)
            raise
        finally:
            os.close(parent)

    def _file(self, tar: tarfile.TarFile, member: tarfile.TarInfo, path: tuple[str, ...]) -> None:
        data = tar.extractfile(member)
        assert data is not None, "a regular file has data"
        with self._new(path) as (parent, part):
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with os.fdopen(os.open(part, flags, member.mode & 0o777, dir_fd=parent), "wb") as file:
                while chunk := data.read(_CHUNK_BYTES):
                    file.write(chunk)
                    self._tally.add(len(chunk))
                file.flush()
                with contextlib.suppress(ValueError, OverflowError):  # whoever wrote the stream chose it
                    os.utime(file.fileno(), (member.mtime, member.mtime))
        self._tally.add(0, files=1)

    def _link(self, target: str, path: tuple[str, ...]) -> None:
        with self._new(path) as (parent, part):
            os.symlink(target, part, dir_fd=parent)

    def _hard_link(self, target: tuple[str, ...], path: tuple[str, ...]) -> None:
        source = self._folder(target[:-1])
        try:
            with self._new(path) as (parent, part):
                os.link(target[-1], part, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)
        self._tally.add(0, files=1)


def _require_replaceable(folder: int, name: str) -> None:
    """Nothing but a file or a link is ever replaced: a device or a pipe that goes is missed by others."""
    try:
        kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISREG(kind) and not stat.S_ISLNK(kind):
        raise FileExistsError(errno.EEXIST, "something that is no file is there already")


def _stays_inside(inner: tuple[str, ...], target: str) -> bool:
    """Whether a link at ``inner`` to ``target`` leads to what was copied with it. Going up after having gone down might
    lead anywhere: what it went down by may be a link itself."""
    if not inner or not target or target.startswith("/") or "\0" in target:
        return False
    parts = [part for part in target.split("/") if part not in {"", "."}]
    up = len(list(itertools.takewhile(lambda part: part == "..", parts)))
    return up < len(inner) and ".." not in parts[up:]
