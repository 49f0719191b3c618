# SPDX-License-Identifier: Apache-2.0
"""Files into and out of a workspace, also of a notebook that is stopped."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from notebookd.domain.actor import Actor
from notebookd.domain.event import Event
from notebookd.domain.run import NotebookId
from notebookd.domain.snapshots import WorkspaceUse
from notebookd.domain.spec import Fault
from notebookd.domain.volumes import WORKSPACE, Volume
from notebookd.errors import Conflict, EngineError, NotFound, TooLarge, VolumeFault
from notebookd.ports.clock import Clock
from notebookd.ports.movers import Movers
from notebookd.ports.store import Entry, Store
from notebookd.reconciler.porter import Porter
from notebookd.service.datastores import SOURCE_NOT_FOUND
from notebookd.service.faults import invalid
from notebookd.service.notebooks import Notebooks

log = logging.getLogger(__name__)

LONGEST_PATH = 4096
PATIENCE_S = 20.0
"""So long one waits for one's turn before one is told that there is none."""
_IN_THE_WAY = frozenset({"DATASYNC_INVALID_SOURCE", "DATASYNC_ACCESS_DENIED"})


class Archives:
    """Tar streams of workspaces. Each person has as many at once as there may be transfers."""

    def __init__(self, store: Store, clock: Clock, notebooks: Notebooks, movers: Movers, porter: Porter) -> None:
        self.patience_s = PATIENCE_S
        self._store = store
        self._clock = clock
        self._notebooks = notebooks
        self._movers = movers
        self._porter = porter
        self._at_work: Counter[str] = Counter()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def read(self, actor: Actor, notebook_id: NotebookId, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """A tar stream of what lies at ``path`` of a workspace, empty for all of it. What cannot be read is refused
        before the first byte; leaving the block ends the transfer."""
        verb = "read files of"
        whole = self._checked(actor, notebook_id, path, verb)
        async with self._turn(actor, f"{verb} notebook {notebook_id}"):
            stream = self._movers.read_archive(notebook_id, whole)
            with self._refusals(actor, notebook_id, verb):
                first = await anext(stream, b"")
            try:
                yield _rejoined(first, stream)
            finally:
                if isinstance(stream, AsyncGenerator):
                    await stream.aclose()

    async def write(self, actor: Actor, notebook_id: NotebookId, path: str, tar: AsyncIterator[bytes]) -> int:
        """Unpack a tar stream into the folder ``path`` of a workspace; how many files there were. It is on record
        before the first of them: a stream that breaks off may leave some."""
        verb = "write files of"
        whole = self._checked(actor, notebook_id, path, verb)
        notebook = self._notebooks.get(actor, notebook_id, verb).notebook
        now = self._clock.now()
        happened = Event(
            type="notebook.files",
            at=now,
            actor=actor.signature,
            notebook_id=notebook_id,
            owner=notebook.owner,
            data={"path": whole},
        )
        closed = [inside for inside, _ in _volumes_within(notebook.spec.volumes)]
        async with self._turn(actor, f"{verb} notebook {notebook_id}"):
            async with self._store.transaction() as tx:
                await tx.append(happened)
            with self._refusals(actor, notebook_id, verb):
                written = await self._movers.write_archive(notebook_id, whole, tar, closed=closed)
            entry = self._present(actor, notebook_id, verb)
            if not entry.run.active and self._notebooks.allowance.workspace_excess(notebook_id):
                await self._measure(notebook_id)
            return written

    async def _measure(self, notebook_id: NotebookId) -> None:
        """Look again at what was too much, which nobody does while the notebook is stopped."""
        try:
            used = await self._movers.measure(notebook_id)
        except (EngineError, VolumeFault) as fault:
            log.warning("cannot measure the workspace of notebook %s: %s", notebook_id, fault)
            return
        async with self._store.transaction() as tx:
            await tx.put_workspace_use(notebook_id, WorkspaceUse(used_bytes=used, measured_at=self._clock.now()))

    def _checked(self, actor: Actor, notebook_id: NotebookId, path: str, verb: str) -> str:
        entry = self._present(actor, notebook_id, verb)
        what = f"{verb} notebook {notebook_id}"
        if message := path_fault(path):
            raise invalid(what, [Fault("$query.path", message)])
        if not entry.notebook.workspace_made:
            raise Conflict(f"cannot {what}: it has no workspace before its first start")
        if entry.run.origin is not None:
            raise Conflict(f"cannot {what}: its workspace is still to be filled from a snapshot")
        whole = "/".join(part for part in path.split("/") if part not in {"", "."})
        for inside, volume in _volumes_within(entry.notebook.spec.volumes):
            if whole == inside or whole.startswith(f"{inside}/"):
                raise Conflict(
                    f"cannot {what}: {volume.mount_path} is the volume {volume}, and no part of the workspace",
                    hint="copy by a folder beside it, or where the volume comes from",
                )
        return whole

    def _present(self, actor: Actor, notebook_id: NotebookId, verb: str) -> Entry:
        """The notebook. Raises NotFound or Conflict when it is gone, or about to be."""
        entry = self._notebooks.get(actor, notebook_id, verb)
        if entry.notebook.deleting_at is not None:
            raise Conflict(f"cannot {verb} notebook {notebook_id}: it is DELETING, and its files go with it")
        return entry

    @contextmanager
    def _refusals(self, actor: Actor, notebook_id: NotebookId, verb: str) -> Iterator[None]:
        """What a mover could not do, as its caller is told: first of all when the notebook went meanwhile."""
        try:
            yield
        except (EngineError, VolumeFault) as fault:
            self._present(actor, notebook_id, verb)
            raise (_refusal(fault) if isinstance(fault, VolumeFault) else fault) from fault

    @asynccontextmanager
    async def _turn(self, actor: Actor, what: str) -> AsyncIterator[None]:
        """One of the actor's turns. Raises VolumeFault when none is free in time."""
        most = self._porter.at_once
        try:
            async with asyncio.timeout(self.patience_s):
                while self._at_work[actor.name] >= most:
                    self._freed.clear()
                    await self._freed.wait()
        except TimeoutError as fault:
            raise VolumeFault(
                f"cannot {what}: {most} copies of yours are under way, and more at once are not allowed",
                info_code="DATASYNC_BUSY",
                hint="try again when one has ended; [transfers] at_once is the bound",
            ) from fault
        self._at_work[actor.name] += 1
        try:
            yield
        finally:
            self._at_work[actor.name] -= 1
            self._freed.set()


def path_fault(path: str) -> str | None:
    """Why ``path`` is none within a workspace."""
    if "\0" in path or len(path) > LONGEST_PATH:
        return f"must be at most {LONGEST_PATH} characters without NUL"
    if path.startswith("/"):
        return "must be relative to /workspace"
    if ".." in path.split("/"):
        return "must be without .."
    return None


def _volumes_within(volumes: Sequence[Volume]) -> list[tuple[str, Volume]]:
    """The volumes that are mounted in the workspace, each with where."""
    within = f"{WORKSPACE}/"
    return [(each.mount_path.removeprefix(within), each) for each in volumes if each.mount_path.startswith(within)]


async def _rejoined(first: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if first:
        yield first
    async for chunk in rest:
        yield chunk


def _refusal(fault: VolumeFault) -> Exception:
    if fault.info_code == SOURCE_NOT_FOUND:
        return NotFound(fault.message, hint=fault.hint)
    if fault.info_code in _IN_THE_WAY:
        return Conflict(fault.message, hint=fault.hint)
    if fault.info_code == "DATASYNC_TOO_LARGE":
        return TooLarge(fault.message, hint=fault.hint)
    return fault
