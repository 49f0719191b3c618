# SPDX-License-Identifier: Apache-2.0
"""The store over one SQLite file.

Writes go through one aiosqlite connection, by turns (two tasks on one connection would share a transaction); those who
wait for their turn share a commit: :mod:`notebookd.adapters.sqlite.commits`. Reads use a second, ``query_only``
connection in the event loop itself: bounded by key or page, they are quicker there than a hop to a thread. They see
what is committed; inside a transaction, what it and those before it in its group wrote.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Self, TypeVar

from notebookd.adapters.sqlite import records
from notebookd.adapters.sqlite.accounts import AccountReads
from notebookd.adapters.sqlite.ballast import Ballast
from notebookd.adapters.sqlite.commits import GroupCommit, one_piece
from notebookd.adapters.sqlite.copies import fresh_copy, sweep_copies
from notebookd.adapters.sqlite.disk import disk_use, short_of, unopened
from notebookd.adapters.sqlite.history import HistoryReads
from notebookd.adapters.sqlite.ledger import LedgerReads
from notebookd.adapters.sqlite.resident import Resident
from notebookd.adapters.sqlite.schema import STEPS_PER_WORD, load_queries, migrate
from notebookd.adapters.sqlite.shelf import ShelfReads
from notebookd.adapters.sqlite.spares import Spares
from notebookd.adapters.sqlite.sums import make_sums
from notebookd.adapters.sqlite.tokens import TokenReads
from notebookd.adapters.sqlite.writes import BUSY_MS, SqliteTransaction, Writer
from notebookd.domain.entry import Entry
from notebookd.domain.gpu import GpuMarks, Lease
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.run import NotebookState, Run
from notebookd.errors import StoreUnavailable
from notebookd.ports.store import ANSWER_LIFE, DiskUse, NotebookFilter, Reader

T = TypeVar("T")

_FOUND = 4096
"""How many notebooks are kept as they were found; one takes about 5 KB."""
_PRAGMAS = ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", f"busy_timeout = {BUSY_MS}")


class SqliteReader(AccountReads, HistoryReads, LedgerReads, ShelfReads, TokenReads):
    """Reads on a connection of its own."""

    def __init__(self, connection: sqlite3.Connection, queries: Mapping[str, str]) -> None:
        self._reads = connection
        self._sql = queries
        self._unsettled: dict[NotebookId, Entry] | None = None
        """Asked for at every turn, and much of it the same each time: so it is kept, but for what is ``touched``."""
        self.touched: set[NotebookId] = set()
        """Notebooks of which something was written since they were looked at."""
        self.in_flight: set[NotebookId] = set()
        """Those of the commit that is on its way: it may be done before its caller hears of it."""
        self._found: dict[NotebookId, Entry] = {}
        """Those that were asked for last, oldest first: most are asked for again before they change."""
        self._revisions = itertools.count(1)
        self._revised: dict[NotebookId, int] = {}

    def _connection(self) -> sqlite3.Connection:
        return self._reads

    def _rows(self, name: str, values: Any = ()) -> list[Any]:
        return self._fetch(self._sql[name], values)

    def _each(self, name: str, values: Any = ()) -> Iterator[Any]:
        """Row by row, for what may be many."""
        try:
            yield from self._connection().execute(self._sql[name], values)
        except sqlite3.Error as fault:
            raise StoreUnavailable(f"cannot read the database: {fault}") from fault

    def _fetch(self, sql: str, values: Any = ()) -> list[Any]:
        try:
            return self._connection().execute(sql, values).fetchall()
        except sqlite3.Error as fault:
            raise StoreUnavailable(f"cannot read the database: {fault}") from fault

    def find_entry(self, notebook_id: NotebookId) -> Entry | None:
        """See :class:`~notebookd.ports.store.Reader`, here and below."""
        if notebook_id in self.in_flight:
            return self.look_up(notebook_id)
        entry = self._found.get(notebook_id)
        if entry is None and (entry := self.look_up(notebook_id)) is not None:
            if len(self._found) >= _FOUND:
                del self._found[next(iter(self._found))]
            self._found[notebook_id] = entry
        return entry

    def look_up(self, notebook_id: NotebookId) -> Entry | None:
        """The same, read anew."""
        return next(map(records.entry, self._rows("entry", (notebook_id,))), None)

    def revision(self, notebook_id: NotebookId) -> int:
        """Another one after each commit that touches the notebook, and each time while one is on its way."""
        return next(self._revisions) if notebook_id in self.in_flight else self._revised.get(notebook_id, 0)

    def landed(self) -> None:
        """The commit on its way is done, whatever came of it: what it touched is looked at again."""
        for notebook_id in self.in_flight:
            self._found.pop(notebook_id, None)
            self._revised[notebook_id] = next(self._revisions)
        self.touched |= self.in_flight
        self.in_flight = set()

    def find_run_owner(self, run_id: RunId) -> NotebookId | None:
        """The notebook of a run."""
        return next((NotebookId(row[0]) for row in self._rows("run_owner", (run_id,))), None)

    def list_runs(self, notebook_id: NotebookId) -> list[Run]:
        """All runs, oldest first."""
        return [records.run(*row) for row in self._rows("runs", (notebook_id,))]

    def list_entries(self, wish: NotebookFilter) -> tuple[list[Entry], int]:
        """A page and the total."""
        clause, values = records.page_query(wish)
        order = records.SORTS[wish.sort] + (" DESC" if wish.descending else " ASC")
        rows = self._fetch(
            f"SELECT n.id {clause} ORDER BY {order}, n.rowid LIMIT :limit OFFSET :offset",
            {**values, "limit": wish.size, "offset": (wish.page - 1) * wish.size},
        )
        total = self._fetch(f"SELECT count(*) {clause}", values)[0][0]
        return self.find_entries([row[0] for row in rows]), total

    def find_entries(self, notebook_ids: Sequence[NotebookId]) -> list[Entry]:
        """Those of them that there are, in this order."""
        found = {each: self._found[each] for each in notebook_ids if each in self._found and each not in self.in_flight}
        others = json.dumps([each for each in notebook_ids if each not in found])
        for entry in map(records.entry, self._rows("entries", (others,)) if others != "[]" else ()):
            found[entry.notebook.id] = entry
        return [found[each] for each in notebook_ids if each in found]

    def list_unsettled(self) -> list[Entry]:
        """Active, holding compute or deleting, by their places."""
        return in_order(self.unsettled())

    def unsettled(self) -> Mapping[NotebookId, Entry]:
        """The same by their ids."""
        if self._unsettled is None:
            self.touched = {NotebookId(row[0]) for row in self._rows("unsettled")}
            self._unsettled = {}
        self.look_again(self._unsettled, self.touched | self.in_flight)
        self.touched.clear()
        return self._unsettled

    def look_again(self, unsettled: dict[NotebookId, Entry], touched: Iterable[NotebookId]) -> None:
        """Bring ``unsettled`` up to date where it was touched."""
        for notebook_id in touched:
            entry = self.find_entry(notebook_id)
            if entry is not None and records.is_unsettled(entry):
                unsettled[notebook_id] = entry
            else:
                unsettled.pop(notebook_id, None)

    def count_notebooks(self, owner: str) -> int:
        """How many an owner has."""
        return int(self._rows("count_by_owner", (owner,))[0][0])

    def find_named(self, owner: str, name: str) -> NotebookId | None:
        """The notebook of that name."""
        return next((NotebookId(row[0]) for row in self._rows("named", (owner, name))), None)

    def count_states(self) -> Mapping[NotebookState, int]:
        """How many are in each state."""
        counts: dict[NotebookState, int] = {}
        for run_state, deleting, count in self._rows("count_by_state"):
            state = records.projected(run_state, deleting=bool(deleting))
            counts[state] = counts.get(state, 0) + count
        return counts

    def list_leases(self) -> list[Lease]:
        """Active leases."""
        return [records.lease(row) for row in self._rows("leases")]

    def list_gpu_marks(self) -> Mapping[str, GpuMarks]:
        """Marks by GPU."""
        return {gpu_uuid: records.gpu_marks(text) for gpu_uuid, text in self._rows("gpu_marks")}

    def find_answer(self, actor: str, key: str, *, now: datetime) -> tuple[str, NotebookId] | None:
        """What an idempotency key stands for."""
        rows = self._rows("answer", (actor, key, records.millis(now - ANSWER_LIFE)))
        return next(((row[0], NotebookId(row[1])) for row in rows), None)

    def find_meta(self, key: str) -> str | None:
        """A remembered fact."""
        return next((row[0] for row in self._rows("meta", (key,))), None)


def in_order(entries: Mapping[NotebookId, Entry]) -> list[Entry]:
    """By their runs' places in the queue."""
    return sorted(entries.values(), key=lambda entry: (entry.run.place, entry.run.number, entry.run.id))


