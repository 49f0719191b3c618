# SPDX-License-Identifier: Apache-2.0
"""Folders of the host that volumes may be.

A datastore's folder is other people's ground: whatever the administrator named is trusted, and nothing below it. It is
walked by descriptor, and what was found is told by device and inode, for the engine to compare with what it mounted.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from notebookd import nofollow
from notebookd.config import Config, Datastore, DirectoryDatastore
from notebookd.errors import VolumeFault
from notebookd.ports.movers import StoredObject

T = TypeVar("T")

MAX_OBJECTS = 10_000
PATIENCE_S = 10.0
RIGHTS_HINT = "let it: `setfacl -R -m u:notebookd:rwX,d:u:notebookd:rwX FOLDER`, and u:notebookd:x on each folder above"
_AT_FDCWD, _AT_EACCESS = -100, 0x200
_INFO_CODES = {
    errno.ENOENT: "DATASYNC_SOURCE_NOT_FOUND",
    errno.EACCES: "DATASYNC_ACCESS_DENIED",
    errno.EPERM: "DATASYNC_ACCESS_DENIED",
    errno.ENOSPC: "DATASYNC_DISK_FULL",
    errno.EDQUOT: "DATASYNC_DISK_FULL",
    errno.ENAMETOOLONG: "DATASYNC_INVALID_SOURCE",
}
_libc = ctypes.CDLL(None, use_errno=True)


_lookers = ThreadPoolExecutor(max_workers=8, thread_name_prefix="datastore")
"""Threads that may hang for as long as a server of NFS is away, and then nobody else's work with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """A folder as it was found: its path, device and inode."""

    path: Path
    identity: tuple[int, int]


async def in_time(look: Callable[[], T], *, patience_s: float = PATIENCE_S) -> T:
    """What ``look`` returns, which touches folders that may be far away. Raises VolumeFault with the bare cause when it
    takes too long; its thread goes on."""
    try:
        async with asyncio.timeout(patience_s):
            return await asyncio.get_running_loop().run_in_executor(_lookers, look)
    except TimeoutError as fault:
        cause = f"it does not answer in {patience_s:g} s"
        hint = "is the disk or the server that it lies on there?"
        raise VolumeFault(cause, info_code="DATASYNC_UNREACHABLE", hint=hint) from fault


@contextmanager
def volume_faults(action: str) -> Iterator[None]:
    """Whatever keeps ``action`` ("cannot mount x") from being done, as a VolumeFault."""
    try:
        yield
    except VolumeFault as fault:
        raise VolumeFault(f"{action}: {fault.message}", info_code=fault.info_code, hint=fault.hint) from fault
    except (nofollow.UnexpectedKind, ValueError) as fault:
        cause = "there is a link on the way, or what is no folder"
        raise VolumeFault(f"{action}: {cause}", info_code="DATASYNC_INVALID_SOURCE") from fault
    except OSError as fault:
        raise VolumeFault(
            f"{action}: {fault.strerror}",
            info_code=_INFO_CODES.get(fault.errno or 0, "DATASYNC_ERROR"),
            hint=RIGHTS_HINT if fault.errno in {errno.EACCES, errno.EPERM} else None,
        ) from fault


def find_store(config: Config, alias: str) -> Datastore:
    """The datastore of that name. Raises VolumeFault when it is gone."""
    store = next((each for each in config.datastores if each.alias == alias), None)
    if store is None:
        raise VolumeFault(f"there is no datastore {alias} any more", info_code="DATASYNC_INVALID_SOURCE")
    return store


def find_in_store(config: Config, alias: str, container: str, prefix: str, *, writable: bool) -> Folder:
    """The folder ``container/prefix`` of a folder datastore. Raises VolumeFault with the bare cause, OSError."""
    store = find_store(config, alias)
    if not isinstance(store, DirectoryDatastore):
        raise VolumeFault(f"the datastore {alias} is no folder any more", info_code="DATASYNC_INVALID_SOURCE")
    return find_folder(store.path, _names(container, prefix), writable=writable, kept_out=_own_folders(config))


def find_folder(root: Path, names: Sequence[str], *, writable: bool, kept_out: Sequence[Path] = ()) -> Folder:
    """The folder ``root/names…``, which the account may read (and write to). Raises VolumeFault with the bare cause,
    OSError."""
    with _pinned(root, names, kept_out) as fd:
        seen = os.fstat(fd)
        for mode, right in ((os.R_OK | os.X_OK, "read"), (os.W_OK, "write to")):
            if (mode != os.W_OK or writable) and not _may(fd, mode):
                cause = f"notebookd's account, which notebooks run as, may not {right} it"
                raise VolumeFault(cause, info_code="DATASYNC_ACCESS_DENIED", hint=RIGHTS_HINT)
    return Folder(path=root.joinpath(*names), identity=(seen.st_dev, seen.st_ino))


def list_in_store(config: Config, store: DirectoryDatastore, container: str, prefix: str) -> list[StoredObject]:
    """What lies in a folder of a datastore, one level deep, at most :data:`MAX_OBJECTS`. Links, and what is neither
    file nor folder, are left out. Raises VolumeFault with the bare cause, OSError."""
    names = _names(container, prefix)
    with _pinned(store.path, names, _own_folders(config)) as pinned, nofollow.open_directory(pinned) as fd:
        objects: list[StoredObject] = []
        with os.scandir(fd) as entries:
            for entry in entries:
                seen = entry.stat(follow_symlinks=False)
                if stat.S_ISDIR(seen.st_mode) or stat.S_ISREG(seen.st_mode):
                    objects.append(_object(entry.name, seen))
                if len(objects) == MAX_OBJECTS:
                    break
    return sorted(objects, key=lambda each: each.path)


def _object(name: str, seen: os.stat_result) -> StoredObject:
    is_folder = stat.S_ISDIR(seen.st_mode)
    return StoredObject(
        path=os.fsencode(name).decode("utf-8", "backslashreplace"),
        size_bytes=0 if is_folder else seen.st_size,
        modified_at=datetime.fromtimestamp(seen.st_mtime, UTC).isoformat(),
        is_folder=is_folder,
    )


def _names(container: str, prefix: str) -> tuple[str, ...]:
    return tuple(filter(None, (container, *prefix.split("/"))))


def _own_folders(config: Config) -> tuple[Path, ...]:
    return (config.paths.state, config.paths.runtime, config.engine.socket.parent)


@contextmanager
def _pinned(root: Path, names: Sequence[str], kept_out: Sequence[Path]) -> Iterator[int]:
    """A descriptor of the folder ``root/names…``; nothing of notebookd's own, however wide a datastore is drawn."""
    above = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with nofollow.pin(above, *names) as fd:
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                raise VolumeFault("it is a link, or no folder", info_code="DATASYNC_INVALID_SOURCE")
            real = Path(nofollow.socket_path(fd)).readlink()
            for own in (each.resolve() for each in kept_out):
                if real.is_relative_to(own) or own.is_relative_to(real):
                    raise VolumeFault("notebookd's own files lie there", info_code="DATASYNC_INVALID_SOURCE")
            yield fd
    finally:
        os.close(above)


def _may(fd: int, mode: int) -> bool:
    """Whether the account may. That the mount is read only for this process, in its sandbox, says nothing of the
    engine: rights are looked at first, so EROFS means that they suffice."""
    path = os.fsencode(nofollow.socket_path(fd))
    return _libc.faccessat(_AT_FDCWD, path, mode, _AT_EACCESS) == 0 or ctypes.get_errno() == errno.EROFS
