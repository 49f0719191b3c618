# SPDX-License-Identifier: Apache-2.0
"""The movers port: whoever carries data in and out, beyond the daemon's own life.

A mover is a container of the engine that sees one volume (or one workspace) and the credentials of the one place that
it talks to. It goes on while notebookd is away, says how far it is in a file, and leaves a result.

Implementations: :mod:`notebookd.adapters.movers` (real) and :mod:`notebookd.testing.movers` (fake). Both pass
``tests/contract/test_movers_contract.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from notebookd.domain.attached import Attached
from notebookd.domain.ids import NotebookId
from notebookd.domain.syncing import Report
from notebookd.domain.volumes import Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull:
    """Bring a volume in: into its own folder, or with ``volume.cache`` into the cache of its source. ``reset`` gives
    the local copy up first. Facts: ``version`` (of a cached copy), ``bytes``."""

    notebook_id: NotebookId
    volume_id: str
    volume: Volume
    reset: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """Carry a volume's changes back, as its permission has it."""

    notebook_id: NotebookId
    volume_id: str
    volume: Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeSnapshot:
    """Take a snapshot of a notebook's workspace into the notebook's own repository, then forget those that retention
    lets go. Facts: ``snapshot`` (id), ``bytes`` (on the disk) and ``files`` of what is in it, ``used`` (bytes
    on the disk of the whole workspace), ``kept`` (ids, with blanks between)."""

    notebook_id: NotebookId


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreSnapshot:
    """Fill a notebook's workspace, which no container has seen yet, from a snapshot of ``origin``'s."""

    notebook_id: NotebookId
    origin: NotebookId
    snapshot: str


Work: TypeAlias = Pull | Push | TakeSnapshot | RestoreSnapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object of a datastore: its path below what was listed, bytes, and when it was changed (RFC 3339)."""

    path: str
    size_bytes: int
    modified_at: str
    is_folder: bool = False


class Movers(Protocol):
    """Movers by id. Every method may raise :class:`~notebookd.errors.EngineError`; EngineUnavailable means that nobody
    knows."""

    async def launch(self, mover_id: str, work: Work, *, owner: str) -> None:
        """Have a mover of that id do ``work``. Idempotent: one that is at work, or has ended and was not cleared, is
        left alone; one that died without a result is replaced. Raises :class:`~notebookd.errors.VolumeFault` when the
        work cannot be begun for what it is about: no such datastore, no folder, ..."""
        ...

    async def look(self, mover_id: str) -> Report | None:
        """What a mover says of itself; None when there is none, or it died without a result."""
        ...

    async def interrupt(self, mover_id: str) -> None:
        """End a mover; what it did so far stays, whole files only. Idempotent."""
        ...

    async def clear(self, mover_id: str) -> None:
        """Remove an ended mover and all that it left of itself; end it first if need be. Idempotent."""
        ...

    async def list_movers(self) -> set[str]:
        """The ids of all movers that there is anything of, but for those that answer a question just now."""
        ...

    async def measure(self, notebook_id: NotebookId) -> int:
        """Bytes that a workspace takes on the disk."""
        ...

    async def list_objects(self, alias: str, container: str, prefix: str) -> list[StoredObject]:
        """What lies in a datastore below a prefix, one level deep. Raises VolumeFault."""
        ...

    async def check_snapshots(self, notebook_id: NotebookId) -> str:
        """Check a notebook's repository; returns what the check said. Raises VolumeFault when it is not sound."""
        ...

    async def forget_snapshots(self, notebook_id: NotebookId) -> None:
        """Remove a notebook's repository with all of its snapshots. Idempotent. Raises VolumeFault."""
        ...

    def read_archive(
        self, notebook_id: NotebookId, path: str, *, volume: Attached | None = None
    ) -> AsyncIterator[bytes]:
        """A tar stream of what lies at ``path`` of a workspace, or of the notebook's own copy of ``volume``. All of
        either is named as the last part of where it is mounted. Links are taken as links and not followed; what is no
        file, folder or link is left out. Raises VolumeFault: before the first byte (DATASYNC_SOURCE_NOT_FOUND where
        there is nothing), or after the last when the stream is not whole. Close it (``aclosing``) to end it early."""
        ...

    async def write_archive(
        self, notebook_id: NotebookId, path: str, tar: AsyncIterator[bytes], *, closed: Sequence[str] = ()
    ) -> int:
        """Unpack a tar stream into the folder ``path`` of a workspace, never out of it, nor into its folders
        ``closed``; returns how many files there were. Raises VolumeFault; a file that was not whole is not there."""
        ...
