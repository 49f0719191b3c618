# SPDX-License-Identifier: Apache-2.0
"""Changes of the store: noted in a transaction, and made by a writer of its own thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import aiosqlite

from notebookd.adapters.sqlite import records
from notebookd.adapters.sqlite.accounts import AccountWrites
from notebookd.adapters.sqlite.ledger import LedgerWrites
from notebookd.adapters.sqlite.shelf import ShelfWrites
from notebookd.adapters.sqlite.tokens import TokenWrites
from notebookd.domain.event import Event
from notebookd.domain.gpu import GpuMarks
from notebookd.domain.notebook import Notebook
from notebookd.domain.run import NotebookId, Run
from notebookd.errors import Conflict
from notebookd.ports.store import ANSWER_LIFE


@dataclass(frozen=True, slots=True)
class Statement:
    """A change. When it breaks a constraint, that is the Conflict of which ``conflict`` tells."""

    sql: str
    values: Mapping[str, Any]
    conflict: str | None = None


class Writer(aiosqlite.Connection):
    """A connection that takes whole transactions: one way to its thread and back for each, not one for each statement.
    With many callers at once each way takes as long as a turn of the loop."""

    async def apply(self, statements: Sequence[Statement]) -> None:
        """Make these changes, all of them or none. Raises sqlite3.Error, Conflict."""
        await self._execute(self._apply, statements)  # type: ignore[no-untyped-call]

    def _apply(self, statements: Sequence[Statement]) -> None:
        connection = self._conn
        connection.execute("BEGIN IMMEDIATE")
        try:
            for each in statements:
                _change(connection, each)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _change(connection: sqlite3.Connection, statement: Statement) -> None:
    try:
        connection.execute(statement.sql, statement.values)
    except sqlite3.IntegrityError as fault:
        if statement.conflict is None:
            raise
        raise Conflict(statement.conflict) from fault


class SqliteTransaction(AccountWrites, LedgerWrites, ShelfWrites, TokenWrites):
    """The open transaction of :meth:`SqliteStore.transaction`: what is to be changed, in order."""

    def __init__(self, queries: Mapping[str, str], *, last_place: Callable[[], int]) -> None:
        self._sql = queries
        self._last_place = last_place
        self._place: int | None = None
        self.statements: list[Statement] = []
        self.appended = 0
        self.touched: set[NotebookId] = set()
        """The notebooks of which something is written."""

    async def _run(self, query: str, /, **values: Any) -> None:
        self.statements.append(Statement(self._sql[query], values))

    async def put_notebook(self, notebook: Notebook) -> Notebook:
        """See :class:`~notebookd.ports.store.Transaction`, here and below."""
        stored = replace(notebook, version=notebook.version + 1)
        self.touched.add(stored.id)
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
        stored = replace(run, version=run.version + 1, place=run.place or self._next_place())
        self.touched.add(stored.notebook_id)
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
            self._grant(stored, records.millis(stored.granted_at))
        if stored.released_at is not None:
            await self._run("release", run_id=stored.id, released_at=records.millis(stored.released_at))
        return stored

    def _next_place(self) -> int:
        self._place = 1 + (self._last_place() if self._place is None else self._place)
        return self._place

    def _grant(self, run: Run, granted_at: int) -> None:
        for gpu_uuid in run.gpus:
            values = {"gpu_uuid": gpu_uuid, "run_id": run.id, "granted_at": granted_at}
            conflict = f"cannot lease GPU {gpu_uuid} to run {run.id}: it is leased"
            self.statements.append(Statement(self._sql["grant"], values, conflict))

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
        self.touched.add(notebook_id)
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
