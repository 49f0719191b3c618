# SPDX-License-Identifier: Apache-2.0
"""A file of nothing beside the database: given up when the disk is full, so that stop and delete still commit."""

from __future__ import annotations

import os
from pathlib import Path


class Ballast:
    """The reserve at ``path``, ``size`` bytes."""

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self.size = size

    def trim(self) -> bool:
        """Keep the reserve while there is room, give it up when the disk is nearly full. Returns whether it was given
        up now."""
        space = os.statvfs(self._path.parent)
        free = space.f_bavail * space.f_frsize
        if free < self.size // 8:
            return self.drop()
        if free > 4 * self.size and not self._whole():
            self.take()
        return False

    def take(self) -> bool:
        """Reserve the space, and say whether the reserve stands."""
        try:
            handle = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(handle, 0, self.size)
            finally:
                os.close(handle)
        except OSError:
            self.drop()
            return False
        return True

    def drop(self) -> bool:
        """Give the reserve up, and say whether there was one."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True

    def held_bytes(self) -> int:
        """What is reserved now."""
        try:
            return self._path.stat().st_size
        except OSError:
            return 0

    def _whole(self) -> bool:
        return self.held_bytes() == self.size
