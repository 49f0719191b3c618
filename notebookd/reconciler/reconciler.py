# SPDX-License-Identifier: Apache-2.0
"""Observe, plan, execute, until there is nothing left to do; then wait to be woken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import datetime, timedelta

from notebookd.domain.actions import PrepareFiles
from notebookd.domain.container import Container, ContainerStatus, container_name
from notebookd.domain.deadlines import deadline_of
from notebookd.domain.entry import Entry
from notebookd.domain.event import Event
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.observed import Known, Seen, Unknown
from notebookd.domain.plan import Plan, Sight, plan
from notebookd.domain.rules import RulesNow
from notebookd.domain.run import Run, RunState
from notebookd.domain.syncing import Errand, Sync
from notebookd.errors import EngineError, EngineUnavailable
from notebookd.machine.gpu_watch import GpuWatch
from notebookd.machine.health import Health
from notebookd.machine.transfers import Transfers
from notebookd.ports.board import RouteBoard
from notebookd.ports.engine import EVENTS_CONNECTED
from notebookd.ports.store import RESTORED, NotebookFilter, Store
from notebookd.ports.wake import ALLOCATION, GPUS, IDLE, SURVEY, WORKSPACES
from notebookd.reconciler.allocation import Allocator
from notebookd.reconciler.execute import Executor, Overtaken, Ports
from notebookd.reconciler.idle_watch import IdleWatch
from notebookd.reconciler.memory_watch import MemoryWatch
from notebookd.reconciler.movers import MoverCrew
from notebookd.reconciler.pace import COMMITS_AT_ONCE, Pace
from notebookd.reconciler.workqueue import WorkQueue
from notebookd.reconciler.workspace_watch import WorkspaceWatch
from notebookd.record.entries import Stale, commit, forget_events
from notebookd.record.meter import Meter

log = logging.getLogger(__name__)

ROUTE_AGAIN_S = 2.0
"""After a route could not be written. Until it is, nobody reaches the notebook."""
SURVEY_EVERY_S = 10.0
_KINDS = frozenset({ALLOCATION, SURVEY, GPUS, IDLE, WORKSPACES})
_EVENTS_RETRY_S = 1.0
_ROUTES_AT_ONCE = 200
_ANCHOR = "storage_marked"


class Reconciler:
    """Keeps containers, leases and states as they are wanted. :meth:`wake` is all that others need."""

    def __init__(
        self,
        store: Store,
        ports: Ports,
        executor: Executor,
        allocator: Allocator,
        watch: GpuWatch,
        idle: IdleWatch,
        meter: Meter,
        transfers: Transfers,
        crew: MoverCrew,
        rooms: WorkspaceWatch,
        memory: MemoryWatch,
        routes: RouteBoard,
        health: Health,
        queue: WorkQueue,
        rules: RulesNow,
        *,
        survey_every_s: float = SURVEY_EVERY_S,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._store = store
        self._ports = ports
        self._executor = executor
        self._allocator = allocator
        self._watch = watch
        self._idle = idle
        self._meter = meter
        self._transfers = transfers
        self._crew = crew
        self._health = health
        self._rooms = rooms
        self._memory = memory
        self._routes = routes
        self._rules = rules
        self._survey_every_s = survey_every_s
        self._on_turn = on_turn
        self._queue = queue
        self._pace = Pace()
        self._committing = asyncio.Semaphore(COMMITS_AT_ONCE)

    def wake(self, key: str) -> None:
        """Have a notebook (by id), ALLOCATION, SURVEY, GPUS or IDLE looked at."""
        self._queue.wake(key)

    @property
    def settled(self) -> bool:
        """Whether nothing is being worked on."""
        return not self._queue.busy

    async def run(self) -> None:
        """Adopt what is there, then serve until cancelled."""
        await self._meter.adopt()
        for notebook_id in self._transfers.adopt():
            self.wake(notebook_id)
        self.wake_all()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._meter.run(on_jump=self.wake_all), name="meter")
            tasks.create_task(self._keep_surveying(), name="survey")
            tasks.create_task(self._queue.run(self._work), name="work queue")
            tasks.create_task(self._adopt_routes(), name="routes")
            tasks.create_task(self._listen(), name="engine events")

    def wake_all(self) -> None:
        """Have everything looked at anew: at a start, when other rules hold, and after a clock jumped."""
        for entry in sorted(self._store.list_unsettled(), key=self._deadline):
            self.wake(entry.notebook.id)
        self.wake(GPUS)
        self.wake(IDLE)
        self.wake(WORKSPACES)
        self.wake(ALLOCATION)
        self.wake(SURVEY)

    async def _adopt_routes(self) -> None:
        """Have the routes say what is on record: a crash may have come before one was written, or withdrawn. In pages,
        between which others have their turn; whoever changes meanwhile has his route published by that."""
        page, more = 1, True
        while more:
            entries, total = self._store.list_entries(NotebookFilter(page=page, size=_ROUTES_AT_ONCE, sort="id"))
            for entry in entries:
                if not self._routes.publish(entry.notebook, entry.run):
                    self.wake(entry.notebook.id)
            more = page * _ROUTES_AT_ONCE < total
            page += 1
            await self._ports.clock.sleep(0)
        for notebook_id in self._routes.list_published():
            if self._store.find_entry(notebook_id) is None and not self._routes.withdraw(notebook_id):
                self.wake(notebook_id)

    def _deadline(self, entry: Entry) -> tuple[bool, datetime]:
        """What orders overdue deadlines: theirs first, by their times; then what has none, by its age."""
        deadline = deadline_of(entry.notebook, entry.run, self._rules().lifecycle)
        return (False, deadline.at) if deadline is not None else (True, entry.run.state_since)

    async def _work(self, key: str, disturbed: asyncio.Event) -> datetime | None:
        if key == ALLOCATION:
            if self._store.find_meta(RESTORED):
                return None  # containers that are not on record may stand on GPUs: the survey ends them first
            for notebook_id in await self._allocator.allocate():
                self.wake(notebook_id)
            if self._watch.dozing:
                self.wake(GPUS)
            return None
        if key == SURVEY:
            await self._survey()
            return None
        if key == GPUS:
            return await self._watch.turn()
        if key == IDLE:
            return await self._idle.turn()
        if key == WORKSPACES:
            return await self._rooms.turn()
        try:
            return await self._reconcile(NotebookId(key), disturbed)
        except Stale:
            disturbed.set()
            return None

    async def _reconcile(self, notebook_id: NotebookId, disturbed: asyncio.Event) -> datetime | None:
        while True:
            await self._pace.turn()
            disturbed.clear()  # before the first look: whatever comes later is looked at again
            entry = self._store.find_entry(notebook_id)
            if entry is None:
                return None if self._routes.withdraw(notebook_id) else self._route_again_at()
            published = self._routes.publish(entry.notebook, entry.run)
            sight = replace(await self._observe(entry.run), slots=self._transfers.slots, taken=self._transfers.taken)
            planned = plan(entry.notebook, entry.run, sight, self._rules().lifecycle, self._ports.clock.now())
            self._transfers.note(planned.syncs)
            if planned.run == entry.run and not planned.actions and not planned.syncs:
                again_at = self._again_at(planned, sight)
                return again_at if published else min(again_at or self._route_again_at(), self._route_again_at())
            entry = await self._commit(entry, planned.run, again=planned.again, syncs=planned.syncs)
            entry = await self._carry_out(planned, entry, disturbed)
            if planned.forget:
                await self._strike_off(entry)

    def _route_again_at(self) -> datetime:
        return self._ports.clock.now() + timedelta(seconds=ROUTE_AGAIN_S)

    def _again_at(self, planned: Plan, sight: Sight) -> datetime | None:
        if isinstance(sight.container, Unknown):
            raise EngineUnavailable(sight.container.reason)
        return planned.wake_at

    async def _carry_out(self, planned: Plan, entry: Entry, disturbed: asyncio.Event) -> Entry:
        for action in planned.actions:
            if isinstance(action, Errand):
                await self._crew.send(action, entry)
                continue
            try:
                run = await self._executor.execute(action, entry, disturbed)
            except Overtaken:
                break
            failed = run.outcome is not None and entry.run.outcome is None
            if isinstance(action, PrepareFiles) and not failed:  # on record before any container can write there
                entry = await self._workspace_made(entry)
            entry = await self._commit(entry, run)
            if failed:
                break
        return entry

    async def _workspace_made(self, entry: Entry) -> Entry:
        if entry.notebook.workspace_made:
            return entry
        now = self._ports.clock.now()
        async with self._store.transaction() as tx:
            current = self._store.find_entry(entry.notebook.id)
            if current is None:
                raise Stale
            notebook = await tx.put_notebook(replace(current.notebook, workspace_made=True, updated_at=now))
        return replace(entry, notebook=notebook)

    async def _commit(self, entry: Entry, run: Run, *, again: bool = False, syncs: Sequence[Sync] = ()) -> Entry:
        if run == entry.run and not syncs:
            return entry
        async with self._committing:
            now = self._ports.clock.now()
            stored = await commit(self._store, entry, run, now, meter=self._meter, again=again, syncs=syncs)
        self._routes.publish(stored.notebook, stored.run)
        if stored.run.waiting or (entry.run.holds and not stored.run.holds):
            self.wake(ALLOCATION)
        if stored.run.state is RunState.RUNNING and entry.run.state is not RunState.RUNNING:
            self.wake(IDLE)
        return stored

    async def _strike_off(self, entry: Entry) -> None:
        now = self._ports.clock.now()
        async with self._store.transaction() as tx:
            await tx.strike_off(entry.notebook.id, now)
            await tx.append(
                Event(
                    type="notebook.deleted",
                    at=now,
                    notebook_id=entry.notebook.id,
                    owner=entry.notebook.owner,
                    before="DELETING",
                )
            )

    async def _observe(self, run: Run) -> Sight:
        syncs = self._transfers.list_syncs(run)
        sight = Sight(
            container=await self._see(run),
            boot_id=self._ports.clock.boot_id(),
            syncs=syncs,
            movers=await self._transfers.see(syncs),
        )
        return replace(sight, gpus=await self._watch.held_by(run)) if run.gpus and run.holds else sight

    async def _see(self, run: Run) -> Seen[Container | None]:
        if run.launched_at is None:
            return Known(None)
        try:
            container = await self._ports.engine.find(container_name(run))
            if container is None and await self._lost_sight(run):
                return Unknown("the engine's storage is not the one that held the container, and its process lives")
        except EngineError as fault:
            return Unknown(fault.message)
        return Known(container)

    async def _lost_sight(self, run: Run) -> bool:
        """Whether a container is absent only because the engine stands on another storage than the one we know. Once
        the recorded process is gone too there is nothing left to lose: the new storage becomes the known one."""
        engine = self._ports.engine
        if run.container_pid is None or (await engine.info()).storage_known:
            return False
        if run.boot_id == self._ports.clock.boot_id() and await engine.lives(run.container_pid):
            return True
        log.warning("the engine's storage is a new one; the container of run %s is gone with the old one", run.id)
        await engine.mark_storage()
        return False

    async def _keep_surveying(self) -> None:
        """Ask for a survey now and then, by a clock that nobody sets: the watchdog is fed by it."""
        while True:
            await self._ports.clock.sleep(self._survey_every_s)
            self.wake(SURVEY)

    async def _survey(self) -> None:
        """Look at everything at once: wake what disagrees, remove what belongs to nobody."""
        entries = {entry.run.id: entry for entry in self._store.list_unsettled()}
        self._on_turn()
        if self._idle.dozing:
            self.wake(IDLE)
        if self._rooms.dozing:
            self.wake(WORKSPACES)
        await self._memory.look()
        await forget_events(self._store, self._ports.clock.now() - timedelta(seconds=self._rules().keep_events_s))
        try:
            await self._mark_storage()
            looked = self._meter.read()
            containers = await self._ports.engine.list_containers()
        except EngineError as fault:
            self._health.surveyed(answered=False)
            log.warning("cannot survey the containers: %s", fault)
            return
        self._health.surveyed(answered=True)
        present = {RunId(each.labels.get("io.notebookd.run", "")): each for each in containers if not _is_mover(each)}
        running = (run_id for run_id, each in present.items() if each.status is ContainerStatus.RUNNING)
        self._meter.saw(running, looked)
        for run_id, entry in entries.items():
            if _disagrees(entry.run, present.get(run_id)):
                self.wake(entry.notebook.id)
        for run_id, container in present.items():
            if run_id not in entries:
                await self._clear_orphan(run_id, container)
        await self._sweep_movers()
        await self._settle_restore()

    async def _sweep_movers(self) -> None:
        try:
            await self._crew.sweep()
        except EngineError as fault:
            log.warning("cannot remove the movers that nobody waits for: %s", fault)

    async def _settle_restore(self) -> None:
        """After a restore, once nothing stands that is not on record: put the restore on record, and grant again."""
        restored_at = self._store.find_meta(RESTORED)
        if not restored_at:
            return
        now = self._ports.clock.now()
        async with self._store.transaction() as tx:
            await tx.put_meta(RESTORED, "")
            await tx.append(Event(type="store.restored", at=now, data={"restored_at": restored_at}))
        self.wake(ALLOCATION)

    async def _mark_storage(self) -> None:
        """Mark the storage at first sight; later a storage without the mark is one that we do not know."""
        if self._store.find_meta(_ANCHOR) is None:
            await self._ports.engine.mark_storage()
            async with self._store.transaction() as tx:
                await tx.put_meta(_ANCHOR, self._ports.clock.now().isoformat())

    async def _clear_orphan(self, run_id: RunId, container: Container) -> None:
        """A container of a run that ended, or of none: its notebook is looked at, or it is removed."""
        owner = self._store.find_run_owner(run_id)
        entry = self._store.find_entry(owner) if owner is not None else None
        if entry is not None and entry.run.id == run_id:
            self.wake(entry.notebook.id)
            return
        log.warning("removing container %s: no notebook runs in it", container.name)
        await self._ports.engine.stop(container.name, grace_s=self._rules().lifecycle.stop_grace_s)
        await self._ports.engine.remove(container.name)

    async def _listen(self) -> None:
        """Wake whoever an engine event is about; when the stream breaks, look at everything and listen again."""
        while True:
            try:
                async with aclosing(self._ports.engine.events()) as events:  # type: ignore[type-var]
                    async for event in events:
                        notebook_id = event.labels.get("io.notebookd.notebook")
                        if event.kind == EVENTS_CONNECTED:
                            self.wake(SURVEY)  # what happened before is seen by looking, what happens now is told
                        elif notebook_id:
                            self.wake(notebook_id)
            except EngineError as fault:
                log.warning("engine events: %s", fault)
            await self._ports.clock.sleep(_EVENTS_RETRY_S)


def kind_of(key: str) -> str:
    """What a turn was about, in one of few words."""
    return key if key in _KINDS else "notebook"


def _is_mover(container: Container) -> bool:
    return "io.notebookd.sync" in container.labels


def _disagrees(run: Run, container: Container | None) -> bool:
    """Whether a listing shows something else than a run that goes on undisturbed."""
    if run.launched_at is None or run.state is not RunState.RUNNING:
        return not run.waiting
    return container is None or container.pid != run.container_pid or run.container_pid is None