class SqliteStore(SqliteReader):
    """See :class:`~notebookd.ports.store.Store`; made by :meth:`open`."""

    def __init__(
        self,
        path: Path,
        writes: Writer,
        reads: sqlite3.Connection,
        ballast: Ballast,
        spares: Spares,
        resident: Resident,
        on_write: Callable[[float], None],
    ) -> None:
        super().__init__(reads, load_queries())
        self._on_write = on_write
        self._path = path
        self._writes = writes
        self._committed = SqliteReader(reads, self._sql)
        self._ballast = ballast
        self._spares = spares
        self._resident = resident
        self._gave_up = False
        """Whether the reserve was given up for the last commit."""
        self._turns = GroupCommit(self._begin, self._commit)
        self._group: list[SqliteTransaction] = []
        """Those that share the next commit."""
        self._touched: set[NotebookId] = set()
        """The notebooks of which they wrote something."""
        self._deciding = False
        self._broken: RuntimeError | None = None
        self._news = asyncio.Condition()

    def _connection(self) -> sqlite3.Connection:
        return self._writes.connection if self._deciding else self._reads

    def find_entry(self, notebook_id: NotebookId) -> Entry | None:
        """A notebook with its latest run."""
        if self._deciding and notebook_id in self._touched:
            return self.look_up(notebook_id)
        return self._committed.find_entry(notebook_id)

    def find_entries(self, notebook_ids: Sequence[NotebookId]) -> list[Entry]:
        """Those of them that there are, in this order."""
        if self._deciding:
            return [entry for each in notebook_ids if (entry := self.find_entry(each)) is not None]
        return self._committed.find_entries(notebook_ids)

    def revision(self, notebook_id: NotebookId) -> int:
        """Of what is committed."""
        return self._committed.revision(notebook_id)

    def list_unsettled(self) -> list[Entry]:
        """Active, holding compute or deleting, by their places."""
        entries = self._committed.unsettled()
        if self._deciding and self._touched:
            entries = dict(entries)
            self.look_again(entries, self._touched)
        return in_order(entries)

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        path: Path,
        now: datetime,
        *,
        ballast_bytes: int = 64 * 1024 * 1024,
        at_work: Callable[[], None] = lambda: None,
        on_write: Callable[[float], None] = lambda _: None,
    ) -> AsyncIterator[Self]:
        """Open (and create or migrate) the database at ``path``. While a migration gets on, ``at_work`` is called now
        and then, from another thread. ``on_write`` is told of each transaction that is committed: the seconds since its
        turn began.

        Raises:
            StoreUnavailable: it cannot be opened, is not writable, or is of a newer version.
        """
        ballast, spares = Ballast(path.with_name("ballast"), ballast_bytes), Spares(path.with_name("ballast.inodes"))
        with closing(Resident(path)) as resident:
            try:
                writes, reads = await _open(path, now, at_work, resident)
            except StoreUnavailable:
                if not short_of(path) or not spares.drop() | ballast.drop():
                    raise
                writes, reads = await _open(path, now, at_work, resident)
            ballast.trim()
            spares.trim()
            try:
                yield cls(path, writes, reads, ballast, spares, resident, on_write)
            finally:
                reads.close()
                await writes.close()
                spares.take()  # the log's inodes are free now, and wanted at the next start

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqliteTransaction]:
        """Decide in one piece; written when it is left, and a caller who is cancelled then waits for it: so nobody
        reads, and decides, beside one that is on its way."""
        async with self._turns.turn():
            begun = time.perf_counter()
            opened = SqliteTransaction(self._sql, self._writes.change, self._rows, touched=self._touched)
            with self._decision(opened):
                yield opened
        if opened.changes:
            self._on_write(time.perf_counter() - begun)

    @contextmanager
    def _decision(self, opened: SqliteTransaction) -> Iterator[None]:
        """Changes of ``opened`` count with the group's commit, unless this block fails."""
        if self._deciding:
            self._broken = RuntimeError("a transaction was begun inside another one")
            raise self._broken
        self._deciding = True
        self._group.append(opened)
        try:
            with self._writes.savepoint(), one_piece():
                yield
        except RuntimeError as fault:
            self._broken = fault
            raise
        except sqlite3.Error as fault:
            raise self._unwritten(fault) from fault
        finally:
            self._deciding = False

    async def _begin(self) -> None:
        try:
            await self._writes.begin()
        except sqlite3.Error as fault:
            raise self._unwritten(fault) from fault

    async def _commit(self) -> None:
        """Commit what the group changed; its members are told, and so are those who wait for news."""
        try:
            if self._broken is not None:
                raise self._broken
            if any(each.changes for each in self._group):
                self._committed.in_flight = self._touched
                await self._write()
        except sqlite3.Error as fault:
            raise self._unwritten(fault) from fault
        finally:
            self._writes.take_back()
            self._committed.landed()
            appended = any(each.appended for each in self._group)
            self._group, self._touched, self._broken = [], set(), None
            if appended:  # who wakes looks for himself
                async with self._news:
                    self._news.notify_all()

    async def _write(self) -> None:
        """Make it durable. Raises sqlite3.Error."""
        await self._writes.end(before=self._trim, after=self._resident.hold)

    def _trim(self) -> None:
        self._gave_up = self._ballast.trim()
        self._spares.trim()

    def _unwritten(self, fault: sqlite3.Error) -> StoreUnavailable:
        if "full" in str(fault):
            freed = self._ballast.drop() or self._gave_up
            hint = "free some disk space" + ("; the reserve was given up: the next try may pass" if freed else "")
            return StoreUnavailable(f"cannot write the database: {fault}", hint=hint)
        return StoreUnavailable(f"cannot write the database: {fault}")

    async def next_event(self, after: int) -> None:
        """Wait for news."""
        async with self._news:
            await self._news.wait_for(lambda: self.last_event_id() > after)

    @asynccontextmanager
    async def backup(self) -> AsyncIterator[BinaryIO]:
        """A consistent copy, made beside the writer on a connection of its own."""
        async with fresh_copy(self._path, reserve_bytes=self._ballast.size) as copy:
            yield copy

    async def report(self, read: Callable[[Reader], T]) -> T:
        """Read in a thread, on a connection of its own."""
        return await asyncio.to_thread(_report, self._path, self._sql, read)

    async def disk_use(self) -> DiskUse:
        """Of the database, its log and the reserve, and what is left beside them."""
        return await asyncio.to_thread(disk_use, self._path, self._ballast)

    def give_up_reserve(self) -> bool:
        """Give up the inodes that are held, for a file that cannot be made without; whether there were any."""
        return self._spares.drop()


