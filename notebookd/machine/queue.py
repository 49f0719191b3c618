# SPDX-License-Identifier: Apache-2.0
"""The queue for compute as it stands: who waits, in which order, for what, and until when at the latest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from notebookd.domain.entry import Entry
from notebookd.domain.forecast import Hold, latest_starts
from notebookd.domain.gpu import GpuUnit, Lease
from notebookd.domain.ids import RunId
from notebookd.domain.leasing import Claim, Decision, LeasePolicy, lease
from notebookd.domain.observed import Known
from notebookd.domain.quota import QuotaBook, QuotaRule
from notebookd.domain.rules import RulesNow
from notebookd.domain.run import FINAL, RunState
from notebookd.errors import DirectoryUnavailable
from notebookd.machine.inventory import Inventory
from notebookd.ports.clock import Clock
from notebookd.ports.store import Reader
from notebookd.record.late_starts import is_late

_ENDING = FINAL | {RunState.INTERRUPTING, RunState.FINALIZING}

_UNTIL_KNOWN = QuotaRule(gpus=0)
"""The rule of whose groups cannot be looked up: what they wait for on GPUs waits on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStanding:
    """How the queue stands: entries in order, and what the lease function says of them."""

    waiting: tuple[Entry, ...]
    claims: tuple[Claim, ...]
    """Theirs, in the same order."""
    decision: Decision
    latest_starts: Mapping[RunId, datetime] = field(default_factory=dict)
    late: frozenset[str] = frozenset()
    """Owners whose starts wait behind all others'."""


class Queue:
    """Reads of the queue; nothing is changed by them."""

    def __init__(self, store: Reader, inventory: Inventory, clock: Clock, quota: QuotaBook, rules: RulesNow) -> None:
        self._rules = rules
        self._store = store
        self._inventory = inventory
        self._clock = clock
        self._quota = quota

    def forecast(self) -> QueueStanding:
        """The queue as it would be served now, and when each is served at the latest."""
        unsettled, leases = self._store.list_unsettled(), self._store.list_leases()
        queue = self._decide(unsettled, leases)
        starts = latest_starts(
            queue.claims,
            self._units(),
            leases,
            [Hold(claim=_claim(entry), until=self.back_at(entry)) for entry in unsettled if entry.run.holds],
            self._lease_policy(queue.waiting),
            keeps_for={entry.run.id: self._keeps_for(entry) for entry in queue.waiting},
        )
        return replace(queue, latest_starts=starts)

    def _keeps_for(self, entry: Entry) -> timedelta | None:
        if entry.notebook.spec.timeout_auto_restart:
            return None
        policy = self._rules().lifecycle
        return timedelta(seconds=policy.start_timeout_s + policy.max_running_s + policy.stop_grace_s)

    def back_at(self, entry: Entry) -> datetime | None:
        """When the compute of a run that holds some is back at the latest."""
        run, policy = entry.run, self._rules().lifecycle
        if run.state in _ENDING:
            return run.state_since + timedelta(seconds=policy.stop_grace_s)
        keeps = self._keeps_for(entry)
        if keeps is None or run.granted_at is None:
            return None
        return run.timeout_at + timedelta(seconds=policy.stop_grace_s) if run.timeout_at else run.granted_at + keeps

    def decide(self) -> QueueStanding:
        """The queue as it is served now: without when the others are."""
        return self._decide(self._store.list_unsettled(), self._store.list_leases())

    def _decide(self, unsettled: list[Entry], leases: list[Lease]) -> QueueStanding:
        asking = [entry for entry in unsettled if entry.run.waiting]
        now = self._clock.now()
        late = frozenset(
            owner for owner in {each.notebook.owner for each in asking} if is_late(self._store, owner, now)
        )
        waiting = tuple(sorted(asking, key=lambda entry: entry.notebook.owner in late))
        held = [_claim(entry) for entry in unsettled if entry.run.holds]
        claims = tuple(_claim(entry) for entry in waiting)
        decision = lease(claims, self._units(), leases, held, self._lease_policy(waiting))
        return QueueStanding(waiting=waiting, claims=claims, decision=decision, late=late)

    def _units(self) -> tuple[GpuUnit, ...] | None:
        seen = self._inventory.seen
        return seen.value if isinstance(seen, Known) else None

    def _lease_policy(self, waiting: tuple[Entry, ...]) -> LeasePolicy:
        owners = {entry.notebook.owner for entry in waiting}
        return LeasePolicy(host=self._inventory.host, quotas={owner: self.rule(owner) for owner in owners})

    def rule(self, owner: str) -> QuotaRule:
        """What binds an owner who waits for GPUs."""
        try:
            return self._quota(owner)
        except DirectoryUnavailable:
            return _UNTIL_KNOWN


def _claim(entry: Entry) -> Claim:
    return Claim(run_id=entry.run.id, owner=entry.notebook.owner, resources=entry.run.resources)
