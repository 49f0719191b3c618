# SPDX-License-Identifier: Apache-2.0
"""The board of GPUs, and an admin's hand on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from notebookd.domain.actor import Actor
from notebookd.domain.entry import Entry
from notebookd.domain.event import Event
from notebookd.domain.gpu import UNMARKED, GpuMarks, GpuUnit, Lease, Quarantine, gpu_state
from notebookd.domain.observed import Unknown
from notebookd.errors import Conflict, Forbidden, GpusUnavailable, InvalidRequest, NotFound
from notebookd.machine.gpu_watch import RELEASED, GpuWatch
from notebookd.machine.inventory import Inventory
from notebookd.neutral import is_one_line
from notebookd.ports.clock import Clock
from notebookd.ports.gpus import Gpus, GpuSample
from notebookd.ports.store import Store
from notebookd.ports.wake import ALLOCATION, GPUS

LONGEST_REASON = 200
"""Characters of what is said of a GPU that is drained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BoardRow:
    """One GPU: what it is, what it does, who holds it. ``lease`` and ``holder`` come together or not at all; ``sample``
    is None while the driver cannot be asked."""

    unit: GpuUnit
    state: str
    sample: GpuSample | None
    lease: Lease | None
    holder: Entry | None
    quarantine: Quarantine | None

    def may_be_named_to(self, actor: Actor) -> bool:
        """Whether the actor may know the name of the notebook that holds it."""
        if self.holder is None:
            return False
        return actor.may_see(self.holder.notebook.owner, self.holder.notebook.spec.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """Every GPU by index, and why the driver cannot be asked where it cannot."""

    rows: tuple[BoardRow, ...]
    trouble: str | None


class GpuBoard:
    """Reads of the GPUs, and what an admin may do to them. ``wake`` is the reconciler's."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        gpus: Gpus,
        inventory: Inventory,
        watch: GpuWatch,
        wake: Callable[[str], None],
    ) -> None:
        self._store = store
        self._clock = clock
        self._gpus = gpus
        self._inventory = inventory
        self._watch = watch
        self._wake = wake

    async def board(self) -> Board:
        """The GPUs as a look now shows them. Whoever looks at the board makes for frequent looks for a while."""
        self._watch.attend()
        if self._watch.dozing:
            self._wake(GPUS)
        return await self.glance()

    async def glance(self) -> Board:
        """The same for who comes by again and again by himself, and needs no looks in between."""
        seen = await self._watch.look(for_people=True)
        leases = {lease.gpu_uuid: lease for lease in self._store.list_leases()}
        holders = {entry.run.id: entry for entry in self._store.list_unsettled()} if leases else {}
        marks = self._store.list_gpu_marks()
        unseen = isinstance(seen, Unknown)
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
                    quarantine=marks.get(unit.uuid, UNMARKED).quarantine,
                )
            )
        return Board(rows=tuple(rows), trouble=seen.reason if isinstance(seen, Unknown) else None)

    async def drain(self, actor: Actor, gpu_uuid: str, *, drained: bool, reason: str = "") -> None:
        """Take a GPU out of leasing, or back in; an admin's. The ``reason`` is told to everybody."""
        verb = "drain" if drained else "undrain"
        self._require_admin(actor, f"{verb} GPU {gpu_uuid}")
        self._find(gpu_uuid, verb)
        if len(reason) > LONGEST_REASON or not is_one_line(reason):
            words = f"the reason must be one line of at most {LONGEST_REASON} characters"
            raise InvalidRequest(f"cannot {verb} GPU {gpu_uuid}: {words}")
        await self._mark(
            actor,
            gpu_uuid,
            f"gpu.{verb}ed",
            lambda marks: replace(marks, drained=drained, drain_reason=reason),
            {"reason": reason} if reason else {},
        )

    async def clear(self, actor: Actor, gpu_uuid: str) -> None:
        """Take a GPU out of quarantine, its memory errors so far forgiven; an admin's. Refused while the driver still
        says that it is lost or must be reset."""
        self._require_admin(actor, f"clear GPU {gpu_uuid}")
        seen = await self._watch.look()
        self._find(gpu_uuid, "clear")
        if isinstance(seen, Unknown):
            raise GpusUnavailable(f"cannot clear GPU {gpu_uuid}: {seen.reason}")
        sample = self._inventory.samples.get(gpu_uuid)
        if sample is None or sample.health.fault in {"lost", "reset-required", "mig"}:
            reason = sample.health.reason if sample else "it is not sampled"
            raise Conflict(f"cannot clear GPU {gpu_uuid}: {reason}", hint="reset it, or reboot the host")
        forgiven = sample.health.ecc_errors or 0
        await self._mark(
            actor, gpu_uuid, "gpu.cleared", lambda marks: replace(marks, quarantine=None, forgiven_ecc=forgiven)
        )

    async def release(self, actor: Actor) -> None:
        """Let go of the driver, so that it can be reset or upgraded; an admin's. Nothing is leased until it is acquired
        or the host is booted anew, whatever becomes of notebookd meanwhile."""
        self._require_admin(actor, "release the GPU driver")
        await self._remember_release(self._clock.boot_id())  # first: killed after it, notebookd takes it no more
        await self._gpus.release()
        await self._told(actor, "gpus.released")

    async def acquire(self, actor: Actor) -> None:
        """Take the driver again; an admin's."""
        self._require_admin(actor, "acquire the GPU driver")
        await self._gpus.acquire()
        await self._remember_release("")
        await self._told(actor, "gpus.acquired")

    def _require_admin(self, actor: Actor, what: str) -> None:
        if not actor.admin:
            raise Forbidden(f"cannot {what}: only admins may")

    def _find(self, gpu_uuid: str, verb: str) -> None:
        if all(unit.uuid != gpu_uuid for unit in self._inventory.units):
            raise NotFound(f"cannot {verb} GPU {gpu_uuid}: there is none of that uuid")

    async def _mark(
        self,
        actor: Actor,
        gpu_uuid: str,
        event: str,
        change: Callable[[GpuMarks], GpuMarks],
        more: Mapping[str, str] | None = None,
    ) -> None:
        async with self._store.transaction() as tx:
            marks = self._store.list_gpu_marks().get(gpu_uuid, UNMARKED)
            if change(marks) == marks:
                return
            await tx.put_gpu_marks(gpu_uuid, change(marks))
            await tx.append(
                Event(type=event, at=self._clock.now(), actor=actor.name, data={"gpu": gpu_uuid, **(more or {})})
            )
        self._wake(GPUS)
        self._wake(ALLOCATION)

    async def _remember_release(self, boot_id: str) -> None:
        async with self._store.transaction() as tx:
            await tx.put_meta(RELEASED, boot_id)

    async def _told(self, actor: Actor, event: str) -> None:
        async with self._store.transaction() as tx:
            await tx.append(Event(type=event, at=self._clock.now(), actor=actor.name))
        self._wake(GPUS)
        self._wake(ALLOCATION)
