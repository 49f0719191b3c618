# SPDX-License-Identifier: Apache-2.0
"""Volumes' folders on the local disk.

Below ``state/volumes/<notebook>/<volume id>/`` lies ``data``, which a container sees, and beside it what is the movers'
alone; a scratch volume has a folder ``scratch`` instead. Below ``state/cache/<digest of the source>/`` lie
``versions/<version>``, which containers see read only, ``used/<version>``, touched whenever one is mounted, and
``asked``, touched whenever the source is pulled.
"""

from __future__ import annotations

import asyncio
import os
import re
import secrets
from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from notebookd import nofollow
from notebookd.adapters.datastores import Folder, find_folder, find_in_store, in_time, volume_faults
from notebookd.config import Config, Paths
from notebookd.domain.advice import OTHER_VOLUMES
from notebookd.domain.attached import Attached, Place
from notebookd.domain.ids import NotebookId
from notebookd.domain.volumes import WORKSPACE, Source, StoreSource
from notebookd.errors import VolumeFault
from notebookd.ports.engine import Mount

T = TypeVar("T")

DATA, SCRATCH, VERSIONS, USED, ASKED, SOURCE = "data", "scratch", "versions", "used", "asked", "source"
_FOLDER_MODE = 0o700
_MOUNT_POINT_MODE = 0o755
_IN_THE_WAY = f"mount it elsewhere, or start without it and move what is there; {OTHER_VOLUMES.text}"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_SOURCE_LIMIT = 4096
CLONE_NOTE = "git.json"
"""What a mover keeps beside a clone."""
_NOTE_LIMIT = 64 * 1024 * 1024


def ask_for(paths: Paths, source: Source, *, now: datetime) -> Path:
    """Make the folder of the shared copies of a source, and note that it is wanted; returns it."""
    folder = paths.shared(str(source))
    folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    with nofollow.open_directory(folder) as fd:
        nofollow.replace_file(fd, SOURCE, str(source).encode())
    _touch(folder / ASKED, now)
    return folder


class LocalVolumes:
    """See :class:`~notebookd.ports.volumes.Volumes`. ``config`` is what is in force: a reload replaces it."""

    def __init__(self, config: Config) -> None:
        self.config = config

    @property
    def _paths(self) -> Paths:
        return self.config.paths

    async def prepare(self, notebook_id: NotebookId, attached: Sequence[Attached], *, now: datetime) -> None:
        """See :meth:`Volumes.prepare`."""
        await _in_thread(self._prepare, notebook_id, attached, now)

    async def mounts(self, notebook_id: NotebookId, attached: Sequence[Attached]) -> tuple[Mount, ...]:
        """See :meth:`Volumes.mounts`."""
        return tuple([await self._mount(notebook_id, each) for each in attached])

    async def discard(
        self, notebook_id: NotebookId, *, keep: Collection[str] | None = None, scratch: bool = False
    ) -> None:
        """See :meth:`Volumes.discard`."""
        await _in_thread(_discard, self._paths.volumes / notebook_id, keep, scratch)

    async def sweep_cache(self, in_use: Collection[tuple[str, str]], *, unused_since: datetime) -> list[str]:
        """See :meth:`Volumes.sweep_cache`."""
        wanted = {(self._paths.shared(source).name, version) for source, version in in_use}
        return await _in_thread(_sweep, self._paths.cache, wanted, unused_since)

    def _prepare(self, notebook_id: NotebookId, attached: Sequence[Attached], now: datetime) -> None:
        for each in attached:
            if each.place is Place.SCRATCH:
                folder = self._paths.copy(notebook_id, each.id)
                folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
                nofollow.remove_tree(folder, SCRATCH)
                (folder / SCRATCH).mkdir(mode=_FOLDER_MODE)
            elif each.place is Place.CACHE and each.version is not None:
                folder = self._paths.shared(str(each.volume.source))
                with suppress(FileNotFoundError):  # then there is no copy either, and its mount says so
                    (folder / USED).mkdir(mode=_FOLDER_MODE, exist_ok=True)
                    _touch(folder / USED / each.version, now)

    async def _mount(self, notebook_id: NotebookId, each: Attached) -> Mount:
        volume = each.volume
        with volume_faults(f"cannot mount {volume.source} at {volume.mount_path}"):
            found = await in_time(lambda: self._find(notebook_id, each))
            if volume.mount_path.startswith(f"{WORKSPACE}/"):
                below = volume.mount_path.removeprefix(f"{WORKSPACE}/").split("/")
                await asyncio.to_thread(_make_mount_point, self._paths.workspaces / notebook_id, below)
        return Mount(
            source=str(found.path),
            target=volume.mount_path,
            read_only=each.place is Place.CACHE or not volume.permission.writable,
            identity=found.identity,
        )

    def _find(self, notebook_id: NotebookId, each: Attached) -> Folder:
        source, writable = each.volume.source, each.volume.permission.writable
        if each.place is Place.DIRECTORY:
            assert isinstance(source, StoreSource)
            return find_in_store(self.config, source.alias, source.container, source.prefix, writable=writable)
        if each.place is Place.CACHE:
            return find_folder(self._paths.shared(str(source)), (VERSIONS, each.version or ""), writable=False)
        kind = SCRATCH if each.place is Place.SCRATCH else DATA
        return find_folder(self._paths.copy(notebook_id, each.id), (kind,), writable=writable)


