# SPDX-License-Identifier: Apache-2.0
"""Sending those who carry data, and clearing up after them."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime, timedelta

from notebookd.domain.entry import Entry
from notebookd.domain.ids import NotebookId
from notebookd.domain.rules import RulesNow
from notebookd.domain.syncing import Clear, Errand, Interrupt, Launch, Sync, SyncKind, SyncState, Transfer, ended
from notebookd.errors import EngineError, EngineUnavailable, VolumeFault
from notebookd.machine.transfers import Transfers
from notebookd.ports.clock import Clock
from notebookd.ports.movers import Movers, Pull, Push, RestoreSnapshot, TakeSnapshot, Work
from notebookd.ports.store import Store
from notebookd.ports.volumes import Volumes

log = logging.getLogger(__name__)

_CACHE_EVERY = timedelta(hours=1)


class MoverCrew:
    """Sees to the movers of all notebooks."""

    def __init__(
        self,
        store: Store,
        movers: Movers,
        volumes: Volumes,
        clock: Clock,
        transfers: Transfers,
        rules: RulesNow,
    ) -> None:
        self._store = store
        self._movers = movers
        self._volumes = volumes
        self._clock = clock
        self._transfers = transfers
        self._rules = rules
        self._swept_at: datetime | None = None

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
        self._transfers.note([replace(sync, transfers=transfers)])

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
        unused_since = now - timedelta(seconds=self._rules().cache_keep_s)
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
