# SPDX-License-Identifier: Apache-2.0
"""Putting a notebookd together from its parts: the same wiring for the daemon and for the house that tests live in."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from notebookd.adapters.prometheus import PrometheusTelemetry
from notebookd.api.call import Services
from notebookd.config import Config
from notebookd.domain.catalogue import Catalogue
from notebookd.domain.gpu import ForeignRule, LeftoverRule
from notebookd.domain.plan import LifecyclePolicy
from notebookd.domain.quota import QuotaBook
from notebookd.domain.resources import FlavorShare, HostCompute
from notebookd.domain.rules import Rules, RulesNow
from notebookd.domain.xids import Action, XidRules
from notebookd.machine.gpu_watch import GpuWatch
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
from notebookd.reconciler.reconciler import SURVEY_EVERY_S, Reconciler, kind_of
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
from notebookd.service.loads import Loads
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
    ruling: Ruling
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


def rules_of(config: Config) -> Rules:
    """The rules that a configuration means."""
    gpus, workspace, transfers = config.gpus, config.workspace, config.transfers
    return Rules(
        lifecycle=policy_of(config),
        idle_stop_s=config.lifecycle.idle_stop_s,
        env=config.surroundings.env,
        keep_events_s=config.events.keep_s,
        tariff=tariff_of(config.billing),
        workspace_bytes=workspace.quota_bytes,
        measure_every_s=workspace.measure_every_s,
        min_free_bytes=config.store.min_free_bytes,
        min_free_inodes=config.store.min_free_inodes,
        transfers_at_once=transfers.at_once,
        cache_keep_s=transfers.cache_keep_s,
        look_every_s=gpus.poll_s,
        foreign=ForeignRule(memory_bytes=gpus.foreign_memory_bytes, ignored=frozenset(gpus.ignore_processes)),
        leftover=LeftoverRule(memory_bytes=gpus.leftover_memory_bytes, leased=gpus.lease_leftover),
        xids=XidRules(overrides={number: Action(rule) for number, rule in gpus.xid.items()}),
        shares=_shares(config),
        catalogue=Catalogue.of(config.images),
        datastores=tuple(config.datastores),
        git_schemes=transfers.git_schemes,
    )


class Ruling:
    """The configuration in force, and the rules that it means: swapped as one by a reload."""

    def __init__(self, config: Config, rules: Rules) -> None:
        self._config = config
        self._rules = rules

    def config(self) -> Config:
        """The configuration in force."""
        return self._config

    def rules(self) -> Rules:
        """The rules that hold now."""
        return self._rules

    def swap(self, config: Config, rules: Rules) -> None:
        """From now on these."""
        self._config, self._rules = config, rules


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rooms:
    """What stands between the ports and the services."""

    inventory: Inventory
    watch: GpuWatch
    meter: Meter
    verdicts: Verdicts
    health: Health
    transfers: Transfers
    machine: Machine
    reconciler: Reconciler


async def assemble(parts: Parts) -> Assembly:
    """Wire the parts; the GPUs are looked at once on the way."""
    keys = WorkQueue(parts.clock, on_turn=lambda key, lag_s: parts.telemetry.turned(kind_of(key), lag_s))
    ruling = Ruling(parts.config, replace(rules_of(parts.config), min_free_bytes=parts.min_free_bytes))
    inventory = _inventory(parts, ruling.rules)
    watch = GpuWatch(parts.gpus, inventory, parts.store, parts.clock, keys.wake, ruling.rules)
    await watch.stay_released()
    await watch.look()
    rooms = _rooms(parts, inventory, watch, keys, ruling.rules)
    services = _services(parts, rooms, ruling)
    return Assembly(
        services=services,
        engine=parts.engine,
        notices=Notices(parts.store, parts.routes, rooms.machine, services.reasons, parts.clock),
        leavers=Leavers(parts.store, parts.clock, parts.directory, rooms.reconciler.wake),
        reconciler=rooms.reconciler,
        inventory=inventory,
        summary=rooms.machine.summary,
        ruling=ruling,
        reload=lambda config: _reload(config, ruling, rooms.reconciler),
    )


def _rooms(parts: Parts, inventory: Inventory, watch: GpuWatch, keys: WorkQueue, rules: RulesNow) -> _Rooms:
    store, clock = parts.store, parts.clock
    meter = Meter(store, clock, rules)
    queue = Queue(store, inventory, clock, parts.quota, rules)
    health = Health(store, parts.engine, watch, clock)
    machine = Machine(store, inventory, queue, health, rules)
    ports = _ports(parts)
    transfers = Transfers(store, parts.movers, keys.wake, parts.telemetry, rules)
    crew = MoverCrew(store, parts.movers, parts.volumes, clock, transfers, rules)
    executor = Executor(ports, watch, rules, parts.instance, cdi=parts.gpus.cdi)
    verdicts = Verdicts()
    idle = IdleWatch(store, ports, parts.traffic, parts.processes, inventory, meter, verdicts, rules, keys.wake)
    spaces = WorkspaceWatch(store, parts.movers, clock, rules)
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
        rules,
        survey_every_s=parts.survey_every_s,
        on_turn=lambda: parts.on_turn(machine.summary()),
    )
    return _Rooms(
        inventory=inventory,
        watch=watch,
        meter=meter,
        verdicts=verdicts,
        health=health,
        transfers=transfers,
        machine=machine,
        reconciler=reconciler,
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


def _reload(config: Config, ruling: Ruling, reconciler: Reconciler) -> None:
    """Other rules hold; what follows from them is found by looking at everything."""
    ruling.swap(config, rules_of(config))
    reconciler.wake_all()


def _services(parts: Parts, rooms: _Rooms, ruling: Ruling) -> Services:
    store, clock, rules = parts.store, parts.clock, ruling.rules
    notebooks = _notebooks(parts, rooms, rules)
    tokens = Tokens(store, clock)
    gpus = GpuBoard(store, clock, parts.gpus, rooms.inventory, rooms.watch, rooms.reconciler.wake)
    return Services(
        notebooks=notebooks,
        machine=rooms.machine,
        loads=Loads(store, parts.processes, clock),
        gpus=gpus,
        reasons=Reasons(rooms.machine, rooms.inventory, rooms.verdicts, rooms.transfers, notebooks.allowance, rules),
        tokens=tokens,
        accounts=Accounts(store, clock, parts.directory, tokens),
        usage=Usage(store, rooms.meter),
        images=Images(
            store,
            clock,
            parts.images,
            parts.recipes,
            rules,
            require_room=lambda verb: notebooks.allowance.require_room(verb),
        ),
        datastores=Datastores(parts.movers, rules),
        archives=Archives(store, clock, notebooks, parts.files, parts.movers, rooms.transfers),
        syncs=Syncs(store, clock, notebooks, rooms.transfers, rooms.reconciler.wake),
        snapshots=Snapshots(store, notebooks, parts.movers),
        readings=Readings(store, clock, gpus, rooms.transfers, rooms.health, parts.version),
        telemetry=parts.telemetry,
        listing=Listing(store, parts.files),
        events=Events(store),
        logs=Logs(parts.engine, parts.files),
        commands=Commands(store, clock, parts.engine),
        clock=clock,
        quota=parts.quota,
        directory=parts.directory,
        url_of=parts.config.gateway.url_of,
        configured=ruling.config,
        instance=parts.instance,
        version=parts.version,
    )


def _notebooks(parts: Parts, rooms: _Rooms, rules: RulesNow) -> Notebooks:
    return Notebooks(
        parts.store,
        parts.clock,
        Starts(rooms.inventory, rules),
        rooms.inventory,
        parts.quota,
        rooms.reconciler.wake,
        meter=rooms.meter,
        rules=rules,
    )


def _inventory(parts: Parts, rules: RulesNow) -> Inventory:
    return Inventory(parts.gpus, parts.store, parts.processes, parts.host, rules, parts.account)


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
            groups=each.groups,
        )
        for each in config.flavors
    )