async def _in_thread(work: Callable[..., T], *what: object) -> T:
    with volume_faults("cannot see to volumes"):
        return await asyncio.to_thread(work, *what)


def _make_mount_point(workspace: Path, below: Sequence[str]) -> None:
    """Make the folders that something is to be mounted at in a workspace. What the runtime would make belongs to
    another account: nobody could write beside the mount, and nobody remove it. A shut folder on the way is left to it.
    Raises VolumeFault where something else stands."""
    with ExitStack() as opened, suppress(FileNotFoundError, PermissionError):
        folder = opened.enter_context(nofollow.open_directory(workspace))
        for name in below:
            with suppress(FileExistsError):
                os.mkdir(name, _MOUNT_POINT_MODE, dir_fd=folder)
            try:
                folder = opened.enter_context(nofollow.open_directory(folder, name))
            except nofollow.UnexpectedKind as fault:
                cause = f"{name!r} is a file or link in the workspace, and in its way"
                raise VolumeFault(cause, info_code="DATASYNC_INVALID_SOURCE", hint=_IN_THE_WAY) from fault


def _discard(folder: Path, keep: Collection[str] | None, scratch: bool) -> None:
    try:
        names = [entry.name for entry in os.scandir(folder)]
    except FileNotFoundError:
        return
    for name in names:
        half_gone = name.startswith(".")
        wanted = keep is not None and (name in keep or _is_worked_in(folder, name))
        if half_gone or (not wanted and (not scratch or (folder / name / SCRATCH).is_dir())):
            _remove(folder, name)
    with suppress(OSError):  # it is not empty
        folder.rmdir()


class _CloneNote(msgspec.Struct):
    writable: bool = True


def _is_worked_in(folder: Path, name: str) -> bool:
    """Whether a Git clone is there that its notebook could write to."""
    try:
        with nofollow.open_directory(folder, name) as fd:
            note = nofollow.read_file(fd, CLONE_NOTE, limit=_NOTE_LIMIT)
    except (FileNotFoundError, nofollow.UnexpectedKind):
        return False
    try:
        return msgspec.json.decode(note, type=_CloneNote).writable
    except msgspec.DecodeError:
        return True


def _remove(folder: Path, name: str) -> None:
    """Remove a tree; one that is half gone never has its name."""
    doomed = f".{secrets.token_hex(8)}"
    (folder / name).rename(folder / doomed)
    nofollow.remove_tree(folder, doomed)


def _sweep(cache: Path, in_use: Collection[tuple[str, str]], unused_since: datetime) -> list[str]:
    removed: list[str] = []
    if not cache.is_dir():
        return removed
    for folder in sorted(each for each in cache.iterdir() if each.is_dir() and not each.is_symlink()):
        if _DIGEST.fullmatch(folder.name):
            wanted = {version for digest, version in in_use if digest == folder.name}
            removed += _sweep_source(folder, wanted, unused_since)
        elif folder.name.startswith("."):
            nofollow.remove_tree(cache, folder.name)
    return removed


def _sweep_source(folder: Path, wanted: Collection[str], unused_since: datetime) -> list[str]:
    """Remove what of one source was not used. While it is asked for, a pull may begin from its newest copy."""
    versions = folder / VERSIONS
    try:
        by_age = sorted(versions.iterdir(), key=lambda each: each.lstat().st_ctime)
    except FileNotFoundError:
        by_age = []
    asked = _last(folder / ASKED, folder) >= unused_since
    kept = [each for each in by_age if each.name in wanted or _last(folder / USED / each.name, each) >= unused_since]
    if asked and by_age and by_age[-1] not in kept:
        kept.append(by_age[-1])
    with nofollow.open_directory(folder) as fd:
        name = (
            nofollow.read_file(fd, SOURCE, limit=_SOURCE_LIMIT).decode() if (folder / SOURCE).exists() else folder.name
        )
    doomed = [each for each in by_age if each not in kept]
    for each in doomed:
        _remove(versions, each.name)
        (folder / USED / each.name).unlink(missing_ok=True)
    if not kept and not asked:
        _remove(folder.parent, folder.name)
    return [f"{name} ({each.name})" for each in doomed]


def _last(stamp: Path, made: Path) -> datetime:
    """When something was used last: when its stamp says, or else when it was made."""
    try:
        at = stamp.lstat().st_mtime
    except FileNotFoundError:
        at = made.lstat().st_ctime
    return datetime.fromtimestamp(at, UTC)


def _touch(stamp: Path, at: datetime) -> None:
    stamp.touch(mode=0o600)
    os.utime(stamp, (at.timestamp(), at.timestamp()), follow_symlinks=False)
