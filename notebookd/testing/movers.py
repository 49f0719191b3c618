# SPDX-License-Identifier: Apache-2.0
"""Movers in memory, for tests of whatever stands on the movers port.

They pass the contract suite of the real ones (``tests/contract/test_movers_contract.py``). The *world* holds what
outlives a daemon: remotes, repositories of snapshots, movers at work. Copies, shared copies and workspaces are real
folders, as the rest of a house has them.

A mover does all of its work as soon as it is launched, unless ``world.held``: then it is at work until the test calls
``finish(id)``. ``progress(id, ...)`` lets it say how far it is, ``fail(id, code)`` lets it end badly, ``die(id)``
without a word. ``world.reachable = False`` is an engine that is not there. With an ``engine`` its events tell of ends.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from notebookd.config import Paths
from notebookd.domain.attached import Attached
from notebookd.domain.ids import NotebookId
from notebookd.domain.syncing import Progress, Report
from notebookd.domain.volumes import WORKSPACE, GitSource, Permission, Source, StoreSource
from notebookd.errors import EngineUnavailable, VolumeFault
from notebookd.ports.engine import EngineEvent
from notebookd.ports.movers import Pull, Push, RestoreSnapshot, StoredObject, TakeSnapshot, Work
from notebookd.testing.engine_world import FakeEngineWorld

NAME = "notebookd-mover-"
Files = dict[str, bytes]


class _Fails(Exception):
    """A mover's work fails."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(slots=True)
class FakeMover:
    """A mover of the world; ``report`` is None when it died."""

    work: Work
    owner: str
    report: Report | None = field(default_factory=lambda: Report(over=False))


