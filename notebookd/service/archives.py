# SPDX-License-Identifier: Apache-2.0
"""Files into and out of a workspace, and out of the copies of volumes, also of a notebook that is stopped."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from notebookd.domain.actor import Actor
from notebookd.domain.advice import INSIDE
from notebookd.domain.attached import Attached, Place
from notebookd.domain.entry import Entry
from notebookd.domain.faults import invalid
from notebookd.domain.ids import NotebookId
from notebookd.domain.snapshots import WorkspaceUse
from notebookd.domain.spec import Fault
from notebookd.domain.volumes import WORKSPACE, Volume, volume_id
from notebookd.errors import Conflict, EngineError, NotFound, TooLarge, VolumeFault
from notebookd.machine.transfers import Transfers
from notebookd.ports.clock import Clock
from notebookd.ports.files import MARKER, Files
from notebookd.ports.movers import Movers
from notebookd.ports.store import Store
from notebookd.service.datastores import SOURCE_NOT_FOUND
from notebookd.service.happenings import happened
from notebookd.service.notebooks import Notebooks

log = logging.getLogger(__name__)

LONGEST_PATH = 4096
PATIENCE_S = 20.0
"""So long one waits for one's turn before one is told that there is none."""
_IN_THE_WAY = frozenset({"DATASYNC_INVALID_SOURCE", "DATASYNC_ACCESS_DENIED"})


class Archives:
    """Tar streams of workspaces and of volumes' copies. Each person has as many at once as there may be transfers."""

    def __init__(
        self, store: Store, clock: Clock, notebooks: Notebooks, files: Files, movers: Movers, transfers: Transfers
    ) -> None:
        self.patience_s = PATIENCE_S
        self._store = store
        self._clock = clock
        self._notebooks = notebooks
        self._files = files
        self._movers = movers
        self._transfers = transfers
        self._at_work: Counter[str] = Counter()
        self._freed = asyncio.Event()

    @asynccontextmanager
    async def read(self, actor: Actor, notebook_id: NotebookId, path: str) -> AsyncIterator[AsyncIterator[bytes]]:
        """A tar stream of what lies at ``path`` of a workspace, empty for all of it; an absolute path is what it is in
        the notebook, and so may lie in a volume that was copied. What cannot be read is refused before the first byte;
        leaving the block ends the transfer."""
        verb = "read files of"
        what = f"{verb} notebook {notebook_id}"
        entry = self._present(actor, notebook_id, verb)
        copy, below = _readable(entry, path, what)
        async with self._turn(actor, what):
            stream = self._movers.read_archive(notebook_id, below, volume=copy)
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
        entry = self._present(actor, notebook_id, verb)
        whole = _writable(entry, path, f"{verb} notebook {notebook_id}")
        said = happened("notebook.files", entry, actor, self._clock.now(), {"path": whole})
        closed = _volumes_within(entry.notebook.spec.volumes)
        async with self._turn(actor, f"{verb} notebook {notebook_id}"):
            async with self._store.transaction() as tx:
                await tx.append(said)
            with self._refusals(actor, notebook_id, verb):
                written = await self._movers.write_archive(notebook_id, whole, tar, closed=closed)
            entry = self._present(actor, notebook_id, verb)
            if not entry.run.active and self._notebooks.allowance.workspace_excess(notebook_id):
                await self._measure(notebook_id)
            return written

    async def remove(self, actor: Actor, notebook_id: NotebookId, path: str) -> None:
        """Remove what lies at ``path`` of a workspace, with all that is in it. Raises NotFound when there is nothing,
        Conflict for what has to stay: all of the workspace, its mark, and what volumes are mounted in."""
        verb = "remove files of"
        what = f"{verb} notebook {notebook_id}"
        entry = self._present(actor, notebook_id, verb)
        whole = _removable(entry, path, what)
        async with self._turn(actor, what):
            async with self._store.transaction() as tx:
                data = {"path": whole, "removed": True}
                await tx.append(happened("notebook.files", entry, actor, self._clock.now(), data))
            if not await self._files.remove_path(notebook_id, whole):
                raise NotFound(f"cannot {what}: there is nothing at {whole}")
            if not self._present(actor, notebook_id, verb).run.active:
                await self._measure(notebook_id)

    async def _measure(self, notebook_id: NotebookId) -> None:
        """Look again at what was too much, which nobody does while the notebook is stopped."""
        try:
            used = await self._movers.measure(notebook_id)
        except (EngineError, VolumeFault) as fault:
            log.warning("cannot measure the workspace of notebook %s: %s", notebook_id, fault)
            return
        async with self._store.transaction() as tx:
            await tx.put_workspace_use(notebook_id, WorkspaceUse(used_bytes=used, measured_at=self._clock.now()))

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
        most = self._transfers.at_once
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
    """Why ``path`` is none within a notebook."""
    if "\0" in path or len(path) > LONGEST_PATH:
        return f"must be at most {LONGEST_PATH} characters without NUL"
    if ".." in path.split("/"):
        return "must be without .."
    return None


