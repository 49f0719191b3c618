# SPDX-License-Identifier: Apache-2.0
"""What is known of data, in SQLite: see :mod:`notebookd.ports.shelf`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection
from typing import Any

from notebookd.adapters.sqlite import records
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.snapshots import Snapshot, WorkspaceUse
from notebookd.domain.syncing import Sync


class ShelfReads(ABC):
    """See :class:`~notebookd.ports.shelf.ShelfReader`."""

    @abstractmethod
    def _rows(self, name: str, values: Any = ()) -> list[Any]: ...

    def list_open_syncs(self, notebook_id: NotebookId | None = None) -> list[Sync]:
        """Not ended yet, oldest first."""
        rows = self._rows("open_syncs", (notebook_id,)) if notebook_id else self._rows("all_open_syncs")
        return [records.sync(row[0]) for row in rows]

    def list_syncs(self, notebook_id: NotebookId, *, limit: int = 100) -> list[Sync]:
        """Newest first."""
        return [records.sync(row[0]) for row in self._rows("syncs", {"notebook_id": notebook_id, "limit": limit})]

    def list_run_syncs(self, notebook_id: NotebookId, run_id: RunId) -> list[Sync]:
        """Of a run, oldest first."""
        values = {"notebook_id": notebook_id, "run_id": run_id}
        return [records.sync(row[0]) for row in self._rows("syncs_of_run", values)]

    def find_sync(self, sync_id: str) -> Sync | None:
        """By id."""
        return next((records.sync(row[0]) for row in self._rows("sync", (sync_id,))), None)

    def list_snapshots(self, notebook_id: NotebookId) -> list[Snapshot]:
        """Newest first."""
        return [records.snapshot(row[0]) for row in self._rows("snapshots", (notebook_id,))]

    def find_snapshot(self, snapshot_id: str) -> Snapshot | None:
        """By id."""
        return next((records.snapshot(row[0]) for row in self._rows("snapshot", (snapshot_id,))), None)

    def count_snapshots(self) -> tuple[int, int]:
        """All of them."""
        (row,) = self._rows("count_snapshots")
        return int(row[0]), int(row[1])

    def find_workspace_use(self, notebook_id: NotebookId) -> WorkspaceUse | None:
        """As it was measured last."""
        rows = self._rows("workspace_use", (notebook_id,))
        return next(
            (WorkspaceUse(used_bytes=used, measured_at=records.moment(measured_at)) for used, measured_at in rows),
            None,
        )


class ShelfWrites(ABC):
    """See :class:`~notebookd.ports.shelf.ShelfWriter`."""

    @abstractmethod
    async def _run(self, query: str, /, **values: Any) -> None: ...

    @abstractmethod
    def _touch(self, notebook_id: NotebookId) -> None: ...

    async def put_sync(self, sync: Sync) -> None:
        """Insert or update."""
        self._touch(sync.notebook_id)
        await self._run(
            "put_sync",
            id=sync.id,
            notebook_id=sync.notebook_id,
            run_id=sync.run_id,
            kind=str(sync.kind),
            open=not sync.over,
            queued_at=records.millis(sync.queued_at),
            body=records.body(sync),
        )

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        """Insert or update."""
        self._touch(snapshot.notebook_id)
        await self._run(
            "put_snapshot",
            id=snapshot.id,
            notebook_id=snapshot.notebook_id,
            taken_at=records.millis(snapshot.taken_at),
            body=records.body(snapshot),
        )

    async def drop_snapshots(self, notebook_id: NotebookId, *, but: Collection[str] = ()) -> None:
        """Forget all but some."""
        self._touch(notebook_id)
        await self._run("drop_snapshots", notebook_id=notebook_id, kept=json.dumps(sorted(but)))

    async def put_workspace_use(self, notebook_id: NotebookId, use: WorkspaceUse) -> None:
        """Remember the newest."""
        self._touch(notebook_id)
        await self._run(
            "put_workspace_use",
            notebook_id=notebook_id,
            used=use.used_bytes,
            measured_at=records.millis(use.measured_at),
        )
