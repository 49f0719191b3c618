# SPDX-License-Identifier: Apache-2.0
"""The world as it stands at one instant, kept aside: what SIGKILL leaves behind, nothing tidied up.

A copy of the fakes and of every file, taken while the daemon is in the midst of something. The daemon that was there
knows nothing of it and goes on; another is started over the copy, in the same folder, once the first has left.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from notebookd.testing.house import World

_SHARED_MEMORY = "-shm"
"""SQLite's index of its journal, which is made anew from it."""
_JOURNAL = "-wal"
"""Written in place, also twice in one tick of the file system's clock."""

Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A file, or for a folder no content."""

    content: bytes | None
    mode: int
    stamp: Stamp


Disk = dict[str, Leaf]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    """A world and its disk."""

    world: World
    disk: Disk


class Camera:
    """Takes the pictures of one world. What did not change from one to the next is kept once."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._last: Disk = {}

    def freeze(self) -> Frozen:
        """The world now."""
        self._last = dict(_leaves(_root(self._world), self._last))
        return Frozen(world=_copy(self._world), disk=self._last)


def thaw(frozen: Frozen) -> World:
    """Another world like it, on the same place of the disk; what stands there now is gone."""
    root = _root(frozen.world)
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir(parents=True)
    for name, leaf in frozen.disk.items():
        path = root / name
        if leaf.content is None:
            path.mkdir()
        else:
            path.write_bytes(leaf.content)
        path.chmod(leaf.mode)
    return _copy(frozen.world)


def _root(world: World) -> Path:
    """The folder that holds state and runtime: the world's own."""
    return world.config.paths.state.parent


def _copy(world: World) -> World:
    return copy.deepcopy(world, {id(world.config): world.config})


def _leaves(root: Path, before: Disk, under: str = "") -> Iterator[tuple[str, Leaf]]:
    with os.scandir(root / under) as entries:
        for entry in sorted(entries, key=lambda each: each.name):
            name = f"{under}{entry.name}"
            try:
                facts = entry.stat(follow_symlinks=False)
                stamp = (facts.st_ino, facts.st_mtime_ns, facts.st_size)
                if entry.is_dir(follow_symlinks=False):
                    yield name, Leaf(content=None, mode=facts.st_mode & 0o7777, stamp=stamp)
                    yield from _leaves(root, before, f"{name}/")
                elif entry.is_file(follow_symlinks=False) and not name.endswith(_SHARED_MEMORY):
                    known = before.get(name)
                    if known is None or known.stamp != stamp or name.endswith(_JOURNAL):
                        content = Path(entry.path).read_bytes()
                        known = Leaf(content=content, mode=facts.st_mode & 0o7777, stamp=stamp)
                    yield name, known
            except FileNotFoundError:
                continue  # a thread took it away meanwhile
