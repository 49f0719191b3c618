# SPDX-License-Identifier: Apache-2.0
"""What a caller may know of the machine: flavors and what is free of them, the queue, health."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import BinaryIO

from notebookd.domain.catalogue import Catalogue
from notebookd.domain.entry import Entry
from notebookd.domain.gpu import GpuUnit
from notebookd.domain.holding import Holder, OwnHold
from notebookd.domain.leasing import Wait, WaitReason
from notebookd.domain.observed import Known
from notebookd.domain.resources import Flavor
from notebookd.domain.rules import RulesNow
from notebookd.domain.run import NotebookState
from notebookd.machine.health import Health, State
from notebookd.machine.inventory import Inventory
from notebookd.machine.queue import Queue
from notebookd.ports.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueRow:
    """A waiting run, its place, why it waits, and the latest it can start as far as leases tell."""

    entry: Entry
    wait: Wait
    sentence: str
    latest_start_at: datetime | None


_WAITS_FOR: Mapping[WaitReason, str] = {
    WaitReason.GPUS: "enough free GPUs of its flavor",
    WaitReason.CPUS: "free CPUs and memory",
    WaitReason.QUOTA: "its owner's quota of GPUs held at once",
    WaitReason.TURN: "earlier requests of the same flavor",
    WaitReason.UNAVAILABLE: "the GPU driver",
}


_BEHIND = ", behind everybody else's: its owner's last starts held compute for long and never answered"


def drained_words(units: Sequence[GpuUnit], model: str | None) -> str:
    """What admins have said of the GPUs of a model that they have drained, for those who wait for one; empty where
    none is."""
    drained = [each for each in units if each.drained and each.model == model]
    reasons = "; ".join(dict.fromkeys(each.drain_reason for each in drained if each.drain_reason))
    count = f"{len(drained)} {'is' if len(drained) == 1 else 'are'} drained"
    return f" ({count}{f': {reasons}' if reasons else ''})" if drained else ""


def _models(waiting: Iterable[Entry]) -> set[str | None]:
    return {entry.run.resources.gpu_model for entry in waiting}


class Machine:
    """Reads of the machine as a whole."""

    def __init__(self, store: Store, inventory: Inventory, queue: Queue, health: Health, rules: RulesNow) -> None:
        self._store = store
        self._inventory = inventory
        self._queue = queue
        self._health = health
        self._rules = rules

    @property
    def catalogue(self) -> Catalogue:
        """What notebooks may be made of."""
        return self._rules().catalogue

    async def free_bytes(self) -> int:
        """What is left of the disk."""
        return (await self._store.disk_use()).free_bytes

    def copy_database(self) -> AbstractAsyncContextManager[BinaryIO]:
        """A consistent copy of what is on record, gone when the block is left."""
        return self._store.backup()

    async def health(self) -> Mapping[str, State]:
        """Every dependency with its state (ok, degraded, failed) and, where it is not ok, a sentence."""
        return await self._health.now()

    def flavors(self) -> list[tuple[Flavor, int]]:
        """Every flavor with how many units are free now."""
        taken = {lease.gpu_uuid for lease in self._store.list_leases()}
        held = [entry.run for entry in self._store.list_unsettled() if entry.run.holds]
        cpus = sum(run.resources.cpus for run in held if not run.resources.gpu)
        memory = sum(run.resources.memory_bytes for run in held if not run.resources.gpu)
        seen = self._inventory.seen
        rows: list[tuple[Flavor, int]] = []
        for flavor in self._inventory.flavors():
            if flavor.gpu:
                units = seen.value if isinstance(seen, Known) else ()
                mine = [unit for unit in units if unit.model == flavor.gpu_model]
                free = sum(1 for unit in mine if unit.leasable and unit.uuid not in taken)
            else:
                host = self._inventory.host
                free = max(
                    0, min((host.cpus - cpus) // flavor.cpus, (host.memory_bytes - memory) // flavor.memory_bytes)
                )
            rows.append((flavor, free))
        return rows

    def queue(self) -> Iterator[QueueRow]:
        """The waiting runs in order, as they stand when the first is asked for."""
        queue = self._queue.forecast()
        entries = {entry.run.id: entry for entry in queue.waiting}
        drained = {model: drained_words(self._inventory.units, model) for model in _models(queue.waiting)}
        for wait in queue.decision.waits:
            entry = entries[wait.run_id]
            behind = _BEHIND if entry.notebook.owner in queue.late else ""
            yield QueueRow(
                entry=entry,
                wait=wait,
                sentence=f"{_WAITS_FOR[wait.reason]}{behind}{drained[entry.run.resources.gpu_model]}",
                latest_start_at=queue.latest_starts.get(wait.run_id),
            )

    def own_hold(self, owner: str) -> OwnHold:
        """What an owner holds of GPUs, and how many may be held."""
        entries = [each for each in self._store.list_unsettled() if each.run.holds and each.run.resources.gpu]
        mine = [each for each in entries if each.notebook.owner == owner]
        return OwnHold(
            holders=tuple(
                Holder(
                    name=each.notebook.spec.name,
                    gpus=each.run.resources.gpus,
                    back_at=self._queue.back_at(each),
                    ending=each.run.outcome is not None,
                )
                for each in mine
            ),
            bound=self._queue.rule(owner).gpus,
        )

    def summary(self) -> str:
        """One line for people: what is running and what is leased."""
        counts = self._store.count_states()
        units = len(self._inventory.units)
        waiting = sum(1 for entry in self._store.list_unsettled() if entry.run.waiting)
        return (
            f"{counts.get(NotebookState.RUNNING, 0)} running, {waiting} waiting, "
            f"{len(self._store.list_leases())}/{units} GPUs leased"
        )
