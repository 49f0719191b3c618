# SPDX-License-Identifier: Apache-2.0
"""What a caller may have of the machine, as facts: quota, minutes spent, room on the disk. The decision by them is in
:mod:`notebookd.domain.admission`."""

from __future__ import annotations

from notebookd.domain.actor import Actor
from notebookd.domain.admission import Room, no_room, workspace_excess
from notebookd.domain.ids import NotebookId
from notebookd.domain.notebook import ResourceRequest
from notebookd.domain.quota import UNBOUND, QuotaBook, QuotaRule
from notebookd.domain.rules import RulesNow
from notebookd.errors import DirectoryUnavailable
from notebookd.ports.store import DiskUse, Store
from notebookd.record.meter import Meter
from notebookd.service.usage import spent_gpu_minutes


class Allowance:
    """Looks the facts up. Inside the transaction that takes what is allowed they cannot change."""

    def __init__(self, store: Store, quota: QuotaBook, meter: Meter, rules: RulesNow) -> None:
        self._store = store
        self._quota = quota
        self._meter = meter
        self._rules = rules

    def quota_of(self, actor: Actor) -> QuotaRule | DirectoryUnavailable:
        """What binds an actor, or why nobody can tell."""
        if actor.admin:
            return UNBOUND
        try:
            return self._quota(actor.name)
        except DirectoryUnavailable as fault:
            return fault

    def spent_minutes(self, actor: Actor, resources: ResourceRequest, quota: QuotaRule | DirectoryUnavailable) -> int:
        """GPU minutes of this month; 0, and not looked up, where nothing depends on them."""
        if not resources.gpu or isinstance(quota, DirectoryUnavailable) or quota.gpu_minutes_month is None:
            return 0
        return spent_gpu_minutes(self._store, actor.name, self._meter.read())

    def room_of(self, disk: DiskUse) -> Room:
        """What is free on a disk that was looked at, and what is kept: in a transaction nothing is waited for."""
        return Room(
            free_bytes=disk.free_bytes,
            free_inodes=disk.free_inodes,
            kept_bytes=self._rules().min_free_bytes,
            kept_inodes=self._rules().min_free_inodes,
        )

    async def require_room(self, verb: str) -> None:
        """Raise StoreUnavailable where the disk is nearly full."""
        fault = no_room(self.room_of(await self._store.disk_use()), verb)
        if fault is not None:
            raise fault

    def workspace_used(self, notebook_id: NotebookId) -> int:
        """Bytes that a workspace takes, as far as it was measured."""
        use = self._store.find_workspace_use(notebook_id)
        return use.used_bytes if use is not None else 0

    def workspace_excess(self, notebook_id: NotebookId) -> str | None:
        """How a workspace takes more room than one may; None when it does not, as far as it was measured."""
        return workspace_excess(self.workspace_used(notebook_id), self._rules().workspace_bytes)