async def _open(
    path: Path, now: datetime, at_work: Callable[[], None], resident: Resident
) -> tuple[Writer, sqlite3.Connection]:
    """The connections to write and to read by, with their files made. Raises StoreUnavailable."""
    writes: Writer | None = None
    try:
        await asyncio.to_thread(_prepare, path, now, at_work)
        await asyncio.to_thread(resident.hold)
        connect = partial(sqlite3.connect, path, isolation_level=None, timeout=0, check_same_thread=False)
        writes = Writer(connect, iter_chunk_size=1)
        await writes
        for pragma in (*_PRAGMAS, "busy_timeout = 0"):  # nobody waits in the event loop
            await writes.execute(f"PRAGMA {pragma}")
        reads = sqlite3.connect(path, isolation_level=None, timeout=1)
        reads.execute("PRAGMA query_only = ON")
    except (sqlite3.Error, OSError) as fault:
        if writes is not None:
            await writes.close()
        raise unopened(path, fault) from fault
    return writes, reads


def _prepare(path: Path, now: datetime, at_work: Callable[[], None]) -> None:
    """Make or migrate the database; blocks."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=BUSY_MS / 1000)) as connection:
        path.chmod(0o600)
        sweep_copies(path)
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}")
        migrate(connection, path, now, at_work)
        _ensure_sums(connection, at_work)


def _ensure_sums(connection: sqlite3.Connection, at_work: Callable[[], None]) -> None:
    """Make the sums of the accounts where there are none that can be gone by; blocks."""
    queries = load_queries()
    reader = SqliteReader(connection, queries)
    if not reader.keeps_sums():
        connection.set_progress_handler(at_work, STEPS_PER_WORD)
        make_sums(connection, queries, reader)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Without Python's search for cycles: a report makes 100,000 things of which none is in one, and to look through
    them again and again is a quarter of its time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _report(path: Path, queries: Mapping[str, str], read: Callable[[Reader], T]) -> T:
    try:
        with closing(sqlite3.connect(path, isolation_level=None, timeout=1)) as connection:
            connection.execute("PRAGMA query_only = ON")
            connection.execute("BEGIN")  # one state of the store for all that is read
            with _uncollected():
                return read(SqliteReader(connection, queries))
    except sqlite3.Error as fault:
        raise StoreUnavailable(f"cannot read the database: {fault}") from fault
