# SPDX-License-Identifier: Apache-2.0
"""Snapshots of workspaces, and notebooks that begin with one."""

from __future__ import annotations

from dataclasses import replace

from notebookd.domain.actor import Actor
from notebookd.domain.entry import Entry
from notebookd.domain.ids import NotebookId
from notebookd.domain.run import Origin
from notebookd.domain.snapshots import Snapshot
from notebookd.domain.spec import LONGEST_NAME
from notebookd.errors import NotFound, VolumeFault
from notebookd.ports.movers import Movers
from notebookd.ports.store import Store
from notebookd.service.notebooks import Fork, Notebooks

_FORK = "-fork"
_DAMAGED = (
    "the workspace itself is whole, but new snapshots lean on the damaged ones: once an admin has moved the notebook's "
    "repository away, its next stop begins a new one"
)


class Snapshots:
    """What a person may do with the snapshots of a notebook of his."""

    def __init__(self, store: Store, notebooks: Notebooks, movers: Movers) -> None:
        self._store = store
        self._notebooks = notebooks
        self._movers = movers

    def list(self, actor: Actor, notebook_id: NotebookId) -> list[Snapshot]:
        """A notebook's snapshots, newest first."""
        self._notebooks.get(actor, notebook_id, "list the snapshots of")
        return self._store.list_snapshots(notebook_id)

    def get(self, actor: Actor, notebook_id: NotebookId, snapshot_id: str) -> Snapshot:
        """A snapshot of a notebook. Raises NotFound."""
        self._notebooks.get(actor, notebook_id, "look at the snapshots of")
        found = self._store.find_snapshot(snapshot_id)
        if found is None or found.notebook_id != notebook_id:
            raise NotFound(f"cannot find snapshot {snapshot_id}: notebook {notebook_id} has none of that id")
        return found

    async def fork(self, actor: Actor, notebook_id: NotebookId, snapshot_id: str) -> Entry:
        """A new notebook of the same specification, whose workspace begins as the snapshot has it."""
        entry = self._notebooks.get(actor, notebook_id, "fork")
        snapshot = self.get(actor, notebook_id, snapshot_id)
        spec = entry.notebook.spec
        forked = replace(spec, name=spec.name[: LONGEST_NAME - len(_FORK)] + _FORK)
        origin = Origin(notebook_id=notebook_id, key=snapshot.key)
        return await self._notebooks.create(actor, forked, fork=Fork(origin, snapshot.size_bytes), named=False)

    async def check(self, actor: Actor, notebook_id: NotebookId) -> str:
        """Have a notebook's snapshots read and checked; returns what the check said. Raises VolumeFault when they are
        not sound."""
        self._notebooks.get(actor, notebook_id, "check the snapshots of")
        if not self._store.list_snapshots(notebook_id):
            raise NotFound(f"cannot check the snapshots of notebook {notebook_id}: there are none")
        try:
            return await self._movers.check_snapshots(notebook_id)
        except VolumeFault as fault:
            if fault.info_code != "DATASYNC_DAMAGED":
                raise
            raise VolumeFault(fault.message, info_code=fault.info_code, hint=_DAMAGED) from fault