def _inside(path: str, what: str) -> str:
    """Where ``path``, relative to the workspace or absolute, is in a notebook."""
    if message := path_fault(path):
        raise invalid(what, [Fault("$query.path", message)])
    parts = [part for part in path.split("/") if part not in {"", "."}]
    return "/".join(["" if path.startswith("/") else WORKSPACE, *parts])


def _readable(entry: Entry, path: str, what: str) -> tuple[Attached | None, str]:
    """The copied volume in which ``path`` is, None for the workspace, and the path below it."""
    inside = _inside(path, what)
    volume = _covering(entry, inside)
    if volume is None:
        return None, _in_workspace(entry, inside, what)
    return _copy_of(entry, volume, what), _below(volume.mount_path, inside) or ""


def _writable(entry: Entry, path: str, what: str) -> str:
    """The path below the workspace that ``path`` is, if it may be written to."""
    inside = _inside(path, what)
    if _below(WORKSPACE, inside) is None:
        message = f"must be in {WORKSPACE}, or relative to it: nothing else is written to"
        raise invalid(what, [Fault("$query.path", message)])
    volume = _covering(entry, inside)
    if volume is not None:
        raise Conflict(
            f"cannot {what}: {volume.mount_path} is the volume {volume}, and no part of the workspace",
            hint="copy by a folder beside it, or where the volume comes from",
        )
    return _in_workspace(entry, inside, what)


def _removable(entry: Entry, path: str, what: str) -> str:
    """The path below the workspace that ``path`` is, if it may be removed."""
    inside = _inside(path, what)
    if _below(WORKSPACE, inside) is None:
        message = f"must be in {WORKSPACE}, or relative to it: nothing else is removed"
        raise invalid(what, [Fault("$query.path", message)])
    if (volume := _covering(entry, inside)) is not None:
        cause = f"{volume.mount_path} is the volume {volume}, and no part of the workspace"
        raise Conflict(f"cannot {what}: {cause}", hint="remove it where it comes from, or from within the notebook")
    below = _in_workspace(entry, inside, what)
    if below in {"", MARKER}:
        raise Conflict(
            f"cannot {what}: {below or 'the workspace itself'} has to stay as long as the notebook",
            hint="name what is in it; `notebookctl delete` removes a notebook with its workspace",
        )
    if within := [each for each in _volumes_within(entry.notebook.spec.volumes) if each.startswith(f"{below}/")]:
        cause = f"the volume at {WORKSPACE}/{within[0]} is mounted in it"
        raise Conflict(f"cannot {what}: {cause}", hint="name what is beside the volume")
    return below


def _in_workspace(entry: Entry, inside: str, what: str) -> str:
    """The path below a workspace that is ready. Raises NotFound for one that is not below it."""
    below = _below(WORKSPACE, inside)
    if below is None:
        mounts = ", ".join([WORKSPACE, *(each.mount_path for each in entry.notebook.spec.volumes)])
        raise NotFound(f"cannot {what}: that path is in none of its volumes", hint=f"what it has is at {mounts}")
    if not entry.notebook.workspace_made:
        raise Conflict(f"cannot {what}: it has no workspace before its first start")
    if entry.run.origin is not None:
        raise Conflict(f"cannot {what}: its workspace is still to be filled from a snapshot")
    return below


def _copy_of(entry: Entry, volume: Volume, what: str) -> Attached:
    """The notebook's own copy of a volume. Raises Conflict, with where else to look, when there is none."""
    known = volume_id(entry.notebook.id, volume)
    found = next((each for each in entry.run.volumes if each.id == known), None)
    place = Place.SCRATCH if volume.store is None and volume.git is None else found.place if found else None
    if place is Place.SCRATCH:
        why, hint = "an empty folder that goes with the run", INSIDE.on(mount=volume.mount_path)
    elif place is Place.DIRECTORY:
        why, hint = "a folder of this machine, mounted as it is", f"its files are there, at {volume.source}"
    elif place is Place.CACHE:
        why, hint = "a copy that notebooks share, and that none of them changes", f"its files are at {volume.source}"
    elif found is None or found.pulled_at is None:
        why, hint = "still to be brought in", "that is done at its start"
    else:
        return found
    raise Conflict(f"cannot {what}: the volume {volume} is {why}", hint=hint)


def _covering(entry: Entry, inside: str) -> Volume | None:
    """The volume in which a path is."""
    return next((each for each in entry.notebook.spec.volumes if _below(each.mount_path, inside) is not None), None)


def _below(folder: str, path: str) -> str | None:
    """What ``path`` is below ``folder``; None when it is not there."""
    if path == folder:
        return ""
    return path.removeprefix(f"{folder}/") if path.startswith(f"{folder}/") else None


def _volumes_within(volumes: Sequence[Volume]) -> list[str]:
    """Where in the workspace volumes are mounted."""
    within = [_below(WORKSPACE, each.mount_path) for each in volumes]
    return [each for each in within if each]


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
