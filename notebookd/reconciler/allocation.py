# SPDX-License-Identifier: Apache-2.0
"""Granting compute to the runs that wait for it: the pure decision of the domain, committed in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from notebookd.domain.gpu import Lease
from notebookd.domain.leasing import Claim, Decision, LeasePolicy, lease
from notebookd.domain.observed import Unknown
from notebookd.domain.quota import QuotaRule
from notebookd.ports.clock import Clock
from notebookd.ports.store import Entry, Store
from notebookd.reconciler.inventory import Inventory
from notebookd.reconciler.record import write_entry

log = logging.getLogger(__name__)

QuotaBook = Callable[[str], QuotaRule]
"""The rule for an owner's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """The queue as it stands: entries in order, and what the lease function says of them."""

    waiting: tuple[Entry, ...]
    decision: Decision


class Allocator:
    """Decides and commits grants."""

    def __init__(self, store: Store, inventory: Inventory, clock: Clock, quota: QuotaBook) -> None:
        self._store = store
        self._inventory = inventory
        self._clock = clock
        self._quota = quota

    @property
    def worth_a_look(self) -> bool:
        """Whether GPUs that come back (undrained, healed, a driver that answers again) would matter to anybody."""
        unseen = isinstance(self._inventory.seen, Unknown)
        return unseen or any(entry.run.waiting for entry in self._store.list_unsettled())

    def queue(self) -> Queue:
        """The queue as it would be served now; nothing is changed."""
        return self._decide(self._store.list_unsettled(), self._store.list_leases())

    async def allocate(self) -> list[str]:
        """Grant what can be granted; returns the notebooks to look at. Looks at the GPUs first."""
        seen = await self._inventory.look()
        if isinstance(seen, Unknown):
            log.warning("GPUs cannot be seen: %s", seen.reason)
        async with self._store.transaction() as tx:
            queue = self._decide(self._store.list_unsettled(), self._store.list_leases())
            entries = {entry.run.id: entry for entry in queue.waiting}
            now = self._clock.now()
            for grant in queue.decision.grants:
                entry = entries[grant.run_id]
                run = replace(entry.run, granted_at=now, gpus=grant.gpus)
                await write_entry(tx, entry, entry.notebook, run, actor="notebookd", at=now)
        return [entries[grant.run_id].notebook.id for grant in queue.decision.grants]

    def _decide(self, unsettled: list[Entry], leases: list[Lease]) -> Queue:
        waiting = tuple(entry for entry in unsettled if entry.run.waiting)
        held = [_claim(entry) for entry in unsettled if entry.run.holds]
        owners = {entry.notebook.owner for entry in waiting}
        quotas: Mapping[str, QuotaRule] = {owner: self._quota(owner) for owner in owners}
        unseen = isinstance(self._inventory.seen, Unknown)
        decision = lease(
            [_claim(entry) for entry in waiting],
            () if unseen else self._inventory.units,
            leases,
            held,
            LeasePolicy(host=self._inventory.host, quotas=quotas),
        )
        return Queue(waiting=waiting, decision=decision)


def _claim(entry: Entry) -> Claim:
    return Claim(run_id=entry.run.id, owner=entry.notebook.owner, resources=entry.run.resources)
