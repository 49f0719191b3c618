# SPDX-License-Identifier: Apache-2.0
"""A volume's folder: ``data/``, which a notebook sees, and what a mover keeps beside it."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from notebookd.mover.manifest import Notes, Stamp, place_durably
from notebookd.mover.report import Code, Fault, readable_size
from notebookd.mover.tree import Tree


@dataclass(slots=True)
class Volume:
    """The folders and notes of a volume, open. ``staging`` and ``outgoing`` are the mover's own."""

    root: Path
    notes: Notes
    data: Tree
    staging: Tree
    outgoing: Tree

    @classmethod
    @contextmanager
    def open(cls, root: Path) -> Iterator[Self]:
        """Make what is missing of it, and keep every other mover out of it meanwhile."""
        with ExitStack() as stack:
            stack.enter_context(locked(root))
            trees = []
            for name in ("data", "staging", "outgoing"):
                (root / name).mkdir(exist_ok=True)
                trees.append(stack.enter_context(Tree(root / name)))
            yield cls(root, Notes(root), *trees)

    @staticmethod
    def lost_its_data(root: Path) -> bool:
        """Whether ``data/`` itself is gone of a volume that was pulled: nobody who works in it can remove that, so its
        files were not deleted by anybody."""
        return (root / "manifest.json").exists() and not (root / "data").is_dir()

    def token(self) -> str:
        """Eight hexadecimal digits by which this volume's temporary files at a remote are told from others'."""
        path = self.root / "token"
        if not path.exists():
            place_durably(path, secrets.token_hex(4).encode())
        return path.read_text()[:8]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Wait for whoever else is at work in a folder."""
    fd = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def digest_or_none(tree: Tree, path: str, kind: str) -> tuple[str, Stamp] | None:
    """A file's digest; None when there is no such hash or file, or it changes while it is read."""
    try:
        return tree.digest(path, kind) if kind else None
    except OSError:
        return None


def require_room(tree: Tree, needed_bytes: int) -> None:
    """Raise Fault DISK_FULL when what is to come does not fit."""
    if needed_bytes > (free := tree.free_bytes()):
        raise Fault(
            Code.DISK_FULL,
            f"{readable_size(needed_bytes)} are to come, more than the {readable_size(free)} that the disk of this "
            "machine has room for",
        )
