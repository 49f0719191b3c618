# SPDX-License-Identifier: Apache-2.0
"""Every name in a tree that a notebook may be rewriting, of whatever kind: by descriptor, never through a link."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from notebookd.mover.tree import DEEPEST

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

Unseen = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Visit:
    """One name: its path below the start, and the folder that it is in, which stays open until the next one."""

    path: str
    name: str
    folder: int
    status: os.stat_result


def visit(folder: int, prefix: str = "", *, unseen: Unseen) -> Iterator[Visit]:
    """Visit all that is below the descriptor ``folder`` on its filesystem; a folder comes before what is in it.

    ``unseen`` is told of what cannot be looked at or into. Whatever is gone meanwhile was never there.
    """
    device = os.fstat(folder).st_dev
    stack = [(os.open(".", FOLDER, dir_fd=folder), prefix, iter(_names(folder, prefix, unseen)))]
    try:
        while stack:
            fd, prefix, names = stack[-1]
            name = next(names, None)
            if name is None:
                os.close(stack.pop()[0])
                continue
            path = prefix + name
            try:
                status = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
            except OSError:
                unseen(path)
                continue
            yield Visit(path, name, fd, status)
            if status.st_mode & 0o170000 != 0o040000:
                continue
            inner = None
            if len(stack) < DEEPEST and status.st_dev == device:
                inner = _enter(fd, name)
            if inner is None:
                unseen(path)
            else:
                stack.append((inner, f"{path}/", iter(_names(inner, path, unseen))))
    finally:
        for each in stack:
            os.close(each[0])


def _enter(folder: int, name: str) -> int | None:
    try:
        return os.open(name, FOLDER, dir_fd=folder)
    except OSError:
        return None


def _names(folder: int, path: str, unseen: Unseen) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        unseen(path)
        return []


def stays_below(target: str, depth: int) -> bool:
    """Whether a link in a folder ``depth`` folders below a root leads to somewhere below that root, whatever other
    links there are: it may climb at its beginning alone, and not above the root."""
    parts = target.split("/")
    climbs = next((at for at, part in enumerate(parts) if part != ".."), len(parts))
    return bool(target) and not target.startswith("/") and climbs <= depth and ".." not in parts[climbs:]


def sync_disk(folder: Path) -> None:
    """Have all of the filesystem that ``folder`` is on reach its disk: what is called done outlives a power cut."""
    fd = os.open(folder, FOLDER)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(fd):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    finally:
        os.close(fd)
