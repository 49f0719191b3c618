# SPDX-License-Identifier: Apache-2.0
"""The store port: what is remembered over every crash.

Implementation: :mod:`notebookd.adapters.sqlite`. Reads are plain calls, bounded by a key or a page, and see the last
committed state. Writes happen inside :meth:`Store.transaction`, one at a time and in one piece: no other task runs
between the first read and the last write, so *read, decide, write* is atomic. Reads inside it see what it wrote, and
what those wrote that share its commit. Every method may raise :class:`~notebookd.errors.StoreUnavailable`; then
nothing was changed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO, Protocol, TypeVar

from notebookd.domain.entry import Entry
from notebookd.domain.event import Event
from notebookd.domain.gpu import GpuMarks, Lease
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.notebook import Notebook
from notebookd.domain.run import NotebookState, Run
from notebookd.ports.accounts import AccountReader, AccountWriter
from notebookd.ports.ledger import LedgerReader, LedgerWriter
from notebookd.ports.shelf import ShelfReader, ShelfWriter
from notebookd.ports.tokens import TokenReader, TokenWriter

T = TypeVar("T")

ANSWER_LIFE = timedelta(hours=24)
"""How long an idempotency key is kept."""


RESTORED = "restored"
"""The fact about an instance whose store was put back to an earlier time, until that was taken account of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookFilter:
    """Which notebooks to list; None and empty do not restrict. ``page`` counts from 1."""

    owner: str | None = None
    states: Collection[NotebookState] = ()
    labels: Collection[tuple[str, str]] = ()
    updated_after: datetime | None = None
    updated_before: datetime | None = None
    sort: str = "createdAt"
    descending: bool = False
    page: int = 1
    size: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """What the store takes on the disk: the database with its log, and the reserve beside it, 0 when it was given
    up. And what is left there: bytes, and how many more files can be made (None where nothing bounds them)."""

    database_bytes: int
    ballast_bytes: int
    free_bytes: int
    free_inodes: int | None


class Reader(AccountReader, LedgerReader, ShelfReader, TokenReader, Protocol):
    """Reads of the last committed state."""

    def find_entry(self, notebook_id: NotebookId) -> Entry | None:
        """The notebook and its latest run, None when there is none or it was deleted."""
        ...

    def generation(self) -> int:
        """A number that is another one after every commit."""
        ...

    def revision(self, notebook_id: NotebookId) -> int:
        """A number that is another one after every commit that changes what is on record of a notebook: itself, its
        runs and their intervals, syncs and snapshots. While such a commit is on its way each is another one."""
        ...

    def find_run_owner(self, run_id: RunId) -> NotebookId | None:
        """The notebook (deleted ones included) that a run belongs to."""
        ...

    def list_runs(self, notebook_id: NotebookId) -> list[Run]:
        """All runs of a notebook, oldest first."""
        ...

    def list_entries(self, wish: NotebookFilter) -> tuple[list[Entry], int]:
        """A page of notebooks, and how many there are over all pages. What is alike in what they are sorted by comes in
        the order in which it was made: by ``createdAt``, new ones come after all others."""
        ...

    def list_unsettled(self) -> list[Entry]:
        """Notebooks whose latest run is active or holds compute still, or which are being deleted; by their runs'
        places in the queue."""
        ...

    def count_notebooks(self, owner: str) -> int:
        """How many notebooks an owner has."""
        ...

    def find_named(self, owner: str, name: str) -> NotebookId | None:
        """The owner's notebook of that name, None when there is none; one that is being deleted has given its name up.
        Of several, which earlier versions allowed, the oldest."""
        ...

    def count_states(self) -> Mapping[NotebookState, int]:
        """How many notebooks are in each state."""
        ...

    def list_leases(self) -> list[Lease]:
        """The active leases."""
        ...

    def list_gpu_marks(self) -> Mapping[str, GpuMarks]:
        """What is remembered of GPUs, by UUID; one that nothing is remembered of may be left out."""
        ...

    def list_events(self, *, after: int, limit: int, notebook_id: NotebookId | None, owner: str | None) -> list[Event]:
        """Events with ids greater than ``after``, in order."""
        ...

    def first_event_id(self) -> int:
        """The id of the oldest event that is kept, 0 when there is none. None is missing from it on."""
        ...

    def last_event_id(self) -> int:
        """The id of the newest event, 0 when there is none."""
        ...

    def find_answer(self, actor: str, key: str, *, now: datetime) -> tuple[str, NotebookId] | None:
        """What an idempotency key of this actor's stands for: digest of the request, notebook. None once it is
        older than :data:`ANSWER_LIFE`."""
        ...

    def find_meta(self, key: str) -> str | None:
        """A remembered fact about this instance."""
        ...


class Transaction(AccountWriter, LedgerWriter, ShelfWriter, TokenWriter, Protocol):
    """One atomic change. Nothing of it is visible to a :class:`Reader` before it is committed."""

    async def put_notebook(self, notebook: Notebook) -> Notebook:
        """Insert or update; returns it with its new version."""
        ...

    async def put_run(self, run: Run) -> Run:
        """Insert or update, leases included: grants make lease rows, a release closes them. Returns it with its
        new version, and a new one without a place with the last place of the queue. Raises
        :class:`~notebookd.errors.Conflict` when a GPU is leased already."""
        ...

    async def append(self, event: Event) -> None:
        """Record an event."""
        ...

    async def forget_events(self, before: datetime, *, at_most: int) -> None:
        """Forget the oldest events, up to the first that is not older than ``before`` and never the newest."""
        ...

    async def strike_off(self, notebook_id: NotebookId, at: datetime) -> None:
        """Turn a notebook into a tombstone; runs, leases and events stay."""
        ...

    async def put_gpu_marks(self, gpu_uuid: str, marks: GpuMarks) -> None:
        """Remember these marks of a GPU in place of what was."""
        ...

    async def put_answer(self, actor: str, key: str, digest: str, notebook_id: NotebookId, at: datetime) -> None:
        """Remember an idempotency key, and forget those past their life."""
        ...

    async def put_meta(self, key: str, value: str) -> None:
        """Remember a fact about this instance."""
        ...


class Store(Reader, Protocol):
    """The store."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a write transaction; written as a whole at a clean exit, and not at all at any other.

        What cannot be written (StoreUnavailable) is told at the exit, what breaks a rule of the store (Conflict) by the
        write. Transactions that wait for each other may share a commit; each fails alone, unless the commit fails. The
        exit comes after the commit, for whoever raises inside as well: they may have read what it makes durable.

        Raises:
            RuntimeError: at the exit: the block awaited something other than this transaction's own methods.
        """
        ...

    async def next_event(self, after: int) -> None:
        """Return once an event with an id greater than ``after`` is committed."""
        ...

    def backup(self) -> AbstractAsyncContextManager[BinaryIO]:
        """A consistent copy of the database, to be read from its beginning; gone when the block is left. It takes room
        beside the database and holds no writer up."""
        ...

    async def report(self, read: Callable[[Reader], T]) -> T:
        """What ``read`` makes of the store as it is now. It runs in a thread: it may take its time, and must touch
        nothing but the reader that it is given."""
        ...

    async def disk_use(self) -> DiskUse:
        """What the store takes on the disk, and what is left. A file system may take its time to say so."""
        ...