class FakeMoversWorld:
    """What outlives daemons: places that data is carried from and to, and who carries it."""

    def __init__(self, paths: Paths, *, engine: FakeEngineWorld | None = None) -> None:
        self.remotes: dict[str, Files] = {}
        """Of each datastore's alias: what lies in it, by path."""
        self.repositories: dict[str, Files] = {}
        """Git repositories by URL."""
        self.snapshots: dict[str, dict[str, Files]] = {}
        """Of each notebook, by snapshot."""
        self.movers: dict[str, FakeMover] = {}
        self.launches: list[str] = []
        """The ids of all movers that were begun, in order; one begun again is there again."""
        self.held = False
        self.reachable = True
        self._paths = paths
        self._engine = engine
        self._known: dict[Path, Files] = {}

    def progress(self, mover_id: str, progress: Progress) -> None:
        """It says how far it is."""
        self.movers[mover_id].report = Report(over=False, progress=progress)

    def finish(self, mover_id: str, message: str = "") -> None:
        """It does its work and ends as that has it; what it has to say of that."""
        try:
            facts, progress = self._carry(self.movers[mover_id].work)
        except _Fails as fault:
            self.fail(mover_id, fault.code, fault.message)
        else:
            done = Report(over=True, ok=True, code="DATASYNC_DONE", message=message, progress=progress, facts=facts)
            self._end(mover_id, done)

    def fail(self, mover_id: str, code: str, message: str = "it could not be done") -> None:
        """It ends badly, with nothing done."""
        self._end(mover_id, Report(over=True, ok=False, code=code, message=message, facts={}))

    def die(self, mover_id: str) -> None:
        """It dies without a word."""
        self._end(mover_id, None)

    def check(self) -> None:
        """Raises when there is no engine."""
        if not self.reachable:
            raise EngineUnavailable("cannot ask a mover: the engine did not answer")

    def begin(self, mover_id: str, work: Work, owner: str) -> None:
        """Put a mover to work."""
        self.movers[mover_id] = FakeMover(work, owner)
        self.launches.append(mover_id)
        if not self.held:
            self.finish(mover_id)

    def workspace(self, notebook_id: NotebookId) -> Path:
        """A notebook's workspace."""
        return self._paths.workspaces / notebook_id

    def copy(self, notebook_id: NotebookId, volume_id: str) -> Path:
        """A notebook's own copy of a volume."""
        return self._paths.copy(notebook_id, volume_id) / "data"

    def below(self, source: Source) -> Files | None:
        """What lies at a source, by path below it; None when there is no such place."""
        if isinstance(source, GitSource):
            return self.repositories.get(source.git_url)
        if not isinstance(source, StoreSource):
            return None
        root = "".join(f"{part}/" for part in (source.container, source.prefix) if part)
        found = {path.removeprefix(root): data for path, data in self.remotes[source.alias].items()
                 if path.startswith(root)}  # fmt: skip
        return found if found or not source.container else None

    def _end(self, mover_id: str, report: Report | None) -> None:
        mover = self.movers[mover_id]
        mover.report = report
        if self._engine is not None:
            labels = {"io.notebookd.sync": mover_id, "io.notebookd.notebook": mover.work.notebook_id}
            self._engine.announce(EngineEvent(container=NAME + mover_id, kind="died", labels=labels))

    def _carry(self, work: Work) -> tuple[dict[str, str | int], Progress]:
        match work:
            case Pull():
                return self._pull(work)
            case Push():
                return {}, self._push(work)
            case TakeSnapshot():
                return self._snapshot(work.notebook_id)
            case RestoreSnapshot():
                files = self.snapshots.get(work.origin, {}).get(work.snapshot)
                if files is None:
                    raise _Fails("DATASYNC_SOURCE_NOT_FOUND", f"there is no snapshot {work.snapshot}")
                write_files(self.workspace(work.notebook_id), files)
                return {}, _all_of(files)

    def _pull(self, work: Pull) -> tuple[dict[str, str | int], Progress]:
        source = work.volume.source
        there = self.below(source)
        if there is None:
            raise _Fails("DATASYNC_SOURCE_NOT_FOUND", f"there is no {source}")
        size = sum(map(len, there.values()))
        if work.volume.cache:
            version = hashlib.sha256(repr(sorted(there.items())).encode()).hexdigest()[:32]
            folder = self._paths.shared(str(source))
            write_files(folder / "versions" / version, there)
            if self._engine is not None:
                asked_at = self._engine.now().timestamp()
                write_files(folder, {"asked": b"", "source": str(source).encode()})
                os.utime(folder / "asked", (asked_at, asked_at))
            return {"version": version, "bytes": size, "files": len(there)}, _all_of(there)
        data = self.copy(work.notebook_id, work.volume_id)
        if work.reset and data.exists():
            shutil.rmtree(data)
            self._known.pop(data, None)
        known, here = self._known.get(data, {}), read_files(data)
        mine = {path for path in here.keys() | known.keys() if here.get(path) != known.get(path)}
        for path in known.keys() - there.keys() - mine:
            (data / path).unlink()
        write_files(data, {path: content for path, content in there.items() if path not in mine})
        self._known[data] = {**{path: known[path] for path in mine & known.keys()}} | {
            path: content for path, content in there.items() if path not in mine
        }
        progress = replace(_all_of(there), completed=len(there.keys() - mine), skipped=len(mine))
        return {"bytes": size, "files": len(there)}, progress

    def _push(self, work: Push) -> Progress:
        source = work.volume.source
        assert isinstance(source, StoreSource)
        data = self.copy(work.notebook_id, work.volume_id)
        known, here = self._known.get(data, {}), read_files(data)
        root = "".join(f"{part}/" for part in (source.container, source.prefix) if part)
        changed = {path: content for path, content in here.items() if known.get(path) != content}
        self.remotes[source.alias].update({root + path: content for path, content in changed.items()})
        gone = known.keys() - here.keys() if work.volume.permission is Permission.RWD else set()
        for path in gone:
            self.remotes[source.alias].pop(root + path, None)
        self._known[data] = here
        return replace(_all_of(changed), deleted=len(gone))

    def _snapshot(self, notebook_id: NotebookId) -> tuple[dict[str, str | int], Progress]:
        files = read_files(self.workspace(notebook_id))
        kept = self.snapshots.setdefault(notebook_id, {})
        key = hashlib.sha256(f"{notebook_id} {len(self.launches)}".encode()).hexdigest()
        kept[key] = files
        size = sum(map(len, files.values()))
        return {"snapshot": key, "bytes": size, "used": size, "files": len(files), "kept": " ".join(kept)}, _all_of(
            files
        )


