# SPDX-License-Identifier: Apache-2.0
"""A whole notebookd in one process: real reconciler, services, API, SQLite and folders over a fake machine.

The :class:`World` is the machine: engine, GPUs, editors, clock, disk. A :class:`House` is one life of the daemon on
it. Leave :func:`open_house` (or crash out of it, see :mod:`notebookd.testing.crashing`) and open another over the
same world: database, containers and folders are as the first life left them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from notebookd.adapters.api_socket import BACKLOG, listen
from notebookd.adapters.directory import SystemDirectory
from notebookd.adapters.files import LocalFiles
from notebookd.adapters.prometheus import PrometheusTelemetry
from notebookd.adapters.recipes import RecipeFolder
from notebookd.adapters.route_board import RouteFiles
from notebookd.adapters.volumes import LocalVolumes
from notebookd.api.app import make_app
from notebookd.api.call import Services
from notebookd.api.peers import PeerPolicy
from notebookd.api.serving import Doors, serving
from notebookd.assembly import Parts, Ruling, assemble, instance_of, policy_of
from notebookd.config import Config, parse_config
from notebookd.domain.catalogue import Catalogue
from notebookd.domain.plan import LifecyclePolicy
from notebookd.domain.quota import UNBOUND, QuotaRule
from notebookd.domain.resources import GIB, HostCompute
from notebookd.machine.inventory import Inventory
from notebookd.reconciler.reconciler import Reconciler
from notebookd.service.leavers import Leavers
from notebookd.service.notebooks import Notebooks
from notebookd.service.notices import Notices
from notebookd.testing.activity import FakeTraffic
from notebookd.testing.clock import FakeClock
from notebookd.testing.crashing import Crash, CrashingStore, Turnstile, stepped
from notebookd.testing.editor import FakeEditor
from notebookd.testing.engine import FakeEngine, FakeEngineWorld
from notebookd.testing.gpus import FakeGpus
from notebookd.testing.images import FakeImages
from notebookd.testing.movers import FakeMovers, FakeMoversWorld
from notebookd.testing.processes import FakeProcesses

QUIET_TURNS = 40
"""Turns of the event loop in which nothing may happen before a house counts as quiet."""


@dataclass(slots=True, kw_only=True)
class World:
    """The machine. ``quotas`` holds rules by owner; who is not in it has no bounds."""

    config: Config
    clock: FakeClock
    engine: FakeEngineWorld
    gpus: FakeGpus
    processes: FakeProcesses
    editor: FakeEditor
    movers: FakeMoversWorld
    traffic: FakeTraffic
    host: HostCompute
    quotas: dict[str, QuotaRule] = field(default_factory=dict)
    min_free_bytes: int = 0

    @property
    def policy(self) -> LifecyclePolicy:
        """The clock of a run, from the configuration."""
        return policy_of(self.config)


def make_world(folder: Path, *, gpus: int = 2, settings: Mapping[str, Any] | None = None) -> World:
    """A machine whose disk is ``folder``. ``settings`` is configuration as TOML gives it; without, no snapshots are
    taken, which are another story than most tests'."""
    paths = {"state": str(folder / "state"), "runtime": str(folder / "run")}
    quiet = {"snapshots": {"at_stop": False}}
    config = parse_config({"paths": paths, **quiet, **(settings or {})}, source=None)
    for each in (config.paths.workspaces, config.paths.logs, config.paths.editors, config.paths.routes):
        each.mkdir(parents=True, exist_ok=True)
    clock = FakeClock()
    engine = FakeEngineWorld(clock.now)
    for image in Catalogue.of(config.images).image_names():
        engine.add_image(image)
    return World(
        config=config,
        clock=clock,
        engine=engine,
        gpus=FakeGpus(gpus),
        processes=FakeProcesses(others_cpu_s=0.0),
        editor=FakeEditor(engine),
        movers=FakeMoversWorld(config.paths, engine=engine),
        traffic=FakeTraffic(),
        host=HostCompute(cpus=16, memory_bytes=64 * GIB),
    )


