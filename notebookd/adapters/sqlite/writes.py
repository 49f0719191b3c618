# SPDX-License-Identifier: Apache-2.0
"""Changes of the store, and the connection that makes them."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import aiosqlite

from notebookd.adapters.sqlite import records
from notebookd.adapters.sqlite.accounts import AccountWrites
from notebookd.adapters.sqlite.commits import through
from notebookd.adapters.sqlite.ledger import LedgerWrites
from notebookd.adapters.sqlite.shelf import ShelfWrites
from notebookd.adapters.sqlite.tokens import TokenWrites
from notebookd.domain.event import Event
from notebookd.domain.gpu import GpuMarks
from notebookd.domain.ids import NotebookId
from notebookd.domain.notebook import Notebook
from notebookd.domain.run import Run
from notebookd.errors import Conflict
from notebookd.ports.store import ANSWER_LIFE

BUSY_MS = 5000
"""How long to wait for another process that writes."""


@dataclass(frozen=True, slots=True)
class Statement:
    """A change. When it breaks a constraint, that is the Conflict of which ``conflict`` tells."""

    sql: str
    values: Mapping[str, Any]
    conflict: str | None = None


class Writer(aiosqlite.Connection):
    """The connection that changes the database. Between ``begin`` and ``commit`` it is used in the event loop, where
    changes only go to its memory; whatever may wait for the disk or for another process goes to its thread."""

    async def begin(self) -> None:
        """Open a transaction, for which nobody waits unless another process writes. Raises sqlite3.Error."""
        try:
            self._conn.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            await self._in_thread(self._begin_patiently)

    def _begin_patiently(self) -> None:
        self._conn.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        try:
            self._conn.execute("BEGIN IMMEDIATE")
        finally:
            self._conn.execute("PRAGMA busy_timeout = 0")

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Take back what was changed in this block alone, when it fails.

        Raises:
            sqlite3.Error: SQLite took the whole transaction back, as it does on a full disk.
        """
        self.require_open()
        self._conn.execute("SAVEPOINT decision")
        try:
            yield
        except BaseException:
            if self._conn.in_transaction:
                self._conn.execute("ROLLBACK TO decision")
                self._conn.execute("RELEASE decision")
            raise
        self.require_open()
        self._conn.execute("RELEASE decision")

    def change(self, statement: Statement) -> None:
        """Make a change. Raises sqlite3.Error, Conflict."""
        self.require_open()
        try:
            self._conn.execute(statement.sql, statement.values)
        except sqlite3.IntegrityError as fault:
            if statement.conflict is None:
                raise
            raise Conflict(statement.conflict) from fault

    def require_open(self) -> None:
        """Outside of a transaction each change would be one of its own. Raises sqlite3.OperationalError."""
        if not self._conn.in_transaction:
            raise sqlite3.OperationalError("the transaction was taken back")

    @property
    def connection(self) -> sqlite3.Connection:
        """For reads of what is not committed yet."""
        return self._conn

    async def end(self, *, before: Callable[[], None], after: Callable[[], None]) -> None:
        """Commit, and call ``before`` and ``after`` it, in the writer's thread. Raises sqlite3.Error; then nothing is
        changed."""

        def commit() -> None:
            try:
                before()
                self.require_open()
                self._conn.execute("COMMIT")
                after()
            finally:
                self.take_back()

        await self._in_thread(commit)

    def take_back(self) -> None:
        """End the transaction, if there is one, without a change."""
        if self._conn.in_transaction:
            self._conn.execute("ROLLBACK")

    async def _in_thread(self, function: Callable[[], None]) -> None:
        """Have it done, and wait until it is, also when cancelled."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tx.put_nowait((done, function))
        await through(done)


class SqliteTransaction(AccountWrites, LedgerWrites, ShelfWrites, TokenWrites):
    """The open transaction of :meth:`SqliteStore.transaction`."""

    def __init__(
        self,
        queries: Mapping[str, str],
        change: Callable[[Statement], None],
        read: Callable[[str, Any], list[Any]],
        *,
        touched: set[NotebookId],
    ) -> None:
        """``read`` runs a named query that sees what was changed before."""
        self._sql = queries
        self._change = change
        self._read = read
        self.changes = 0
        self.appended = 0
        self._touched = touched
        """Where the notebooks are noted of which something is written."""

    async def _run(self, query: str, /, **values: Any) -> None:
        self._make(Statement(self._sql[query], values))

    async def _run_or(self, query: str, conflict: str, /, **values: Any) -> None:
        self._make(Statement(self._sql[query], values, conflict))

    def _rows(self, name: str, values: Any = ()) -> list[Any]:
        return self._read(name, values)

    def _touch(self, notebook_id: NotebookId) -> None:
        self._touched.add(notebook_id)

    def _make(self, statement: Statement) -> None:
        self.changes += 1
        self._change(statement)

    async def put_notebook(self, notebook: Notebook) -> Notebook:
        """See :class:`~notebookd.ports.store.Transaction`, here and below."""
        stored = replace(notebook, version=notebook.version + 1)
        self._touch(stored.id)
        await self._run(
            "put_notebook",
            id=stored.id,
            owner=stored.owner,
            name=stored.spec.name,
            wanted=str(stored.wanted),
            created_at=records.millis(stored.created_at),
            updated_at=records.millis(stored.updated_at),
            deleting_at=records.millis(stored.deleting_at) if stored.deleting_at else None,
            version=stored.version,
            body=records.body(stored),
        )
        return stored

    async def put_run(self, run: Run) -> Run:
        """Insert or update, leases included."""
        stored = replace(run, version=run.version + 1, place=run.place or 1 + int(self._rows("last_place")[0][0]))
        self._touch(stored.notebook_id)
        await self._run(
            "put_run",
            id=stored.id,
            notebook_id=stored.notebook_id,
            number=stored.number,
            state=str(stored.state),
            queued_at=records.millis(stored.queued_at),
            place=stored.place,
            version=stored.version,
            body=records.body(stored),
        )
        if stored.version == 1:
            await self._run("point_at_run", number=stored.number, notebook_id=stored.notebook_id)
        if stored.holds and stored.granted_at is not None:
            await self._grant(stored, records.millis(stored.granted_at))
        if stored.released_at is not None:
            await self._release(stored.id, records.millis(stored.released_at))
        return stored

    async def append(self, event: Event) -> None:
        """Record an event."""
        self.appended += 1
        await self._run(
            "append",
            at=records.millis(event.at),
            notebook_id=event.notebook_id,
            owner=event.owner,
            body=records.body(event),
        )

    async def forget_events(self, before: datetime, *, at_most: int) -> None:
        """Forget the oldest."""
        await self._run("forget_events", before=records.millis(before), at_most=at_most)

    async def strike_off(self, notebook_id: NotebookId, at: datetime) -> None:
        """Leave a tombstone."""
        self._touch(notebook_id)
        await self._run("strike_off", id=notebook_id, at=records.millis(at))

    async def put_gpu_marks(self, gpu_uuid: str, marks: GpuMarks) -> None:
        """Remember a GPU's marks."""
        await self._run("put_gpu_marks", gpu_uuid=gpu_uuid, body=records.body(marks))

    async def put_answer(self, actor: str, key: str, digest: str, notebook_id: NotebookId, at: datetime) -> None:
        """Remember an idempotency key."""
        await self._run("forget_answers", before=records.millis(at - ANSWER_LIFE))
        await self._run(
            "put_answer", actor=actor, key=key, digest=digest, notebook_id=notebook_id, at=records.millis(at)
        )

    async def put_meta(self, key: str, value: str) -> None:
        """Remember a fact."""
        await self._run("put_meta", key=key, value=value)