class FakeMovers:
    """:class:`~notebookd.ports.movers.Movers` of a :class:`FakeMoversWorld`."""

    def __init__(self, world: FakeMoversWorld) -> None:
        self.world = world

    async def launch(self, mover_id: str, work: Work, *, owner: str) -> None:
        """See :meth:`Movers.launch`."""
        if isinstance(work, Pull | Push) and isinstance(work.volume.source, StoreSource):
            self._require(work.volume.source.alias)
        self.world.check()
        known = self.world.movers.get(mover_id)
        if known is None or known.report is None:
            self.world.begin(mover_id, work, owner)

    async def look(self, mover_id: str) -> Report | None:
        """See :meth:`Movers.look`."""
        self.world.check()
        mover = self.world.movers.get(mover_id)
        return None if mover is None else mover.report

    async def interrupt(self, mover_id: str) -> None:
        """See :meth:`Movers.interrupt`."""
        self.world.check()
        mover = self.world.movers.get(mover_id)
        if mover is not None and mover.report is not None and not mover.report.over:
            self.world.die(mover_id)

    async def clear(self, mover_id: str) -> None:
        """See :meth:`Movers.clear`."""
        self.world.check()
        self.world.movers.pop(mover_id, None)

    async def list_movers(self) -> set[str]:
        """See :meth:`Movers.list_movers`."""
        self.world.check()
        return set(self.world.movers)

    async def measure(self, notebook_id: NotebookId) -> int:
        """See :meth:`Movers.measure`."""
        self.world.check()
        return sum(map(len, read_files(self._workspace(notebook_id)).values()))

    async def list_objects(self, alias: str, container: str, prefix: str) -> list[StoredObject]:
        """See :meth:`Movers.list_objects`."""
        self._require(alias)
        self.world.check()
        there = self.world.below(StoreSource(alias=alias, container=container, prefix=prefix))
        if there is None:
            raise VolumeFault("cannot list: there is no such place", info_code="DATASYNC_SOURCE_NOT_FOUND")
        folders = {path.partition("/")[0] for path in there if "/" in path}
        found = [StoredObject(path=name, size_bytes=0, modified_at="", is_folder=True) for name in folders]
        found += [StoredObject(path=path, size_bytes=len(data), modified_at="") for path, data in there.items()
                  if "/" not in path]  # fmt: skip
        return sorted(found, key=lambda each: each.path)

    async def check_snapshots(self, notebook_id: NotebookId) -> str:
        """See :meth:`Movers.check_snapshots`."""
        self.world.check()
        if notebook_id not in self.world.snapshots:
            raise VolumeFault("cannot check snapshots: there are none", info_code="DATASYNC_SOURCE_NOT_FOUND")
        return "no errors were found"

    async def forget_snapshots(self, notebook_id: NotebookId) -> None:
        """See :meth:`Movers.forget_snapshots`."""
        self.world.check()
        self.world.snapshots.pop(notebook_id, None)

    async def read_archive(
        self, notebook_id: NotebookId, path: str, *, volume: Attached | None = None
    ) -> AsyncIterator[bytes]:
        """See :meth:`Movers.read_archive`."""
        self.world.check()
        root = WORKSPACE if volume is None else volume.volume.mount_path
        place = (self._workspace(notebook_id) if volume is None else self.world.copy(notebook_id, volume.id)) / path
        try:
            found = place.exists()
        except OSError:  # a name that is too long for any file
            found = False
        if not found:
            raise VolumeFault("cannot read the files: there is nothing", info_code="DATASYNC_SOURCE_NOT_FOUND")
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(place, arcname=place.name if path else Path(root).name)
        yield packed.getvalue()

    async def write_archive(
        self, notebook_id: NotebookId, path: str, tar: AsyncIterator[bytes], *, closed: Sequence[str] = ()
    ) -> int:
        """See :meth:`Movers.write_archive`."""
        self.world.check()
        folder = self._workspace(notebook_id)
        sent = b"".join([chunk async for chunk in tar])
        try:
            with tarfile.open(fileobj=io.BytesIO(sent)) as packed:
                files = {entry.name: (packed.extractfile(entry) or io.BytesIO()).read() for entry in packed
                         if entry.isfile()}  # fmt: skip
        except tarfile.TarError as fault:
            raise VolumeFault("cannot unpack the archive: it is no tar", info_code="DATASYNC_INVALID_SOURCE") from fault
        for name in files:
            if any(f"{path}/{name}".lstrip("/").startswith(f"{each}/") for each in closed):
                raise VolumeFault(f"cannot unpack {name}: a volume is there", info_code="DATASYNC_INVALID_SOURCE")
        write_files(folder / path, files)
        return len(files)

    def _require(self, alias: str) -> None:
        if alias not in self.world.remotes:
            raise VolumeFault(f"there is no datastore {alias} any more", info_code="DATASYNC_INVALID_SOURCE")

    def _workspace(self, notebook_id: NotebookId) -> Path:
        folder = self.world.workspace(notebook_id)
        if not folder.is_dir():
            raise VolumeFault("cannot find the workspace", info_code="DATASYNC_SOURCE_NOT_FOUND")
        return folder


def read_files(folder: Path) -> Files:
    """All files below a folder, by path."""
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


def _all_of(files: Files) -> Progress:
    count, size = len(files), sum(map(len, files.values()))
    return Progress(total=count, total_bytes=size, processed=count, completed=count, transferred_bytes=size)
