# SPDX-License-Identifier: Apache-2.0
"""The composition root: the only place that knows every name."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import pwd
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from notebookd import __version__, doctor, restore
from notebookd.adapters.accounts import AccountQuotas
from notebookd.adapters.api_socket import BACKLOG, listen
from notebookd.adapters.build_settings import BuildSettings, build_settings
from notebookd.adapters.clock import SystemClock
from notebookd.adapters.directory import SystemDirectory, name_of
from notebookd.adapters.editor import SocketEditor
from notebookd.adapters.files import LocalFiles
from notebookd.adapters.gateway_activity import GatewayNotes
from notebookd.adapters.logging import log_events, set_up_logging
from notebookd.adapters.loop_watch import LoopWatch
from notebookd.adapters.movers import ContainerMovers
from notebookd.adapters.nvml import NvmlGpus
from notebookd.adapters.podman import PodmanEngine
from notebookd.adapters.podman.images import PodmanImages
from notebookd.adapters.process_book import ProcessBook
from notebookd.adapters.prometheus import PrometheusTelemetry
from notebookd.adapters.recipes import RecipeFolder
from notebookd.adapters.route_board import RouteFiles
from notebookd.adapters.simulated_gpus import SimulatedGpus
from notebookd.adapters.sqlite import SqliteStore
from notebookd.adapters.state_folder import hold
from notebookd.adapters.systemd import SystemdNotifier, listen_fds, watchdog_interval_s
from notebookd.adapters.volumes import LocalVolumes
from notebookd.api.app import make_app
from notebookd.api.call import Services
from notebookd.api.peers import PeerPolicy
from notebookd.api.serving import Doors, serving
from notebookd.assembly import Assembly, Parts, assemble, instance_of
from notebookd.cli.guard import guarded
from notebookd.config import Config, load_config
from notebookd.domain.observed import Known
from notebookd.domain.resources import HostCompute
from notebookd.errors import ConfigError, NotebookdError
from notebookd.machine.inventory import Inventory
from notebookd.machine.occupants import Account
from notebookd.ports.clock import Clock
from notebookd.ports.gpus import Gpus
from notebookd.ports.notifier import Notifier
from notebookd.ports.store import Store
from notebookd.ports.telemetry import Telemetry
from notebookd.reconciler.log_watch import keep_logs
from notebookd.reconciler.reconciler import SURVEY_EVERY_S
from notebookd.reload import Absences, Reload

T = TypeVar("T")

log = logging.getLogger(__name__)

WATCH_LOOP = "NOTEBOOKD_LOOP_WATCH"
GATEWAY_ACCOUNT = "notebookd-gateway"
MOST_THREADS = 64
THREADS_AT_ONCE = 8
_FOLDER_MODE = 0o700
_STARTUP_STEP_S = 5.0
_MIGRATION_STEP_US = 60_000_000
"""A migration may take as long as it likes, as long as it gets on once in this time."""


def main(argv: list[str] | None = None) -> int:
    """``notebookd [--config FILE]`` serves; ``doctor`` looks at the machine, ``restore`` puts a backup in place."""
    parser = argparse.ArgumentParser(
        prog="notebookd",
        description="Serve notebooks on this machine.",
        epilog="`notebookd doctor` looks at the machine and says what is wrong and how to cure it; `notebookd restore` "
        "puts a backup in the database's place; `notebookd check-config` names every fault of a configuration.",
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration (/etc/notebookd/notebookd.toml)")
    parser.add_argument("--version", action="version", version=f"notebookd {__version__}")
    words = sys.argv[1:] if argv is None else argv
    tools = {"doctor": doctor.main, "check-config": doctor.check_config, "restore": restore.main}
    if words and words[0] in tools:
        with guarded("notebookd"):
            return tools[words[0]](words[1:])
    with guarded("notebookd"):
        wish = parser.parse_args(words)
    try:
        set_up_logging()
        _run(serve(lambda: load_config(wish.config)))
    except NotebookdError as fault:
        print(f"notebookd: {fault.message}", file=sys.stderr)  # noqa: T201 - the last word, for whoever started it
        if fault.hint:
            print(f"hint: {fault.hint}", file=sys.stderr)  # noqa: T201 - likewise
        return 1
    return 0


def _run(serving: Coroutine[Any, Any, None]) -> None:
    """Run it to its end; with ``NOTEBOOKD_LOOP_WATCH=MILLISECONDS`` what holds the loop up for so long is logged."""
    least_ms = os.environ.get(WATCH_LOOP, "")
    if not least_ms.isdecimal():
        asyncio.run(serving)
        return
    with (
        LoopWatch(lambda block: log.warning("the event loop was %s", block), least_s=int(least_ms) / 1000) as watch,
        asyncio.Runner(loop_factory=watch.make_loop) as runner,
    ):
        runner.run(serving)


async def serve(read_config: Callable[[], Config]) -> None:
    """Serve until SIGTERM or SIGINT; read the configuration again at SIGHUP. Notebooks go on when this ends, however
    it ends."""
    os.umask(0o077)
    _make_threads()
    config = read_config()
    stopping, reloading = _told_by(signal.SIGTERM, signal.SIGINT), _told_by(signal.SIGHUP)
    _make_folders(config)
    clock = SystemClock()
    notifier, telemetry = SystemdNotifier(), PrometheusTelemetry()
    with hold(config.paths.state):
        async with (
            _store_of(config, clock, notifier, telemetry) as store,
            _gpus_of(config, store, clock) as gpus,
            _assembly(config, store, clock, notifier, telemetry, gpus) as assembly,
        ):
            _spare_what_lasts()  # before anybody is served: whoever came meanwhile would wait for it
            async with (
                _api(config, assembly.services, notifier),
                _bearers(config, assembly.services, notifier),
                asyncio.TaskGroup() as tasks,
            ):
                serving = tasks.create_task(assembly.reconciler.run(), name="reconciler")
                telling = tasks.create_task(log_events(store), name="log")
                keeping = tasks.create_task(keep_logs(assembly.engine, clock), name="container logs")
                enrolling = tasks.create_task(assembly.services.accounts.enrol(), name="enrol")
                noticing = tasks.create_task(assembly.notices.run(), name="notices")
                missing = tasks.create_task(assembly.leavers.run(), name="leavers")
                reload = Reload(config, read_config, assembly.reload)
                listening = tasks.create_task(_reload_when(reloading, reload, notifier, assembly), name="reload")
                notifier.ready(assembly.summary())
                log.info("notebookd %s serves %s", assembly.services.version, config.api.socket)
                await stopping.wait()
                notifier.stopping()
                serving.cancel()
                telling.cancel()
                keeping.cancel()
                noticing.cancel()
                missing.cancel()
                enrolling.cancel()
                listening.cancel()


def _spare_what_lasts() -> None:
    """Leave out of Python's searches for cycles what is there now: most of it stays as long as the daemon does, and to
    look through all of it again holds the event loop up."""
    gc.collect()
    gc.freeze()


def _make_threads() -> None:
    """The threads of ``asyncio.to_thread``: so many that calls of a file system that hangs leave some for the rest, and
    a few that run already, since who starts a thread waits for it to run."""
    pool, begun = ThreadPoolExecutor(max_workers=MOST_THREADS, thread_name_prefix="beside"), threading.Event()
    asyncio.get_running_loop().set_default_executor(pool)
    for _ in range(THREADS_AT_ONCE):
        pool.submit(begun.wait)
    begun.set()


def _told_by(*signals: signal.Signals) -> asyncio.Event:
    """Set whenever one of the signals comes."""
    told = asyncio.Event()
    for each in signals:
        asyncio.get_running_loop().add_signal_handler(each, told.set)
    return told


async def _reload_when(told: asyncio.Event, reload: Reload, notifier: Notifier, assembly: Assembly) -> None:
    absences = Absences(assembly.services.directory, partial(_flavors_of, assembly.inventory))
    async with asyncio.TaskGroup() as telling:  # a directory service that is slow holds no reload up
        while True:
            telling.create_task(absences.tell(reload.running), name="absences")
            await told.wait()
            told.clear()
            notifier.reloading()
            reload()
            notifier.ready(assembly.summary())


def _flavors_of(inventory: Inventory) -> list[str] | None:
    return [each.id for each in inventory.flavors()] if isinstance(inventory.seen, Known) else None


def _make_folders(config: Config) -> None:
    paths = config.paths
    try:
        for folder in (paths.state, paths.workspaces, paths.trash, paths.logs):
            folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        bearers = (paths.bearers.parent,) if config.gateway.api else ()
        for folder in (paths.runtime, paths.editors, paths.routes, *bearers):
            if not folder.is_dir():
                folder.mkdir(mode=0o750, parents=True)
                log.warning("made %s: on a real installation tmpfiles.d makes it, with the gateway's group", folder)
    except OSError as fault:
        raise ConfigError(
            f"cannot make the folder {fault.filename}: {fault.strerror}",
            hint="[paths] must name folders that the service's account may write",
        ) from fault


def _store_of(
    config: Config, clock: Clock, notifier: Notifier, telemetry: Telemetry
) -> AbstractAsyncContextManager[SqliteStore]:
    return SqliteStore.open(
        config.paths.database,
        clock.now(),
        ballast_bytes=config.store.ballast_bytes,
        at_work=lambda: notifier.extend_timeout(_MIGRATION_STEP_US),
        on_write=telemetry.wrote,
    )


@asynccontextmanager
async def _gpus_of(config: Config, store: Store, clock: Clock) -> AsyncIterator[Gpus]:
    if config.gpus.driver == "simulated":
        yield SimulatedGpus(config.gpus.simulated, await instance_of(store))
        return
    async with NvmlGpus.open(clock) as gpus:
        yield gpus


def _builds(config: Config) -> Callable[[], BuildSettings]:
    return partial(build_settings, config.surroundings)


def host_compute() -> HostCompute:
    """The CPUs and memory of this machine."""
    pages, page_size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    return HostCompute(cpus=os.cpu_count() or 1, memory_bytes=pages * page_size)


@asynccontextmanager
async def _assembly(
    config: Config, store: SqliteStore, clock: Clock, notifier: Notifier, telemetry: Telemetry, gpus: Gpus
) -> AsyncIterator[Assembly]:
    instance = await instance_of(store)
    files = await _files(config, store)
    account = Account(user=await _in_time(notifier, name_of, os.getuid()), pid=os.getpid())
    recipes = RecipeFolder(config.recipes)
    quotas = AccountQuotas(config.quota, config.api.admin_group, SystemDirectory(clock))
    volumes = LocalVolumes(config)

    def reload(fresh: Config) -> None:
        quotas.quota, files.keep_workspaces = fresh.quota, fresh.lifecycle.keep_workspace_on_delete
        files.ca_file, images.lay_settings = fresh.surroundings.ca_file, _builds(fresh)
        recipes.folder, volumes.config, movers.config = fresh.recipes, fresh, fresh
        assembly.reload(fresh)

    async with _engine(config, instance) as engine, _images(config) as images:
        movers = ContainerMovers(engine, config, clock)
        assembly = await assemble(
            Parts(
                config=config,
                store=store,
                clock=clock,
                gpus=gpus,
                processes=ProcessBook(name_of=partial(_name_now, quotas.directory, account)),
                engine=engine,
                images=images,
                recipes=recipes,
                editor=SocketEditor(config.paths.editors),
                traffic=GatewayNotes(config.paths.activity),
                files=files,
                volumes=volumes,
                movers=movers,
                routes=RouteFiles(config.paths, uid_of=store.find_account),
                quota=quotas,
                directory=quotas.directory,
                learn=quotas.learn,
                host=host_compute(),
                instance=instance,
                version=__version__,
                account=account,
                survey_every_s=min(SURVEY_EVERY_S, watchdog_interval_s() or SURVEY_EVERY_S),
                min_free_bytes=config.store.min_free_bytes,
                telemetry=telemetry,
                on_turn=lambda summary: _turned(notifier, summary),
            )
        )
        yield replace(assembly, reload=reload)


def _engine(config: Config, instance: str) -> AbstractAsyncContextManager[PodmanEngine]:
    return PodmanEngine.open(
        config.engine.socket, instance, profile=config.paths.seccomp, logs=config.paths.state / "container-logs"
    )


@asynccontextmanager
async def _images(config: Config) -> AsyncIterator[PodmanImages]:
    async with PodmanImages.open(config.engine.socket) as images:
        images.lay_settings = _builds(config)
        yield images


async def _files(config: Config, store: SqliteStore) -> LocalFiles:
    keep = config.lifecycle.keep_workspace_on_delete
    files = LocalFiles(
        config.paths,
        keep_workspaces=keep,
        give_up_reserve=store.give_up_reserve,
        ca_file=config.surroundings.ca_file,
    )
    await files.sweep()
    return files


def _turned(notifier: Notifier, summary: str) -> None:
    notifier.watchdog()
    notifier.status(summary)


@asynccontextmanager
async def _api(config: Config, services: Services, notifier: Notifier) -> AsyncIterator[None]:
    passed, path = listen_fds(), config.api.socket
    app = make_app(services, await _in_time(notifier, _peers, config))
    listeners = passed or [await _in_time(notifier, listen, path, config.api.group)]
    try:
        async with serving(app, listeners, backlog=BACKLOG):
            yield
    finally:
        if not passed:
            path.unlink(missing_ok=True)


@asynccontextmanager
async def _bearers(config: Config, services: Services, notifier: Notifier) -> AsyncIterator[None]:
    """Serve the gateway, where it may pass the API on: on a socket that it alone may open, and to tokens alone."""
    path = config.paths.bearers
    if not config.gateway.api:
        path.unlink(missing_ok=True)
        yield
        return
    app = make_app(services, await _in_time(notifier, _peers, config), bearers_only=True)
    listener = await _in_time(notifier, listen, path, GATEWAY_ACCOUNT)
    try:
        async with serving(app, [listener], backlog=BACKLOG, doors=Doors(connections=None)):
            yield
    finally:
        path.unlink(missing_ok=True)


def _peers(config: Config) -> PeerPolicy:
    return PeerPolicy(
        member_group=config.api.group, admin_group=config.api.admin_group, nobodies=frozenset(_service_uids())
    )


def _name_now(directory: SystemDirectory, account: Account, uid: int) -> str:
    """The name of a uid, which is not waited for; that of the daemon's own account is known."""
    return account.user if uid == os.getuid() else directory.name_now(uid)


def _service_uids() -> Iterator[int]:
    yield os.getuid()
    try:
        yield pwd.getpwnam(GATEWAY_ACCOUNT).pw_uid
    except KeyError:
        return


async def _in_time(notifier: Notifier, look_up: Callable[..., T], *about: object) -> T:
    """What must be looked up before anything is served, with systemd told that this takes its time: the directory
    service may be slow."""
    looking = asyncio.get_running_loop().run_in_executor(None, partial(look_up, *about))
    while not (await asyncio.wait({looking}, timeout=_STARTUP_STEP_S))[0]:
        log.warning("the directory service (NSS) does not answer: waiting")
        notifier.extend_timeout(_MIGRATION_STEP_US)
    return looking.result()


if __name__ == "__main__":
    sys.exit(main())
