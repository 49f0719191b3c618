# SPDX-License-Identifier: Apache-2.0
"""Empty files beside the database, which hold inodes: given up where a file has to be made and no inode is left."""

from __future__ import annotations

import os
from pathlib import Path

COUNT = 32


class Spares:
    """The inodes held in ``folder``, up to ``count``."""

    def __init__(self, folder: Path, count: int = COUNT) -> None:
        self._folder = folder
        self._count = count

    def trim(self) -> None:
        """Hold them while there are plenty."""
        free = free_inodes(self._folder.parent)
        if (free is None or free > 4 * self._count) and self.held() < self._count:
            self.take()

    def take(self) -> None:
        """Hold as many as there are, up to the count."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            for number in range(self._count):
                (self._folder / str(number)).touch(mode=0o600)
        except OSError:
            return

    def drop(self) -> bool:
        """Give them up, and say whether there were any. Their folder stays: it takes an inode, too."""
        held = self.held()
        for number in range(self._count if held else 0):
            (self._folder / str(number)).unlink(missing_ok=True)
        return held > 0

    def held(self) -> int:
        """How many are held now."""
        try:
            return sum(1 for _ in os.scandir(self._folder))
        except OSError:
            return 0


def free_inodes(folder: Path) -> int | None:
    """How many more files can be made on a file system; None where it makes inodes as they are wanted."""
    space = os.statvfs(folder)
    return space.f_favail if space.f_files else None
