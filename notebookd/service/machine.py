# SPDX-License-Identifier: Apache-2.0
"""What a caller may know of the machine: flavors and what is free of them, the board, the queue, health, why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from notebookd.domain.actor import Actor
from notebookd.domain.event import Event
from notebookd.domain.gpu import GpuUnit, Lease, gpu_state
from notebookd.domain.leasing import Wait, WaitReason
from notebookd.domain.observed import Unknown
from notebookd.domain.resources import Flavor
from notebookd.domain.run import NotebookState
from notebookd.errors import EngineUnavailable, Forbidden, NotFound, StoreUnavailable
from notebookd.ports.clock import Clock
from notebookd.ports.engine import Engine
from notebookd.ports.gpus import GpuSample
from notebookd.ports.store import Entry, Store
from notebookd.reconciler.allocation import Allocator
from notebookd.reconciler.inventory import Inventory
from notebookd.service.notebooks import entry_state


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRow:
    """One GPU: what it is, what it does, who holds it. ``lease`` and ``holder`` come together or not at all."""

    unit: GpuUnit
    state: str
    sample: GpuSample | None
    lease: Lease | None
    holder: Entry | None


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """A waiting run, its place, why it waits, and the latest it can start as far as leases tell."""

    entry: Entry
    wait: Wait
    sentence: str
    latest_start_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadlineRow:
    """Something that will happen by itself."""

    reason: str
    at: datetime
    why: str
    moved_by: str | None = None


_WAITS_FOR: Mapping[WaitReason, str] = {
    WaitReason.GPUS: "enough free GPUs of its flavor",
    WaitReason.CPUS: "free CPUs and memory",
    WaitReason.QUOTA: "its owner's quota of GPUs held at once",
    WaitReason.TURN: "its turn behind earlier requests of the same flavor",
    WaitReason.UNAVAILABLE: "the GPU driver",
}


class Machine:
    """Reads of the machine as a whole, and an admin's hand on its GPUs."""

    def __init__(self, store: Store, clock: Clock, engine: Engine, inventory: Inventory, allocator: Allocator) -> None:
        self._store = store
        self._clock = clock
        self._engine = engine
        self._inventory = inventory
        self._allocator = allocator

    def flavors(self) -> list[tuple[Flavor, int]]:
        """Every flavor with how many units are free now."""
        taken = {lease.gpu_uuid for lease in self._store.list_leases()}
        held = [entry.run for entry in self._store.list_unsettled() if entry.run.holds]
        cpus = sum(run.resources.cpus for run in held if not run.resources.gpu)
        rows: list[tuple[Flavor, int]] = []
        for flavor in self._inventory.flavors():
            if flavor.gpu:
                mine = [unit for unit in self._inventory.units if unit.model == flavor.gpu_model]
                free = sum(1 for unit in mine if unit.leasable and unit.uuid not in taken)
            else:
                free = max(0, self._inventory.host.cpus - cpus) // flavor.cpus
            rows.append((flavor, free))
        return rows

    async def board(self) -> list[BoardRow]:
        """Every GPU of the machine, by index."""
        await self._inventory.look()
        leases = {lease.gpu_uuid: lease for lease in self._store.list_leases()}
        holders = {entry.run.id: entry for entry in self._store.list_unsettled()}
        unseen = isinstance(self._inventory.seen, Unknown)
        rows: list[BoardRow] = []
        for unit in sorted(self._inventory.units, key=lambda unit: unit.index):
            lease = leases.get(unit.uuid)
            holder = holders.get(lease.run_id) if lease else None
            rows.append(
                BoardRow(
                    unit=unit,
                    state=str(gpu_state(unit, leased=lease is not None)),
                    sample=None if unseen else self._inventory.samples.get(unit.uuid),
                    lease=lease if holder else None,
                    holder=holder,
                )
            )
        return rows

    async def drain(self, actor: Actor, gpu_uuid: str, *, drained: bool) -> None:
        """Take a GPU out of leasing, or back in; an admin's."""
        verb = "drain" if drained else "undrain"
        if not actor.admin:
            raise Forbidden(f"cannot {verb} GPU {gpu_uuid}: that is for admins")
        if all(unit.uuid != gpu_uuid for unit in self._inventory.units):
            raise NotFound(f"cannot {verb} GPU {gpu_uuid}: there is none of that uuid")
        now = self._clock.now()
        async with self._store.transaction() as tx:
            await tx.set_drained(gpu_uuid, drained=drained, at=now)
            await tx.append(Event(type=f"gpu.{verb}ed", at=now, actor=actor.name, data={"gpu": gpu_uuid}))

    def queue(self) -> list[QueueRow]:
        """The waiting runs in order."""
        queue = self._allocator.queue()
        entries = {entry.run.id: entry for entry in queue.waiting}
        ends = sorted(
            entry.run.timeout_at for entry in self._store.list_unsettled() if entry.run.holds and entry.run.timeout_at
        )
        rows: list[QueueRow] = []
        for wait in queue.decision.waits:
            entry = entries[wait.run_id]
            needed = wait.position * max(1, entry.run.resources.units)
            latest = ends[needed - 1] if len(ends) >= needed else None
            rows.append(QueueRow(entry=entry, wait=wait, sentence=_WAITS_FOR[wait.reason], latest_start_at=latest))
        return rows

    def deadlines(self, entry: Entry) -> list[DeadlineRow]:
        """What will happen to a notebook by itself."""
        if entry_state(entry) is NotebookState.RUNNING and entry.run.timeout_at is not None:
            after = "restarted as it is" if entry.notebook.spec.timeout_auto_restart else "stopped"
            return [
                DeadlineRow(
                    reason="timeout",
                    at=entry.run.timeout_at,
                    why=f"after the longest running time it is {after}",
                    moved_by="notebookctl restart",
                )
            ]
        return []

    def why(self, entry: Entry) -> list[str]:
        """Sentences saying why a notebook is in its state."""
        run, state = entry.run, entry_state(entry)
        if run.waiting:
            row = next((row for row in self.queue() if row.entry.run.id == run.id), None)
            if row is not None:
                return [f"It waits for {row.sentence}, at position {row.wait.position}."]
        match state:
            case NotebookState.STARTING:
                return ["It has its compute; its container boots and has yet to answer."]
            case NotebookState.RUNNING:
                return ["Its editor answers."]
            case NotebookState.RESTARTING:
                return ["Its container is being restarted as it is."]
        sentences = [f"It ended: {run.outcome.message} ({run.outcome.code})."] if run.outcome else []
        if run.exit_code is not None:
            sentences.append(f"Its editor exited with status {run.exit_code}.")
        return sentences

    async def health(self) -> dict[str, tuple[str, str | None]]:
        """Every dependency with its state (ok, degraded, failed) and, where it is not ok, a sentence."""
        found: dict[str, tuple[str, str | None]] = {"store": self._store_health()}
        found["engine"] = await self._engine_health()
        await self._inventory.look()
        seen = self._inventory.seen
        found["gpus"] = ("failed", seen.reason) if isinstance(seen, Unknown) else ("ok", None)
        return found

    def _store_health(self) -> tuple[str, str | None]:
        try:
            self._store.last_event_id()
        except StoreUnavailable as fault:
            return "failed", fault.message
        return "ok", None

    async def _engine_health(self) -> tuple[str, str | None]:
        try:
            info = await self._engine.info()
        except EngineUnavailable as fault:
            return "failed", fault.message
        if not info.storage_known:
            return "degraded", "the engine's storage bears no mark of this instance"
        if info.missing_controllers:
            missing = ", ".join(sorted(info.missing_controllers))
            return "degraded", f"the engine lacks cgroup controllers ({missing}): those limits are not set"
        return "ok", None

    def summary(self) -> str:
        """One line for people: what is running and what is leased."""
        counts = self._store.count_states()
        units = len(self._inventory.units)
        waiting = sum(1 for entry in self._store.list_unsettled() if entry.run.waiting)
        return (
            f"{counts.get(NotebookState.RUNNING, 0)} running, {waiting} waiting, "
            f"{len(self._store.list_leases())}/{units} GPUs leased"
        )
