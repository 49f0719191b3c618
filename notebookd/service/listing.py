# SPDX-License-Identifier: Apache-2.0
"""Lists of notebooks, and what their workspaces take."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from notebookd.domain.actor import Actor
from notebookd.domain.entry import Entry
from notebookd.domain.ids import NotebookId
from notebookd.domain.snapshots import WorkspaceUse
from notebookd.ports.files import Files, Usage
from notebookd.ports.store import NotebookFilter, Store


class Listing:
    """Reads of many notebooks at once."""

    def __init__(self, store: Store, files: Files) -> None:
        self._store = store
        self._files = files

    def generation(self, about: NotebookId | None = None) -> int:
        """Another number after every commit, or after every one that touches a notebook: while it stays, what was read
        holds."""
        return self._store.generation() if about is None else self._store.revision(about)

    def page(self, actor: Actor, wish: NotebookFilter) -> tuple[list[Entry], int]:
        """A page of the notebooks that exist for the actor, and how many there are over all pages."""
        return self._store.list_entries(visible_to(actor, wish))

    async def usage(self, notebook_ids: Collection[NotebookId]) -> Mapping[NotebookId, Usage]:
        """What is free where their workspaces lie."""
        return await self._files.usage(notebook_ids)

    def workspace_use(self, notebook_id: NotebookId) -> WorkspaceUse | None:
        """What a workspace takes, as far as it was measured."""
        return self._store.find_workspace_use(notebook_id)


def visible_to(actor: Actor, wish: NotebookFilter) -> NotebookFilter:
    """``wish`` over no more than what exists for the actor: as :meth:`Actor.may_see` says it of one notebook."""
    seen = wish if actor.admin else replace(wish, owner=actor.name)
    if actor.selector is None:
        return seen
    return replace(seen, labels=[*seen.labels, (actor.selector.name, actor.selector.value)])
