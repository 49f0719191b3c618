# SPDX-License-Identifier: Apache-2.0
"""Those who carry data: how many are at work, and how far they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from notebookd.domain.ids import NotebookId
from notebookd.domain.observed import Known, Seen, Unknown
from notebookd.domain.rules import RulesNow
from notebookd.domain.run import Run
from notebookd.domain.syncing import (
    Progress,
    Report,
    Sync,
    SyncKind,
    SyncState,
)
from notebookd.errors import EngineError
from notebookd.ports.movers import Movers
from notebookd.ports.store import Reader
from notebookd.ports.telemetry import Telemetry
from notebookd.ports.wake import Wake

_INWARDS = frozenset({SyncKind.PULL, SyncKind.RESTORE})


class Transfers:
    """The transfers of all notebooks. Notebooks whose transfers wait for a mover are woken when one is free; what
    movers carried, and what has ended and how, is counted."""

    def __init__(self, store: Reader, movers: Movers, wake: Wake, telemetry: Telemetry, rules: RulesNow) -> None:
        self._store = store
        self._movers = movers
        self._wake = wake
        self._telemetry = telemetry
        self._rules = rules
        self._at_work: dict[str, str | None] = {}
        """The transfers under way, each with the notebook on whose repository it works."""
        self._said: dict[str, Progress] = {}
        self._counted: dict[str, int] = {}

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
    def at_once(self) -> int:
        """How many movers may be at work."""
        return self._rules().transfers_at_once

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
                self._telemetry.transferred(str(sync.kind), str(transfer.state))
                freed = True
        if freed:
            self._wake_waiting()

    def _count(self, kind: SyncKind, transfer_id: str, told: Progress) -> None:
        """Tell what came since; a mover that begins anew says less than it did, and counts from there."""
        before = self._counted.get(transfer_id, 0)
        self._counted[transfer_id] = told.transferred_bytes
        if told.transferred_bytes > before:
            self._telemetry.moved("in" if kind in _INWARDS else "out", told.transferred_bytes - before)

    def _wake_waiting(self) -> None:
        for sync in self._store.list_open_syncs():
            if any(each.state is SyncState.QUEUED for each in sync.transfers):
                self._wake(sync.notebook_id)

    def live(self, sync: Sync) -> Sync:
        """``sync`` with how far its movers said they are since it was put on record."""
        if sync.over:
            return sync
        transfers = tuple(replace(each, progress=self._said.get(each.id, each.progress)) for each in sync.transfers)
        return replace(sync, transfers=transfers)
