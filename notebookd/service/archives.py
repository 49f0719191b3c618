# SPDX-License-Identifier: Apache-2.0
"""Files into and out of a workspace, also of a notebook that is stopped."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from notebookd.domain.actor import Actor
from notebookd.domain.event import Event
from notebookd.domain.run import NotebookId
from notebookd.domain.spec import Fault
from notebookd.errors import Conflict, NotFound, VolumeFault
from notebookd.ports.clock import Clock
from notebookd.ports.movers import Movers
from notebookd.ports.store import Store
from notebookd.service.datastores import SOURCE_NOT_FOUND
from notebookd.service.faults import invalid
from notebookd.service.notebooks import Notebooks

LONGEST_PATH = 4096


class Archives:
    """Tar streams of workspaces."""

    def __init__(self, store: Store, clock: Clock, notebooks: Notebooks, movers: Movers) -> None:
        self._store = store
        self._clock = clock
        self._notebooks = notebooks
        self._movers = movers

    @asynccontextmanager
    async def read(self, actor: Actor, notebook_id: NotebookId, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """A tar stream of what lies at ``path`` of a workspace, empty for all of it. What cannot be read is refused
        before the first byte; leaving the block ends the transfer."""
        whole = self._checked(actor, notebook_id, path, "read files of")
        stream = self._movers.read_archive(notebook_id, whole)
        try:
            first = await anext(stream, b"")
        except VolumeFault as fault:
            raise _refusal(fault) from fault
        try:
            yield _rejoined(first, stream)
        finally:
            if isinstance(stream, AsyncGenerator):
                await stream.aclose()

    async def write(self, actor: Actor, notebook_id: NotebookId, path: str, tar: AsyncIterator[bytes]) -> int:
        """Unpack a tar stream into the folder ``path`` of a workspace; how many files there were. It is on record
        before the first of them: a stream that breaks off may leave some."""
        whole = self._checked(actor, notebook_id, path, "write files of")
        owner = self._notebooks.get(actor, notebook_id, "write files of").notebook.owner
        now = self._clock.now()
        happened = Event(
            type="notebook.files",
            at=now,
            actor=actor.signature,
            notebook_id=notebook_id,
            owner=owner,
            data={"path": whole},
        )
        async with self._store.transaction() as tx:
            await tx.append(happened)
        try:
            return await self._movers.write_archive(notebook_id, whole, tar)
        except VolumeFault as fault:
            raise _refusal(fault) from fault

    def _checked(self, actor: Actor, notebook_id: NotebookId, path: str, verb: str) -> str:
        entry = self._notebooks.get(actor, notebook_id, verb)
        what = f"{verb} notebook {notebook_id}"
        if message := path_fault(path):
            raise invalid(what, [Fault("$query.path", message)])
        if entry.notebook.deleting_at is not None:
            raise Conflict(f"cannot {what}: it is DELETING")
        if not entry.notebook.workspace_made:
            raise Conflict(f"cannot {what}: it has no workspace before its first start")
        return "/".join(part for part in path.split("/") if part not in {"", "."})


def path_fault(path: str) -> str | None:
    """Why ``path`` is none within a workspace."""
    if "\0" in path or len(path) > LONGEST_PATH:
        return f"must be at most {LONGEST_PATH} characters without NUL"
    if path.startswith("/"):
        return "must be relative to /workspace"
    if ".." in path.split("/"):
        return "must be without .."
    return None


async def _rejoined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in rest:
        yield chunk


def _refusal(fault: VolumeFault) -> Exception:
    if fault.info_code in {"not-found", SOURCE_NOT_FOUND}:
        return NotFound(fault.message, hint=fault.hint)
    if fault.info_code in {"conflict", "DATASYNC_CONFLICT", "invalid-request", "DATASYNC_INVALID_SOURCE"}:
        return Conflict(fault.message, hint=fault.hint)
    return fault
