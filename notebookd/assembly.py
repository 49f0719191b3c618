# SPDX-License-Identifier: Apache-2.0
"""Putting a notebookd together from its parts: the same wiring for the daemon and for the house that tests live in."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta

from notebookd.adapters.prometheus import PrometheusTelemetry
from notebookd.api.call import Services
from notebookd.config import Config
from notebookd.domain.catalogue import Catalogue
from notebookd.domain.datastores import DataRules
from notebookd.domain.gpu import ForeignRule, LeftoverRule
from notebookd.domain.plan import LifecyclePolicy
from notebookd.domain.quota import QuotaBook
from notebookd.domain.resources import FlavorShare, HostCompute
from notebookd.domain.xids import Action, XidRules
from notebookd.machine.gpu_watch import GpuWatch, Pace
from notebookd.machine.health import Health
from notebookd.machine.idleness import Verdicts
from notebookd.machine.inventory import Inventory
from notebookd.machine.occupants import Account
from notebookd.machine.queue import Queue
from notebookd.machine.transfers import Transfers
from notebookd.ports.activity import Traffic
from notebookd.ports.board import RouteBoard
from notebookd.ports.clock import Clock
from notebookd.ports.directory import Directory
from notebookd.ports.editor import Editor
from notebookd.ports.engine import Engine
from notebookd.ports.files import Files
from notebookd.ports.gpus import Gpus
from notebookd.ports.images import ImageStore, Recipes
from notebookd.ports.movers import Movers
from notebookd.ports.processes import Processes
from notebookd.ports.store import Store
from notebookd.ports.telemetry import Telemetry
from notebookd.ports.volumes import Volumes
from notebookd.reconciler.allocation import Allocator, Learn, nobody_to_learn_of
from notebookd.reconciler.execute import Executor, Ports
from notebookd.reconciler.idle_watch import IdleWatch
from notebookd.reconciler.memory_watch import MemoryWatch
from notebookd.reconciler.movers import MoverCrew
from notebookd.reconciler.reconciler import SURVEY_EVERY_S, Reconciler, Settings, kind_of
from notebookd.reconciler.workqueue import WorkQueue
from notebookd.reconciler.workspace_watch import WorkspaceWatch
from notebookd.record.meter import Meter, tariff_of
from notebookd.service.accounts import Accounts
from notebookd.service.archives import Archives
from notebookd.service.commands import Commands
from notebookd.service.datastores import Datastores
from notebookd.service.events import Events
from notebookd.service.gpus import GpuBoard
from notebookd.service.images import Images
from notebookd.service.leavers import Leavers
from notebookd.service.listing import Listing
from notebookd.service.logs import Logs
from notebookd.service.machine import Machine
from notebookd.service.notebooks import Notebooks
from notebookd.service.notices import Notices
from notebookd.service.readings import Readings
from notebookd.service.snapshots import Snapshots
from notebookd.service.starts import Starts
from notebookd.service.syncs import Syncs
from notebookd.service.tokens import Tokens
from notebookd.service.usage import Usage
from notebookd.service.why import Reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a notebookd stands on: the adapters, and the few facts of the machine that no port tells."""

    config: Config
    store: Store
    clock: Clock
    gpus: Gpus
    processes: Processes
    engine: Engine
    images: ImageStore
    recipes: Recipes
    editor: Editor
    traffic: Traffic
    files: Files
    volumes: Volumes
    movers: Movers
    routes: RouteBoard
    quota: QuotaBook
    directory: Directory
    host: HostCompute
    instance: str
    version: str
    learn: Learn = nobody_to_learn_of
    account: Account = field(default_factory=Account)
    survey_every_s: float = SURVEY_EVERY_S
    min_free_bytes: int = 0
    telemetry: Telemetry = field(default_factory=PrometheusTelemetry)
    on_turn: Callable[[str], None] = lambda _: None
    """Called with a line for people after each loop turn that read the store."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """A notebookd, put together and not running yet."""

    services: Services
    engine: Engine
    notices: Notices
    leavers: Leavers
    reconciler: Reconciler
    inventory: Inventory
    summary: Callable[[], str]
    reload: Callable[[Config], None]
    """Puts in force what can change in a daemon that runs: see :func:`notebookd.config.reload.reloaded`."""


async def instance_of(store: Store) -> str:
    """This instance's id, made at the first start."""
    known = store.find_meta("instance")
    if known is not None:
        return known
    made = str(uuid.uuid4())
    async with store.transaction() as tx:
        await tx.put_meta("instance", made)
    return made


