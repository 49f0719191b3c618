# SPDX-License-Identifier: Apache-2.0
"""Touching files in trees that a notebook's container can rewrite.

Whatever lies under ``editors/<id>`` or in a workspace is hostile ground: a name may become a symbolic link to
somewhere else, a FIFO that blocks its reader for ever, or a directory swapped between two looks. Three habits hold
against all of it, and this module is where they live:

* **Walk by descriptor.** Each step is one name opened relative to a directory descriptor with ``O_NOFOLLOW``. A
  descriptor cannot be swapped under its holder, a path can.
* **Never wait.** ``O_NONBLOCK`` makes a FIFO without a peer open at once (or fail at once), and what was opened must
  then *prove* by ``fstat`` that it is what was asked for.
* **Connect to the inode, not to the name.** A socket is pinned with ``O_PATH|O_NOFOLLOW``, looked at, and reached
  through ``/proc/self/fd/N``. That closes the gap between check and connect, and the short path also lifts the
  108-byte limit of ``sun_path``.

A name that turns out to be of another kind raises :class:`UnexpectedKind`; everything else is the kernel's
``OSError`` as it came.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = [
    "UnexpectedKind",
    "create_file",
    "identity_of",
    "open_directory",
    "open_socket",
    "pin",
    "read_file",
    "remove_file",
    "remove_tree",
    "replace_file",
    "socket_path",
]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class UnexpectedKind(OSError):
    """The name exists and is not of the kind that was asked for: a link, a FIFO, a directory, a regular file."""

    def __init__(self, name: str, expected: str) -> None:
        super().__init__(errno.EINVAL, f"not a {expected}", name)


def _plain(name: str) -> str:
    """``name`` as one path component; anything that could climb or descend is refused."""
    if not name or name in {".", ".."} or "/" in name or "\0" in name:
        raise ValueError(f"cannot use {name!r} as a file name: it is not a single path component")
    return name


def _open(name: str, flags: int, *, dir_fd: int | None, expected: str) -> int:
    try:
        return os.open(name, flags, dir_fd=dir_fd)
    except OSError as error:
        # ELOOP: a link met O_NOFOLLOW. ENOTDIR: O_DIRECTORY met something else. ENXIO: a socket, or a FIFO
        # without a reader. All of them say that the name is something other than what we asked for.
        if error.errno in {errno.ELOOP, errno.ENOTDIR, errno.ENXIO}:
            raise UnexpectedKind(name, expected) from error
        raise


@contextmanager
def open_directory(root: Path | int, *names: str) -> Iterator[int]:
    """Yield a descriptor of the directory ``root/names[0]/names[1]/…``, following no link among ``names``.

    ``root`` is trusted ground: a path whose last component may not be a link either, or the descriptor of a
    directory, which stays the caller's. The yielded descriptor is closed at the end of the block.
    """
    if isinstance(root, int):
        fd = os.open(".", _DIRECTORY, dir_fd=root)
    else:
        fd = _open(str(root), _DIRECTORY, dir_fd=None, expected="directory")
    try:
        for name in names:
            below = _open(_plain(name), _DIRECTORY, dir_fd=fd, expected="directory")
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


@contextmanager
def pin(root: Path | int, *names: str) -> Iterator[int]:
    """Yield an ``O_PATH`` descriptor of whatever stands at ``root/names…``, following no link among ``names``.

    Nothing is opened for reading: of the folders on the way only the right to enter is needed. ``root`` as for
    :func:`open_directory`. Raises :class:`UnexpectedKind` for a link, or what else is no folder, on the way.
    """
    flags = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(".", flags, dir_fd=root) if isinstance(root, int) else os.open(root, flags)
    try:
        for position, name in enumerate(names, 1):
            kind = os.O_DIRECTORY if position < len(names) else 0
            below = _open(_plain(name), flags | kind, dir_fd=fd, expected="directory")
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)


def identity_of(root: Path | int, *names: str) -> tuple[int, int]:
    """Device and inode of what stands at ``root/names…``: see :func:`pin`."""
    with pin(root, *names) as fd:
        seen = os.fstat(fd)
    return seen.st_dev, seen.st_ino


@contextmanager
def open_socket(root: Path | int, *names: str) -> Iterator[int]:
    """Yield an ``O_PATH`` descriptor of the Unix socket at ``root/names…``; the last name is the socket's.

    The descriptor pins the socket: connect to :func:`socket_path` of it *inside* the block. Raises
    :class:`UnexpectedKind` when the name is a link or anything else that is not a socket.
    """
    *folders, name = names
    with open_directory(root, *folders) as parent:
        fd = os.open(_plain(name), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        if not stat.S_ISSOCK(os.fstat(fd).st_mode):
            raise UnexpectedKind(name, "socket")
        yield fd
    finally:
        os.close(fd)


def socket_path(fd: int) -> str:
    """The path of what ``fd`` pins: the address to ``connect()`` to for a socket that :func:`open_socket` yielded."""
    return f"/proc/self/fd/{fd}"


def read_file(dir_fd: int, name: str, *, limit: int = 64 * 1024) -> bytes:
    """The content of the regular file ``name`` in the directory ``dir_fd``, never more than ``limit`` bytes.

    Raises ``FileNotFoundError`` when absent and :class:`UnexpectedKind` when it is no regular file. A longer file is
    cut at ``limit``: its owner may have made it endless.
    """
    fd = _open(_plain(name), _READ, dir_fd=dir_fd, expected="regular file")
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise UnexpectedKind(name, "regular file")
        parts: list[bytes] = []
        left = limit
        while left > 0 and (part := os.read(fd, left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    finally:
        os.close(fd)


def create_file(dir_fd: int, name: str, data: bytes = b"", *, mode: int = 0o640) -> None:
    """Create the regular file ``name`` with exactly ``mode``; ``FileExistsError`` when *anything* has that name.

    A failed write leaves no file behind.
    """
    fd = os.open(_plain(name), _CREATE, mode, dir_fd=dir_fd)
    try:
        try:
            os.fchmod(fd, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
    except BaseException:
        with suppress(OSError):
            os.unlink(name, dir_fd=dir_fd)
        raise


def replace_file(dir_fd: int, name: str, data: bytes, *, mode: int = 0o640) -> None:
    """Put ``data`` at ``name`` in one step: a reader sees the old content or the new, never a part.

    A link of that name is itself replaced, not what it points at; a directory is an error. Nothing is synced to
    disk.
    """
    draft = f".{_plain(name)}.{secrets.token_hex(6)}.tmp"
    create_file(dir_fd, draft, data, mode=mode)
    try:
        os.replace(draft, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except BaseException:
        with suppress(OSError):
            os.unlink(draft, dir_fd=dir_fd)
        raise


def remove_file(dir_fd: int, name: str) -> bool:
    """Remove the name (a link, not its target); False when there was none."""
    try:
        os.unlink(_plain(name), dir_fd=dir_fd)
    except FileNotFoundError:
        return False
    return True


def remove_tree(root: Path | int, name: str) -> bool:
    """Remove whatever has that name in the directory ``root``, with all that is in it; False when there was nothing.

    Each folder's folders are first moved up beside it: so the depth of a tree costs neither descriptors nor stack.
    Folders that are shut are opened, links are removed and not followed.
    """
    with open_directory(root) as parent:
        try:
            if not _is_directory(parent, _plain(name)):
                return remove_file(parent, name)
        except FileNotFoundError:
            return False
        with _opened_up(parent, name) as doomed:
            while inner := [entry.name for entry in os.scandir(doomed)]:
                for each in inner:
                    _flatten(doomed, each)
        os.rmdir(name, dir_fd=parent)
    return True


def _flatten(doomed: int, name: str) -> None:
    """Remove ``name`` from the folder ``doomed``; folders that are in it come to lie beside it."""
    if not _is_directory(doomed, name):
        os.unlink(name, dir_fd=doomed)
        return
    with _opened_up(doomed, name) as folder:
        folders = []
        for each in [entry.name for entry in os.scandir(folder)]:  # files first: on a full disk a rename may want room
            if _is_directory(folder, each):
                folders.append(each)
            else:
                os.unlink(each, dir_fd=folder)
        for each in folders:
            with _opened_up(folder, each):
                os.rename(each, secrets.token_hex(16), src_dir_fd=folder, dst_dir_fd=doomed)
    os.rmdir(name, dir_fd=doomed)


def _is_directory(dir_fd: int, name: str) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode)


@contextmanager
def _opened_up(dir_fd: int, name: str) -> Iterator[int]:
    """A descriptor of the directory, whose owner may do everything with it from now on."""
    pinned = _open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd, expected="directory")
    try:
        if os.fstat(pinned).st_mode & stat.S_IRWXU != stat.S_IRWXU:
            Path(socket_path(pinned)).chmod(stat.S_IRWXU)
        with open_directory(pinned) as fd:
            yield fd
    finally:
        os.close(pinned)
