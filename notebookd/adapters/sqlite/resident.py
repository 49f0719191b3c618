# SPDX-License-Identifier: Apache-2.0
"""The database's pages, kept in memory.

The store reads in the event loop, and a page that is not in memory is a wait for the disk: of all who are served. The
kernel gives pages up that were not used for a while when somebody reads large files, as notebooks do all the time. So
those of the database and of its log are mapped and locked here; nobody reads the mapping. Where they may not be locked
(RLIMIT_MEMLOCK), the kernel is told with each commit that they will be needed.

A descriptor of the database that is closed takes all locks of SQLite's in this process with it (a rule of POSIX). So
these stay open until the connections are closed.
"""

from __future__ import annotations

import ctypes
import mmap
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

MOST_BYTES: Final = 256 * 1024**2
"""Of each file; the service's unit may lock both."""
_STEP_BYTES: Final = 256 * 1024
"""What was added last is in memory anyway: less than this, and than an eighth of all, is not looked after."""
_FAILED: Final = ctypes.c_void_p(-1).value
_libc = ctypes.CDLL(None, use_errno=True)
_libc.mmap.restype = ctypes.c_void_p
_libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
for _call in (_libc.munmap, _libc.mlock):
    _call.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


@dataclass(slots=True)
class _Held:
    """A file's mapping; ``fd`` is open as long as this."""

    fd: int
    identity: tuple[int, int]
    address: int = 0
    size: int = 0
    locked: bool = False


@dataclass(slots=True)
class Resident:
    """The database at ``path`` and its log. Waits for the disk: for a thread."""

    path: Path
    _held: dict[str, _Held] = field(default_factory=dict)
    _left: list[int] = field(default_factory=list)
    """Descriptors of files that are no longer there under their names."""

    def hold(self) -> None:
        """Hold what there is by now. That it cannot be done is no fault."""
        for name in (self.path.name, f"{self.path.name}-wal"):
            with suppress(OSError):
                self._look_after(name)

    def close(self) -> None:
        """Let go. No connection to the database may be open any more."""
        for held in self._held.values():
            _unmap(held.address, held.size)
            self._left.append(held.fd)
        self._held.clear()
        while self._left:
            os.close(self._left.pop())

    def _look_after(self, name: str) -> None:
        path = self.path.with_name(name)
        status = path.stat()
        identity = (status.st_dev, status.st_ino)
        held = self._held.get(name)
        if held is not None and held.identity != identity:
            _unmap(held.address, held.size)
            self._left.append(held.fd)
            held = None
        if held is None:
            held = self._held[name] = _Held(os.open(path, os.O_RDONLY | os.O_CLOEXEC), identity)
        size = min(status.st_size, MOST_BYTES)
        if size > held.size + min(_STEP_BYTES, held.size // 8) or size < held.size:
            before = held.address, held.size
            held.address, held.size = _mapped(held.fd, size) if size else 0, size
            _unmap(*before)
            held.locked = not size or _libc.mlock(held.address, size) == 0
        if not held.locked:
            os.posix_fadvise(held.fd, 0, size, os.POSIX_FADV_WILLNEED)


def _mapped(fd: int, size: int) -> int:
    address = _libc.mmap(None, size, mmap.PROT_READ, mmap.MAP_SHARED, fd, 0)
    if address == _FAILED:
        raise OSError(ctypes.get_errno(), "mmap")
    return int(address)


def _unmap(address: int, size: int) -> None:
    if size:
        _libc.munmap(address, size)
