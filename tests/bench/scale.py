# SPDX-License-Identifier: Apache-2.0
"""Ten thousand notebooks on record, a thousand of them running: how long a start takes.

Everything is real but the machine: SQLite on disk with its syncs, route files, reconciler, API, the system's clock. The
engine is in memory, so that what is measured is notebookd alone.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import shutil
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.directory import SystemDirectory
from notebookd.adapters.files import LocalFiles
from notebookd.adapters.recipes import RecipeFolder
from notebookd.adapters.route_board import RouteFiles
from notebookd.adapters.sqlite import SqliteStore
from notebookd.adapters.volumes import LocalVolumes
from notebookd.assembly import Assembly, Parts, assemble, instance_of
from notebookd.config import Config, parse_config
from notebookd.domain.billing import Tariff, bill_of, opened
from notebookd.domain.clocks import reading
from notebookd.domain.container import ContainerStatus
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.notebook import Notebook, ResourceRequest, Wanted
from notebookd.domain.quota import UNBOUND
from notebookd.domain.resources import GIB, HostCompute
from notebookd.domain.run import Run, RunState
from notebookd.ports.engine import ContainerSpec
from notebookd.testing.activity import FakeTraffic
from notebookd.testing.editor import FakeEditor
from notebookd.testing.engine import FakeContainer, FakeEngine, FakeEngineWorld
from notebookd.testing.gpus import FakeGpus
from notebookd.testing.images import FakeImages
from notebookd.testing.movers import FakeMovers, FakeMoversWorld
from notebookd.testing.processes import FakeProcesses
from tests import values
from tests.bench.control import in_loops, loop_s, scratch
from tests.bench.figures import Figure

NOTEBOOKS = 10_000
RUNNING = 1_000
GPUS = 8
STARTS = 5
MOST_LOOPS = 60.0
"""A start, until the daemon is ready."""


class EngineInMemory(FakeEngineWorld):
    """Containers that run until they are stopped: none has to be asked whether it ended by itself. ``stopped_at`` says
    when each was told to stop."""

    def __init__(self) -> None:
        super().__init__(SystemClock().now)
        self.stopped_at: dict[str, datetime] = {}

    def settle(self) -> None:
        """Nothing ends by itself."""

    def terminate(self, container: FakeContainer, *, grace_s: float = 0) -> None:
        """Note when."""
        self.stopped_at.setdefault(container.spec.name, self.now())
        super().terminate(container, grace_s=grace_s)


class Routes(RouteFiles):
    """Route files that note when all were adopted: then it is asked which are left over."""

    last_listed_at: float | None = None

    def list_published(self) -> list[NotebookId]:
        """Note when."""
        found = super().list_published()
        self.last_listed_at = time.perf_counter()
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """A machine with its notebooks. ``deadlines`` are those of the running ones, by their containers' names."""

    config: Config
    engine: EngineInMemory
    deadlines: dict[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Seconds from opening the store until the daemon says that it is ready; until every notebook was looked at; and
    until every route says what is true."""

    ready_s: float
    adopted_s: float
    routed_s: float


async def make_crowd(folder: Path, *, notebooks: int, running: int, deadline: Callable[[int], datetime]) -> Crowd:
    """Put that many notebooks on record; ``deadline`` says when the running one of a number ends."""
    config = parse_config({"paths": {"state": str(folder / "state"), "runtime": str(_in_memory())}}, source=None)
    paths = config.paths
    for each in (paths.workspaces, paths.logs, paths.trash, paths.editors, paths.routes):
        each.mkdir(parents=True, exist_ok=True)
    crowd = Crowd(config=config, engine=EngineInMemory())
    clock = SystemClock()
    now = reading(clock.now(), clock.boottime(), clock.awake(), clock.boot_id())
    async with SqliteStore.open(paths.database, clock.now()) as store:
        instance = await instance_of(store)
        async with store.transaction() as tx:
            for number in range(notebooks):
                notebook, run = _member(number, clock, deadline(number) if number < running else None)
                notebook = await tx.put_notebook(notebook)
                run = await tx.put_run(run)
                if number < running:
                    await tx.put_interval(opened(bill_of(notebook, run), run, Tariff(), now))
                    _inhabit(crowd, instance, run)
    return crowd


def _in_memory() -> Path:
    """A folder such as /run is one: what lies there is on no disk."""
    folder = Path(tempfile.mkdtemp(prefix="notebookd-bench-", dir="/dev/shm"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _member(number: int, clock: SystemClock, ends_at: datetime | None) -> tuple[Notebook, Run]:
    now = clock.now()
    on_gpu = ends_at is not None and number < GPUS
    resources = values.resources(1) if on_gpu else values.resources(0, cpus=1)
    state = RunState.RUNNING if ends_at is not None else RunState.INTERRUPTED
    made = values.run(state)
    begun = [now - timedelta(seconds=len(made.history) - index) for index in range(len(made.history))]
    run = replace(
        made,
        id=RunId(str(uuid.uuid4())),
        notebook_id=NotebookId(str(uuid.uuid4())),
        resources=resources,
        history=tuple((at, entered) for at, (_, entered) in zip(begun, made.history, strict=True)),
        boot_id=clock.boot_id(),
        granted_at=begun[0],
        gpus=(FakeGpus(GPUS).uuids[number],) if on_gpu else (),
        launched_at=begun[0],
        container_started_at=begun[0],
        container_pid=100_000 + number,
        timeout_at=ends_at,
        released_at=None if ends_at is not None else begun[-1],
    )
    notebook = values.notebook(
        id=run.notebook_id,
        owner=f"user-{number % 50}",
        name=f"notebook-{number}",
        wanted=Wanted.RUNNING if ends_at is not None else Wanted.STOPPED,
        created_at=begun[0],
        updated_at=begun[-1],
        resources=ResourceRequest(flavor=resources.flavor, units=1, gpu=on_gpu),
        workspace_made=True,
    )
    return notebook, run


def _inhabit(crowd: Crowd, instance: str, run: Run) -> None:
    name = f"notebookd-{run.id}"
    labels = {
        "io.notebookd.instance": instance,
        "io.notebookd.notebook": run.notebook_id,
        "io.notebookd.run": run.id,
    }
    spec = ContainerSpec(name=name, image=run.image, command=run.command, labels=labels, uid=run.uid, env={}, mounts=())
    crowd.engine.containers[name] = FakeContainer(
        id=uuid.uuid4().hex * 2,
        spec=spec,
        labels=labels,
        image_digest="sha256:" + "0" * 64,
        status=ContainerStatus.RUNNING,
        pid=run.container_pid,
        started_at=run.container_started_at,
        term_code=0,
    )
    assert run.timeout_at is not None
    crowd.deadlines[name] = run.timeout_at


@asynccontextmanager
async def serving(crowd: Crowd) -> AsyncIterator[tuple[SqliteStore, Assembly, Start]]:
    """A daemon over the crowd, brought up in the order of :func:`notebookd.daemon.serve`, once it has adopted all."""
    begun, clock, paths = time.perf_counter(), SystemClock(), crowd.config.paths
    routes = Routes(paths, uid_of=lambda _: None)
    async with SqliteStore.open(paths.database, clock.now()) as store:
        instance = await instance_of(store)
        files = LocalFiles(paths, keep_workspaces=False)
        await files.sweep()
        assembly = await assemble(
            Parts(
                config=crowd.config,
                store=store,
                clock=clock,
                gpus=FakeGpus(GPUS),
                processes=FakeProcesses(others_cpu_s=0.0),
                engine=FakeEngine(crowd.engine, instance),
                images=FakeImages(crowd.engine),
                recipes=RecipeFolder(crowd.config.recipes),
                editor=FakeEditor(crowd.engine),
                traffic=FakeTraffic(),
                files=files,
                volumes=LocalVolumes(crowd.config),
                movers=FakeMovers(FakeMoversWorld(paths, engine=crowd.engine)),
                routes=routes,
                quota=lambda _: UNBOUND,
                directory=SystemDirectory(clock),
                host=HostCompute(cpus=2 * RUNNING, memory_bytes=2 * RUNNING * GIB),
                instance=instance,
                version="0-bench",
            )
        )
        async with asyncio.TaskGroup() as tasks:
            reconciling = tasks.create_task(assembly.reconciler.run())
            assembly.summary()
            ready = time.perf_counter()
            await _settled(crowd, assembly)
            adopted = time.perf_counter()
            while routes.last_listed_at is None:
                await asyncio.sleep(0.001)
            routed = routes.last_listed_at
            gc.collect()
            gc.freeze()  # as the daemon does
            try:
                yield store, assembly, Start(ready_s=ready - begun, adopted_s=adopted - begun, routed_s=routed - begun)
            finally:
                gc.unfreeze()
                reconciling.cancel()


async def _settled(crowd: Crowd, assembly: Assembly) -> None:
    """Wait until everything was looked at once and nothing is being worked on."""
    while ("list_containers", "") not in crowd.engine.calls or not assembly.reconciler.settled:
        await asyncio.sleep(0.001)


def measure_scale() -> list[Figure]:
    """Starts of the daemon."""
    return asyncio.run(_measure())


async def _measure() -> list[Figure]:
    with scratch() as folder:
        return await _starts(folder / "starts")


async def _starts(folder: Path) -> list[Figure]:
    far = SystemClock().now() + timedelta(days=7)
    crowd = await make_crowd(folder, notebooks=NOTEBOOKS, running=RUNNING, deadline=lambda _: far)
    taken: list[Start] = []
    loops: list[float] = []
    for number in range(STARTS):
        crowd.engine.calls.clear()
        if number == 1:
            first = taken.pop()
            loops.clear()
        loops.append(loop_s())
        async with serving(crowd) as (_, _, start):
            taken.append(start)
    return [
        Figure(name="the first of all (no route is there): every route true", values=(first.routed_s,), unit="s"),
        *in_loops(
            f"start over {NOTEBOOKS:,} notebooks, {RUNNING:,} running: READY",
            [each.ready_s for each in taken],
            loops,
            target=MOST_LOOPS,
            digits=0,
        ),
        Figure(
            name="the same: every running one looked at",
            values=tuple(each.adopted_s for each in taken),
            unit="s",
        ),
        Figure(name="the same: every route true", values=tuple(each.routed_s for each in taken), unit="s"),
    ]
