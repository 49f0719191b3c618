# SPDX-License-Identifier: Apache-2.0
"""The part of the store that knows of data: transfers, snapshots, how full workspaces are."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.snapshots import Snapshot, WorkspaceUse
from notebookd.domain.syncing import Sync


class ShelfReader(Protocol):
    """Reads of what is known of data."""

    def list_open_syncs(self, notebook_id: NotebookId | None = None) -> list[Sync]:
        """The syncs that have not ended, of a notebook or of all, oldest first."""
        ...

    def list_syncs(self, notebook_id: NotebookId, *, limit: int = 100) -> list[Sync]:
        """A notebook's syncs, newest first."""
        ...

    def list_run_syncs(self, notebook_id: NotebookId, run_id: RunId) -> list[Sync]:
        """The syncs of a run, oldest first."""
        ...

    def find_sync(self, sync_id: str) -> Sync | None:
        """The sync of that id."""
        ...

    def list_snapshots(self, notebook_id: NotebookId) -> list[Snapshot]:
        """A notebook's snapshots, newest first."""
        ...

    def find_snapshot(self, snapshot_id: str) -> Snapshot | None:
        """The snapshot of that id."""
        ...

    def count_snapshots(self) -> tuple[int, int]:
        """How many snapshots there are, and the bytes of the workspaces in them. It looks through all of them."""
        ...

    def find_workspace_use(self, notebook_id: NotebookId) -> WorkspaceUse | None:
        """How full a workspace was when it was measured; None when it never was."""
        ...


class ShelfWriter(Protocol):
    """Changes of what is known of data, part of a transaction."""

    async def put_sync(self, sync: Sync) -> None:
        """Insert or update."""
        ...

    async def put_snapshot(self, snapshot: Snapshot) -> None:
        """Insert or update."""
        ...

    async def drop_snapshots(self, notebook_id: NotebookId, *, but: Collection[str] = ()) -> None:
        """Forget a notebook's snapshots, but for those of these ids."""
        ...

    async def put_workspace_use(self, notebook_id: NotebookId, use: WorkspaceUse) -> None:
        """Remember how full a workspace is."""
        ...
