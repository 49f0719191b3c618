# SPDX-License-Identifier: Apache-2.0
"""Movers as containers: begun, looked at, ended, cleared."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, closing, suppress
from pathlib import Path
from typing import TypeVar

from notebookd import nofollow
from notebookd.adapters.datastores import find_store, in_time, list_in_store, volume_faults
from notebookd.adapters.movers.archives import connect, read_tar, write_tar
from notebookd.adapters.movers.folder import JOB, SECRETS, begin, read_progress, read_result
from notebookd.adapters.movers.jobs import Job, Jobs
from notebookd.adapters.movers.rootfs import MOVER_UID, PROGRAM, ensure_rootfs, usual_mounts
from notebookd.adapters.trust import lay_bundle
from notebookd.config import Config, DirectoryDatastore
from notebookd.domain.attached import Attached
from notebookd.domain.container import ContainerStatus
from notebookd.domain.environment import NO_GPUS, for_containers
from notebookd.domain.ids import NotebookId
from notebookd.domain.syncing import Report
from notebookd.domain.volumes import StoreSource
from notebookd.errors import EngineError, NameTaken, VolumeFault, WorkspaceFault
from notebookd.mover.child import HANDED_ON
from notebookd.ports.clock import Clock
from notebookd.ports.engine import LABEL_PREFIX, ContainerSpec, Engine, Mount, Network
from notebookd.ports.movers import StoredObject, Work

log = logging.getLogger(__name__)

PROGRAM_FOLDER = Path(__file__).resolve().parents[2] / "mover"
NAME = "notebookd-mover-"
ROOTFS = "root"
MOVERS_TRUST = "movers"
SYNC_LABEL = f"{LABEL_PREFIX}sync"
COMMAND = ("/usr/bin/python3", "-I", "-B", f"{PROGRAM}/__main__.py")
ENVIRONMENT = {"HOME": "/tmp", "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}  # noqa: S108 - in memory, and its own
GRACE_S = 10.0
ASKS_AT_ONCE = 8
"""How many questions are put to movers at once, beside transfers and archives."""
_LOOK_EVERY_S = 0.02
_LOOKS_BETWEEN_QUESTIONS = 25
_PIDS = 512
_LOG_BYTES = 1024 * 1024

T = TypeVar("T")


class ContainerMovers:
    """See :class:`~notebookd.ports.movers.Movers`. ``config`` is what is in force: a reload replaces it."""

    def __init__(self, engine: Engine, config: Config, clock: Clock, *, program: Path = PROGRAM_FOLDER) -> None:
        self.config = config
        self._engine = engine
        self._clock = clock
        self._program = program
        self._folder = config.paths.movers
        self._asks: set[str] = set()
        self._room = asyncio.Semaphore(ASKS_AT_ONCE)

    async def launch(self, mover_id: str, work: Work, *, owner: str) -> None:
        """See :meth:`Movers.launch`."""
        if await self._is_there(mover_id):
            return
        now = self._clock.now()
        await self._begin(mover_id, lambda jobs: jobs.of(work, now=now), owner=owner)

    async def look(self, mover_id: str) -> Report | None:
        """See :meth:`Movers.look`. One that has said how it ended is not asked for at the engine."""
        result = await self._result(mover_id)
        if result is not None:
            return result[0]
        container = await self._engine.find(NAME + mover_id)
        if container is not None and container.status is ContainerStatus.RUNNING:
            return await asyncio.to_thread(read_progress, self._folder / mover_id)
        result = await self._result(mover_id)  # it may have been its last word
        return None if result is None else result[0]

    async def interrupt(self, mover_id: str) -> None:
        """See :meth:`Movers.interrupt`."""
        await self._engine.stop(NAME + mover_id, grace_s=GRACE_S)

    async def clear(self, mover_id: str) -> None:
        """See :meth:`Movers.clear`."""
        await self._engine.remove(NAME + mover_id)
        with volume_faults(f"cannot clear mover {mover_id}"), suppress(FileNotFoundError):
            await asyncio.to_thread(nofollow.remove_tree, self._folder, mover_id)

    async def list_movers(self) -> set[str]:
        """See :meth:`Movers.list_movers`."""
        labels = [container.labels.get(SYNC_LABEL) for container in await self._engine.list_containers()]
        with suppress(FileNotFoundError):
            labels += [each.name for each in self._folder.iterdir() if each.name != ROOTFS]
        return {label for label in labels if label is not None} - self._asks

    async def measure(self, notebook_id: NotebookId) -> int:
        """See :meth:`Movers.measure`."""
        report, _ = await self._ask("measure", lambda jobs: jobs.measure(notebook_id))
        return int((report.facts or {}).get("bytes", 0))

    async def list_objects(self, alias: str, container: str, prefix: str) -> list[StoredObject]:
        """See :meth:`Movers.list_objects`. Of a folder of the host the names are all that is looked at."""
        with volume_faults(f"cannot list {StoreSource(alias=alias, container=container, prefix=prefix)}"):
            store = find_store(self.config, alias)
            if isinstance(store, DirectoryDatastore):
                return await in_time(lambda: list_in_store(self.config, store, container, prefix))
        return (await self._ask("list", lambda jobs: jobs.listing(store, container, prefix)))[1]

    async def check_snapshots(self, notebook_id: NotebookId) -> str:
        """See :meth:`Movers.check_snapshots`."""
        report, _ = await self._ask("check snapshots", lambda jobs: jobs.check(notebook_id))
        return str((report.facts or {}).get("said", report.message))

    async def forget_snapshots(self, notebook_id: NotebookId) -> None:
        """See :meth:`Movers.forget_snapshots`."""
        folder = self.config.snapshots.folder
        if folder is None:
            await self._ask("remove snapshots", lambda jobs: jobs.purge(notebook_id))
            return
        with volume_faults(f"cannot remove the snapshots of notebook {notebook_id}"), suppress(FileNotFoundError):
            await asyncio.to_thread(nofollow.remove_tree, folder, notebook_id)

    async def read_archive(
        self, notebook_id: NotebookId, path: str, *, volume: Attached | None = None
    ) -> AsyncIterator[bytes]:
        """See :meth:`Movers.read_archive`."""
        async with self._sent(lambda jobs: jobs.read_archive(notebook_id, path, volume)) as mover_id:
            sock = await connect(self._folder / mover_id, self._clock, lambda: self._still_there(mover_id))
            with closing(sock):
                async with aclosing(read_tar(sock)) as tar:  # type: ignore[type-var]
                    async for chunk in tar:
                        yield chunk
            _good("read the files", (await self._end_of(mover_id))[0])

    async def write_archive(
        self, notebook_id: NotebookId, path: str, tar: AsyncIterator[bytes], *, closed: Sequence[str] = ()
    ) -> int:
        """See :meth:`Movers.write_archive`."""
        async with self._sent(lambda jobs: jobs.write_archive(notebook_id, path, closed)) as mover_id:
            sock = await connect(self._folder / mover_id, self._clock, lambda: self._still_there(mover_id))
            with closing(sock):
                return await write_tar(sock, tar)

    async def _is_there(self, mover_id: str) -> bool:
        """Whether it is at work, or has ended and said how. What else there is of it is removed."""
        if await self._result(mover_id) is not None:
            return True
        container = await self._engine.find(NAME + mover_id)
        if container is None:
            return False
        if container.status is ContainerStatus.RUNNING or await self._result(mover_id) is not None:
            return True
        await self._engine.remove(NAME + mover_id)
        return False

    def _environment(self, job: Job) -> dict[str, str]:
        if job.network is Network.NONE:
            return ENVIRONMENT | NO_GPUS
        surroundings = self.config.surroundings
        given = for_containers(surroundings.env, ca=surroundings.ca_file is not None)
        return given | {HANDED_ON: " ".join(given)} | ENVIRONMENT | NO_GPUS

    def _trust(self, job: Job) -> tuple[Mount, ...]:
        """A mover has this machine's programs, and trusts what this machine does."""
        ca_file = self.config.surroundings.ca_file
        if ca_file is None or job.network is Network.NONE:
            return ()
        return (lay_bundle(self.config.paths.trust, MOVERS_TRUST, ca_file, None),)

    async def _begin(self, mover_id: str, make: Callable[[Jobs], Job], *, owner: str) -> None:
        job, trust = await asyncio.to_thread(self._prepare, mover_id, make)
        spec = self._spec(mover_id, job, trust, owner)
        with suppress(NameTaken):
            await self._engine.create(spec)
        await self._engine.start(spec.name)

    def _prepare(self, mover_id: str, make: Callable[[Jobs], Job]) -> tuple[Job, tuple[Mount, ...]]:
        with volume_faults("cannot send a mover"):
            job = make(Jobs(self.config))
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            ensure_rootfs(self._folder / ROOTFS)
            begin(self._folder / mover_id, job)
            try:
                return job, self._trust(job)
            except WorkspaceFault as fault:
                raise VolumeFault(fault.message, info_code="DATASYNC_ERROR") from fault

    def _spec(self, mover_id: str, job: Job, trust: tuple[Mount, ...], owner: str) -> ContainerSpec:
        folder = self._folder / mover_id
        return ContainerSpec(
            name=NAME + mover_id,
            image="",
            rootfs=str(self._folder / ROOTFS),
            command=COMMAND,
            env=self._environment(job),
            labels={
                SYNC_LABEL: mover_id,
                f"{LABEL_PREFIX}notebook": job.notebook_id,
                f"{LABEL_PREFIX}owner": owner,
            },
            mounts=(
                *usual_mounts(self._program, network=job.network is not Network.NONE),
                Mount(source=str(folder / JOB), target="/job"),
                Mount(source=str(folder / SECRETS), target="/secrets", read_only=True),
                *trust,
                *job.mounts,
            ),
            uid=MOVER_UID,
            workdir="/",
            hostname="mover",
            network=job.network,
            tmpfs=("/tmp",),  # noqa: S108 - in memory, and its own
            pids=_PIDS,
            log_bytes=_LOG_BYTES,
        )

    async def _ask(self, what: str, make: Callable[[Jobs], Job]) -> tuple[Report, list[StoredObject]]:
        async with self._room, self._sent(make) as mover_id:
            report, objects = await self._end_of(mover_id)
        return _good(what, report), objects

    @asynccontextmanager
    async def _sent(self, make: Callable[[Jobs], Job]) -> AsyncIterator[str]:
        """A mover that somebody waits for, cleared whichever way this is left."""
        mover_id = str(uuid.uuid4())
        self._asks.add(mover_id)
        try:
            await self._begin(mover_id, make, owner="")
            yield mover_id
        finally:
            self._asks.discard(mover_id)
            try:
                await self.clear(mover_id)
            except (EngineError, VolumeFault) as fault:  # it is among those that nobody waits for now
                log.warning("mover %s is left behind: %s", mover_id, fault.message)

    async def _end_of(self, mover_id: str) -> tuple[Report, list[StoredObject]]:
        """What a mover says in the end. Raises EngineError when it dies without a word."""
        looks = 0
        while (result := await self._result(mover_id)) is None:
            looks += 1
            if looks % _LOOKS_BETWEEN_QUESTIONS == 0:
                await self._still_there(mover_id)
            await self._clock.sleep(_LOOK_EVERY_S)
        return result

    async def _still_there(self, mover_id: str) -> None:
        """Raises VolumeFault for a mover that has ended, with its reason, EngineError for one that died."""
        container = await self._engine.find(NAME + mover_id)
        if container is not None and container.status is ContainerStatus.RUNNING:
            return
        result = await self._result(mover_id)
        if result is None:
            raise EngineError("cannot see to the files: the mover died without a word")
        _good("see to the files", result[0])

    async def _result(self, mover_id: str) -> tuple[Report, list[StoredObject]] | None:
        with volume_faults(f"cannot look at mover {mover_id}"):
            return await asyncio.to_thread(read_result, self._folder / mover_id)


def _good(what: str, report: Report) -> Report:
    if not report.ok:
        raise VolumeFault(f"cannot {what}: {report.message}", info_code=report.code)
    return report
