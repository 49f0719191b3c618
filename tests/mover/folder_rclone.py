# SPDX-License-Identifier: Apache-2.0
"""A remote that is a folder, without rclone; and death before any one operation on files, at either end."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from notebookd.mover.abilities import Abilities
from notebookd.mover.manifest import Seen
from notebookd.mover.names import is_temporary
from notebookd.mover.rclone import Outcome, Rclone


class Killed(BaseException):
    """What a SIGKILL is in one process: nothing is done to any file from here on."""


class _Death:
    left: int | None = None


CHANGES = {"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.utime", "os.truncate"}
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _Death.left is None:
        return
    if event in CHANGES or (event == "open" and isinstance(args[2], int) and args[2] & WRITING):
        step()


def step() -> None:
    """One operation that may be the last."""
    if _Death.left is not None:
        _Death.left -= 1
        if _Death.left < 0:
            raise Killed


sys.addaudithook(_hook)


@contextmanager
def dying_after(operations: int | None) -> Iterator[None]:
    """Kill what is within after so many changes of files; it ends quietly."""
    _Death.left = operations
    try:
        yield
    except Killed:
        pass
    finally:
        _Death.left = None


class FolderRclone(Rclone):
    """rclone's part, over a folder. ``whole``: objects appear under their names when all of them is there."""

    def __init__(self, root: Path, *, whole: bool, digest: str, renames_over: bool) -> None:
        self.path = ""
        self._root = root
        self._abilities = Abilities(whole=whole, digest=digest, moves=not whole)
        self._renames_over = renames_over

    def abilities(self) -> Abilities:
        return self._abilities

    def listing(self, abilities: Abilities, inside: str = "") -> tuple[dict[str, Seen], list[str]]:
        root = self._root / inside
        found = {}
        for path in root.rglob("*"):
            name = str(path.relative_to(root))
            if path.is_file() and not is_temporary(name):
                status = path.stat()
                digest = abilities.digest
                made = hashlib.new(digest, path.read_bytes()).hexdigest() if digest else ""
                found[name] = Seen(status.st_size, status.st_mtime_ns, made)
        return found, []

    def require_container(self) -> None:
        pass

    def fetch(self, paths: Sequence[str], into: Path, listed_bytes: int) -> Outcome:
        for name in paths:
            source = self._root / name
            _write_slowly(into / name, source.read_bytes())
            os.utime(into / name, ns=(0, source.stat().st_mtime_ns))
        return Outcome(status=0)

    def send(self, paths: Sequence[str], source: Path, inside: str = "") -> Outcome:
        for name in paths:
            target = self._root / inside / name
            if not self._abilities.whole:
                _write_slowly(target, (source / name).read_bytes())
                continue
            draft = self._root.parent / "uploading"
            _write_slowly(draft, (source / name).read_bytes())
            target.parent.mkdir(parents=True, exist_ok=True)
            draft.replace(target)
        return Outcome(status=0)

    def settle(self, paths: Sequence[str], inside: str) -> Outcome:
        for name in paths:
            target = self._root / name
            target.parent.mkdir(parents=True, exist_ok=True)
            if not self._renames_over:
                target.unlink(missing_ok=True)
            (self._root / inside / name).replace(target)
        return Outcome(status=0)

    def delete(self, paths: Sequence[str]) -> Outcome:
        for name in paths:
            (self._root / name).unlink()
        return Outcome(status=0)

    def remove_empty(self, inside: str) -> None:
        for folder in sorted((self._root / inside).rglob("*"), reverse=True):
            folder.rmdir()
        (self._root / inside).rmdir()

    def purge(self, inside: str) -> None:
        if (self._root / inside).exists():
            shutil.rmtree(self._root / inside)


def _write_slowly(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb", buffering=0) as file:
        file.write(content[: len(content) // 2])
        step()
        file.write(content[len(content) // 2 :])
