# SPDX-License-Identifier: Apache-2.0
"""Those who carry data: how many are at work, how far they are, and what they are sent to do."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from notebookd.domain.entry import Entry
from notebookd.domain.ids import NotebookId
from notebookd.domain.observed import Known, Seen, Unknown
from notebookd.domain.run import Run
from notebookd.domain.syncing import (
    Clear,
    Errand,
    Interrupt,
    Launch,
    Progress,
    Report,
    Sync,
    SyncKind,
    SyncState,
    Transfer,
    ended,
)
from notebookd.errors import EngineError, EngineUnavailable, VolumeFault
from notebookd.ports.clock import Clock
from notebookd.ports.movers import Movers, Pull, Push, RestoreSnapshot, TakeSnapshot, Work
from notebookd.ports.store import Store
from notebookd.ports.volumes import Volumes

log = logging.getLogger(__name__)

_CACHE_EVERY = timedelta(hours=1)


class Porter:
    """Sees to the movers of all notebooks. ``on_free`` is told of notebooks whose transfers wait for a mover,
    ``on_moved`` of the bytes that one carried since it was looked at last, ``on_ended`` of what has ended and how."""

    def __init__(
        self, store: Store, movers: Movers, volumes: Volumes, clock: Clock, *, at_once: int, cache_keep_s: float
    ) -> None:
        self._store = store
        self._movers = movers
        self._volumes = volumes
        self.cache_keep_s = cache_keep_s
        self._swept_at: datetime | None = None
        self._clock = clock
        self.at_once = at_once
        self.on_free: Callable[[str], None] = lambda _: None
        self._at_work: dict[str, str | None] = {}
        """The transfers under way, each with the notebook on whose repository it works."""
        self._said: dict[str, Progress] = {}
        self._counted: dict[str, int] = {}
        self.on_moved: Callable[[SyncKind, int], None] = lambda _kind, _count_bytes: None
        self.on_ended: Callable[[SyncKind, SyncState], None] = lambda _kind, _state: None

    def adopt(self) -> list[NotebookId]:
        """Take up what an earlier life had begun; returns the notebooks that have transfers under way."""
        syncs = self._store.list_open_syncs()
        self._at_work = {
            each.id: sync.repository for sync in syncs for each in sync.transfers if each.state is SyncState.RUNNING
        }
        return [sync.notebook_id for sync in syncs]

    def list_syncs(self, run: Run) -> tuple[Sync, ...]:
        """Those that a plan for ``run`` goes by. Most runs have none and cost one look."""
        of_run = {each.id: each for each in self._store.list_run_syncs(run.notebook_id, run.id)}
        still_open = {each.id: each for each in self._store.list_open_syncs(run.notebook_id)}
        return tuple(sorted((of_run | still_open).values(), key=lambda each: (each.queued_at, each.id)))

    async def see(self, syncs: Sequence[Sync]) -> Mapping[str, Seen[Report | None]]:
        """What the movers of the transfers under way say."""
        seen: dict[str, Seen[Report | None]] = {}
        for sync in syncs:
            for transfer in sync.transfers:
                if transfer.state is SyncState.RUNNING:
                    seen[transfer.id] = await self._look(transfer.id)
                    self._count(sync.kind, transfer.id, self._said.get(transfer.id, transfer.progress))
        return seen

    async def _look(self, mover_id: str) -> Seen[Report | None]:
        try:
            report = await self._movers.look(mover_id)
        except EngineError as fault:
            return Unknown(fault.message)
        if report is not None:
            self._said[mover_id] = report.progress
        return Known(report)

    @property
    def busy(self) -> int:
        """How many movers are at work."""
        return len(self._at_work)

    @property
    def slots(self) -> int:
        """How many more movers may be put to work."""
        return max(0, self.at_once - len(self._at_work))

    @property
    def taken(self) -> frozenset[str]:
        """The notebooks on whose repositories of snapshots somebody is at work."""
        return frozenset(each for each in self._at_work.values() if each is not None)

    def note(self, syncs: Sequence[Sync]) -> None:
        """Take account of syncs as they shall be; called in the very turn of the loop in which :attr:`slots` and
        :attr:`taken` were read."""
        freed = False
        for sync, transfer in ((one, each) for one in syncs for each in one.transfers):
            if transfer.state is SyncState.RUNNING:
                self._at_work[transfer.id] = sync.repository
            elif transfer.id in self._at_work:
                del self._at_work[transfer.id]
                self._said.pop(transfer.id, None)
                self._count(sync.kind, transfer.id, transfer.progress)
                self._counted.pop(transfer.id, None)
                self.on_ended(sync.kind, transfer.state)
                freed = True
        if freed:
            self._wake_waiting()

    def _count(self, kind: SyncKind, transfer_id: str, told: Progress) -> None:
        """Tell what came since; a mover that begins anew says less than it did, and counts from there."""
        before = self._counted.get(transfer_id, 0)
        self._counted[transfer_id] = told.transferred_bytes
        if told.transferred_bytes > before:
            self.on_moved(kind, told.transferred_bytes - before)

    def _wake_waiting(self) -> None:
        for sync in self._store.list_open_syncs():
            if any(each.state is SyncState.QUEUED for each in sync.transfers):
                self.on_free(sync.notebook_id)

    def live(self, sync: Sync) -> Sync:
        """``sync`` with how far its movers said they are since it was put on record."""
        if sync.over:
            return sync
        transfers = tuple(replace(each, progress=self._said.get(each.id, each.progress)) for each in sync.transfers)
        return replace(sync, transfers=transfers)

    async def send(self, errand: Errand, entry: Entry) -> None:
        """Have it done. Raises EngineError; what cannot be begun for what it is about is on record as failed."""
        match errand:
            case Launch(sync, transfer):
                try:
                    await self._movers.launch(transfer.id, _work(sync, transfer), owner=entry.notebook.owner)
                except VolumeFault as fault:
                    message = fault.message + (f" ({fault.hint})" if fault.hint else "")
                    now = self._clock.now()
                    await self._note_on(sync.id, ended(transfer, SyncState.FAILED, fault.info_code, message, now))
                except EngineUnavailable:
                    raise
                except EngineError as fault:
                    await self._note_on(sync.id, replace(transfer, message=fault.message))
                    raise
            case Interrupt(transfer):
                await self._movers.interrupt(transfer.id)
            case Clear(transfer):
                await self._movers.clear(transfer.id)

    async def _note_on(self, sync_id: str, transfer: Transfer) -> None:
        """Put on record what came of sending a mover."""
        async with self._store.transaction() as tx:
            sync = self._store.find_sync(sync_id)
            if sync is None:
                return
            transfers = tuple(transfer if each.id == transfer.id else each for each in sync.transfers)
            await tx.put_sync(replace(sync, transfers=transfers))
        self.note([replace(sync, transfers=transfers)])

    async def sweep(self) -> None:
        """Remove movers that no transfer on record wants, and now and then shared copies that nobody used for long."""
        there = await self._movers.list_movers()  # first: a mover is on record before it is there
        wanted = {each.id for sync in self._store.list_open_syncs() for each in sync.transfers}
        for mover_id in there - wanted:
            log.warning("removing mover %s: nobody waits for it", mover_id)
            await self._movers.clear(mover_id)
        now = self._clock.now()
        if self._swept_at is None or now - self._swept_at >= _CACHE_EVERY:
            self._swept_at = now
            await self._sweep_cache(now)

    async def _sweep_cache(self, now: datetime) -> None:
        in_use = {
            (str(each.volume.source), each.version)
            for entry in self._store.list_unsettled()
            for each in entry.run.volumes
            if each.version is not None
        }
        unused_since = now - timedelta(seconds=self.cache_keep_s)
        for removed in await self._volumes.sweep_cache(in_use, unused_since=unused_since):
            log.info("removed the shared copy of %s", removed)


def _work(sync: Sync, transfer: Transfer) -> Work:
    if sync.kind is SyncKind.SNAPSHOT:
        return TakeSnapshot(notebook_id=sync.notebook_id)
    if sync.kind is SyncKind.RESTORE:
        origin, key = sync.origin.split(" ", 1)
        return RestoreSnapshot(notebook_id=sync.notebook_id, origin=NotebookId(origin), snapshot=key)
    if transfer.volume is None or transfer.volume_id is None:
        raise ValueError(f"transfer {transfer.id} of volumes has no volume")
    if sync.kind is SyncKind.PUSH:
        return Push(notebook_id=sync.notebook_id, volume_id=transfer.volume_id, volume=transfer.volume)
    reset = transfer.volume_id in sync.reset
    return Pull(notebook_id=sync.notebook_id, volume_id=transfer.volume_id, volume=transfer.volume, reset=reset)