@dataclass(slots=True, kw_only=True)
class House:
    """One life of the daemon."""

    world: World
    store: CrashingStore
    services: Services
    notices: Notices
    leavers: Leavers
    reconciler: Reconciler
    inventory: Inventory
    turnstile: Turnstile
    ruling: Ruling
    reload: Callable[[Config], None]

    @property
    def notebooks(self) -> Notebooks:
        """What a caller may do."""
        return self.services.notebooks

    def rule(self, **changes: Any) -> None:
        """Have other rules hold, as a reload does, and nobody look because of it."""
        self.ruling.swap(self.ruling.config(), replace(self.ruling.rules(), **changes))

    async def quiet(self) -> None:
        """Wait until nothing happens any more unless the clock moves or the world changes."""
        calm = 0
        while calm < QUIET_TURNS:
            if not self.turnstile.idle.is_set():
                await self.turnstile.idle.wait()
                calm = 0
            await self.world.clock.sleep(0)
            calm += 1

    async def pass_time(self, seconds: float) -> None:
        """Let that much time pass at once, and everything that follows from it happen."""
        await self.quiet()
        self.world.clock.step(seconds)
        await self.quiet()


@asynccontextmanager
async def open_house(world: World, turnstile: Turnstile | None = None) -> AsyncIterator[House]:
    """Bring the daemon up and adopt what is there; leaving ends it as SIGTERM does, an exception as a crash does."""
    gate = turnstile or Turnstile()
    paths = world.config.paths
    telemetry = PrometheusTelemetry()
    opening = CrashingStore.open(paths.database, world.clock.now(), ballast_bytes=4096, on_write=telemetry.wrote)
    async with opening as store:
        store.turnstile = gate
        house = await _furnish(world, store, gate, telemetry)
        try:
            async with asyncio.TaskGroup() as tasks:
                serving = tasks.create_task(house.reconciler.run(), name="reconciler")
                try:
                    yield house
                finally:
                    serving.cancel()
        except BaseExceptionGroup as several:
            raise _cause_of(several) from several


def _cause_of(several: BaseExceptionGroup[BaseException]) -> BaseException:
    """What a test wants to see: the crash, or the one thing that went wrong."""
    cause: BaseException = several
    while isinstance(cause, BaseExceptionGroup) and (len(cause.exceptions) == 1 or cause.subgroup(Crash)):
        cause = next((each for each in cause.exceptions if _crashed(each)), cause.exceptions[0])
    return cause


def _crashed(fault: BaseException) -> bool:
    return isinstance(fault, Crash) or (isinstance(fault, BaseExceptionGroup) and fault.subgroup(Crash) is not None)


async def _furnish(world: World, store: CrashingStore, gate: Turnstile, telemetry: PrometheusTelemetry) -> House:
    instance = await instance_of(store)
    assembly = await assemble(
        Parts(
            config=world.config,
            store=store,
            clock=world.clock,
            gpus=stepped(world.gpus, "gpus", gate),
            processes=stepped(world.processes, "processes", gate),
            engine=stepped(FakeEngine(world.engine, instance), "engine", gate),
            images=FakeImages(world.engine),
            recipes=RecipeFolder(world.config.recipes),
            editor=stepped(world.editor, "editor", gate),
            traffic=stepped(world.traffic, "traffic", gate),
            files=stepped(LocalFiles(world.config.paths, keep_workspaces=False), "files", gate, threaded=True),
            volumes=stepped(LocalVolumes(world.config), "volumes", gate, threaded=True),
            movers=stepped(FakeMovers(world.movers), "movers", gate),
            routes=stepped(RouteFiles(world.config.paths, uid_of=lambda _: None), "routes", gate),
            directory=SystemDirectory(world.clock),
            quota=lambda owner: world.quotas.get(owner, UNBOUND),
            host=world.host,
            instance=instance,
            version="0-testing",
            min_free_bytes=world.min_free_bytes,
            telemetry=telemetry,
        )
    )
    return House(
        world=world,
        store=store,
        services=assembly.services,
        notices=assembly.notices,
        leavers=assembly.leavers,
        reconciler=assembly.reconciler,
        inventory=assembly.inventory,
        turnstile=gate,
        ruling=assembly.ruling,
        reload=assembly.reload,
    )


@asynccontextmanager
async def serve_api(
    house: House, peers: PeerPolicy, path: Path, *, bearers_only: bool = False, doors: Doors | None = None
) -> AsyncIterator[Path]:
    """Serve a house's API on a Unix socket at ``path``, of the members' group; with ``bearers_only`` to tokens."""
    app = make_app(house.services, peers, bearers_only=bearers_only)
    try:
        async with serving(app, [listen(path, peers.member_group)], backlog=BACKLOG, doors=doors):
            yield path
    finally:
        path.unlink(missing_ok=True)