def policy_of(config: Config) -> LifecyclePolicy:
    """The clock of a run, from the configuration."""
    lifecycle = config.lifecycle
    return LifecyclePolicy(
        max_running_s=lifecycle.max_running_s,
        max_extension_s=lifecycle.max_extension_s,
        stop_grace_s=lifecycle.stop_grace_s,
        start_timeout_s=lifecycle.start_timeout_s,
        queue_timeout_s=lifecycle.queue_timeout_s,
        warn_before_s=lifecycle.warn_before_s,
        start_after_boot=lifecycle.start_after_boot,
        snapshot_at_stop=config.snapshots.at_stop,
        keep_workspaces=lifecycle.keep_workspace_on_delete,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rooms:
    """What stands between the ports and the services."""

    inventory: Inventory
    watch: GpuWatch
    idle: IdleWatch
    meter: Meter
    queue: Queue
    verdicts: Verdicts
    health: Health
    executor: Executor
    transfers: Transfers
    crew: MoverCrew
    spaces: WorkspaceWatch
    machine: Machine
    reconciler: Reconciler


async def assemble(parts: Parts) -> Assembly:
    """Wire the parts; the GPUs are looked at once on the way."""
    keys = WorkQueue(parts.clock, on_turn=lambda key, lag_s: parts.telemetry.turned(kind_of(key), lag_s))
    inventory = _inventory(parts)
    pace = Pace(busy_s=parts.config.gpus.poll_s)
    watch = GpuWatch(parts.gpus, inventory, parts.store, parts.clock, keys.wake, pace, _xid_rules(parts.config))
    await watch.stay_released()
    await watch.look()
    rooms = _rooms(parts, inventory, watch, keys)
    services = _services(parts, rooms)
    return Assembly(
        services=services,
        engine=parts.engine,
        notices=Notices(parts.store, parts.routes, rooms.machine, services.reasons, parts.clock),
        leavers=Leavers(parts.store, parts.clock, parts.directory, rooms.reconciler.wake),
        reconciler=rooms.reconciler,
        inventory=inventory,
        summary=rooms.machine.summary,
        reload=lambda config: _reload(config, rooms, services),
    )


def _rooms(parts: Parts, inventory: Inventory, watch: GpuWatch, keys: WorkQueue) -> _Rooms:
    config, store, clock, policy = parts.config, parts.store, parts.clock, policy_of(parts.config)
    meter = Meter(store, clock, tariff_of(config.billing))
    queue = Queue(store, inventory, clock, parts.quota, policy)
    health = Health(store, parts.engine, watch, clock)
    machine = Machine(store, inventory, queue, health)
    ports = _ports(parts)
    transfers = Transfers(store, parts.movers, keys.wake, parts.telemetry, at_once=config.transfers.at_once)
    cache_keep_s = config.transfers.cache_keep_s
    crew = MoverCrew(store, parts.movers, parts.volumes, clock, transfers, cache_keep_s=cache_keep_s)
    executor = Executor(ports, watch, policy, parts.instance, cdi=parts.gpus.cdi, env=config.surroundings.env)
    verdicts = Verdicts()
    idle = _idle_watch(parts, inventory, meter, verdicts, keys)
    spaces = _workspace_watch(parts)
    reconciler = Reconciler(
        store,
        ports,
        executor,
        Allocator(store, queue, watch, clock, meter, parts.learn),
        watch,
        idle,
        meter,
        transfers,
        crew,
        spaces,
        MemoryWatch(store, parts.processes, clock, meter),
        parts.routes,
        health,
        keys,
        _settings(parts),
        on_turn=lambda: parts.on_turn(machine.summary()),
    )
    return _Rooms(
        inventory=inventory,
        watch=watch,
        idle=idle,
        meter=meter,
        queue=queue,
        verdicts=verdicts,
        health=health,
        executor=executor,
        transfers=transfers,
        crew=crew,
        spaces=spaces,
        machine=machine,
        reconciler=reconciler,
    )


def _idle_watch(parts: Parts, inventory: Inventory, meter: Meter, verdicts: Verdicts, keys: WorkQueue) -> IdleWatch:
    return IdleWatch(
        parts.store,
        _ports(parts),
        parts.traffic,
        parts.processes,
        inventory,
        meter,
        verdicts,
        policy_of(parts.config),
        parts.config.lifecycle.idle_stop_s,
        keys.wake,
    )


def _workspace_watch(parts: Parts) -> WorkspaceWatch:
    workspace = parts.config.workspace
    return WorkspaceWatch(
        parts.store,
        parts.movers,
        parts.clock,
        quota_bytes=workspace.quota_bytes,
        every_s=workspace.measure_every_s,
    )


def _ports(parts: Parts) -> Ports:
    return Ports(
        engine=parts.engine,
        editor=parts.editor,
        files=parts.files,
        volumes=parts.volumes,
        movers=parts.movers,
        clock=parts.clock,
    )


def _settings(parts: Parts) -> Settings:
    return Settings(
        instance=parts.instance,
        policy=policy_of(parts.config),
        survey_every_s=parts.survey_every_s,
        keep_events=timedelta(seconds=parts.config.events.keep_s),
    )


def _reload(config: Config, rooms: _Rooms, services: Services) -> None:
    """Tell each room the new rule of what it decides; what follows from it is found by looking at everything."""
    policy = policy_of(config)
    rooms.queue.policy = rooms.executor.policy = policy
    rooms.executor.env = config.surroundings.env
    keep_events = timedelta(seconds=config.events.keep_s)
    rooms.reconciler.settings = replace(rooms.reconciler.settings, policy=policy, keep_events=keep_events)
    rooms.idle.patience = services.notebooks.patience = services.reasons.patience = policy
    rooms.idle.default_s = config.lifecycle.idle_stop_s
    rooms.spaces.quota_bytes = config.workspace.quota_bytes
    rooms.spaces.every_s = config.workspace.measure_every_s
    rooms.transfers.at_once, rooms.crew.cache_keep_s = config.transfers.at_once, config.transfers.cache_keep_s
    rooms.meter.tariff = tariff_of(config.billing)
    rooms.watch.pace = Pace(busy_s=config.gpus.poll_s)
    rooms.inventory.rule, rooms.inventory.shares = _foreign_rule(config), _shares(config)
    rooms.watch.xids = _xid_rules(config)
    rooms.inventory.leftover_rule = _leftover_rule(config)
    services.notebooks.allowance.min_free_bytes = config.store.min_free_bytes
    services.notebooks.allowance.min_free_inodes = config.store.min_free_inodes
    services.notebooks.starts.catalogue = services.catalogue = services.images.catalogue = Catalogue.of(config.images)
    services.notebooks.starts.rules = data_rules(config)
    services.datastores.stores = config.datastores
    services.notebooks.allowance.workspace_bytes = config.workspace.quota_bytes
    services.config = config
    rooms.reconciler.wake_all()


def _services(parts: Parts, rooms: _Rooms) -> Services:
    config, store, clock, policy = parts.config, parts.store, parts.clock, policy_of(parts.config)
    catalogue = Catalogue.of(config.images)
    notebooks = _notebooks(parts, rooms, catalogue)
    tokens = Tokens(store, clock)
    gpus = GpuBoard(store, clock, parts.gpus, rooms.inventory, rooms.watch, rooms.reconciler.wake)
    return Services(
        notebooks=notebooks,
        machine=rooms.machine,
        gpus=gpus,
        reasons=Reasons(rooms.machine, rooms.inventory, rooms.verdicts, rooms.transfers, notebooks.allowance, policy),
        tokens=tokens,
        accounts=Accounts(store, clock, parts.directory, tokens),
        usage=Usage(store, rooms.meter),
        images=Images(
            store,
            clock,
            parts.images,
            parts.recipes,
            catalogue,
            require_room=lambda verb: notebooks.allowance.require_room(verb),
        ),
        datastores=Datastores(parts.movers, config.datastores),
        archives=Archives(store, clock, notebooks, parts.files, parts.movers, rooms.transfers),
        syncs=Syncs(store, clock, notebooks, rooms.transfers, rooms.reconciler.wake),
        snapshots=Snapshots(store, notebooks, parts.movers),
        readings=Readings(store, clock, gpus, rooms.transfers, rooms.health, parts.version),
        telemetry=parts.telemetry,
        catalogue=catalogue,
        listing=Listing(store, parts.files),
        events=Events(store),
        logs=Logs(parts.engine, parts.files),
        commands=Commands(store, clock, parts.engine),
        clock=clock,
        quota=parts.quota,
        directory=parts.directory,
        url_of=config.gateway.url_of,
        config=config,
        instance=parts.instance,
        version=parts.version,
    )


def _notebooks(parts: Parts, rooms: _Rooms, catalogue: Catalogue) -> Notebooks:
    notebooks = Notebooks(
        parts.store,
        parts.clock,
        Starts(catalogue, rooms.inventory, data_rules(parts.config)),
        rooms.inventory,
        parts.quota,
        rooms.reconciler.wake,
        meter=rooms.meter,
        patience=policy_of(parts.config),
        min_free_bytes=parts.min_free_bytes,
    )
    notebooks.allowance.workspace_bytes = parts.config.workspace.quota_bytes
    notebooks.allowance.min_free_inodes = parts.config.store.min_free_inodes
    return notebooks


def data_rules(config: Config) -> DataRules:
    """What volumes may be, from the configuration."""
    stores = {store.alias: store for store in config.datastores}
    return DataRules(stores=stores, git_schemes=config.transfers.git_schemes)


def _inventory(parts: Parts) -> Inventory:
    return Inventory(
        parts.gpus,
        parts.store,
        parts.processes,
        parts.host,
        _shares(parts.config),
        _foreign_rule(parts.config),
        parts.account,
        _leftover_rule(parts.config),
    )


def _foreign_rule(config: Config) -> ForeignRule:
    gpus = config.gpus
    return ForeignRule(memory_bytes=gpus.foreign_memory_bytes, ignored=frozenset(gpus.ignore_processes))


def _leftover_rule(config: Config) -> LeftoverRule:
    return LeftoverRule(memory_bytes=config.gpus.leftover_memory_bytes, leased=config.gpus.lease_leftover)


def _xid_rules(config: Config) -> XidRules:
    return XidRules(overrides={number: Action(rule) for number, rule in config.gpus.xid.items()})


def _shares(config: Config) -> tuple[FlavorShare, ...]:
    return tuple(
        FlavorShare(
            id=each.id,
            description=each.description,
            cpus=each.cpus,
            memory_bytes=each.memory_bytes,
            shm_bytes=each.shm_bytes,
            limit=each.max_units,
            default=each.default,
        )
        for each in config.flavors
    )
