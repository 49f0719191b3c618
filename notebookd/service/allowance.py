# SPDX-License-Identifier: Apache-2.0
"""What a caller may have of the machine: quotas, and room on the disk. Quotas do not bind admins."""

from __future__ import annotations

from notebookd.domain.actor import Actor
from notebookd.domain.ids import NotebookId
from notebookd.domain.notebook import ResourceRequest
from notebookd.domain.quota import UNBOUND, QuotaBook, QuotaRule
from notebookd.errors import QuotaExceeded, StoreUnavailable
from notebookd.ports.store import DiskUse, Store
from notebookd.record.meter import Meter
from notebookd.service.usage import spent_gpu_minutes
from notebookd.units import readable_size


class Allowance:
    """Refuses what a caller may not have. ``verb`` says what for; ask inside the transaction that takes it."""

    def __init__(self, store: Store, quota: QuotaBook, meter: Meter, *, min_free_bytes: int) -> None:
        self._store = store
        self._quota = quota
        self._meter = meter
        self.min_free_bytes = min_free_bytes
        self.min_free_inodes = 0
        self.workspace_bytes: int | None = None

    def require_gpus(self, actor: Actor, resources: ResourceRequest, verb: str) -> None:
        """Raise QuotaExceeded where they are more GPUs than the actor may ever hold."""
        fault = self._rule(actor).request_fault(resources.units if resources.gpu else 0)
        if fault:
            raise QuotaExceeded(f"cannot {verb}: {fault}", hint="ask for fewer GPUs, or an admin for a larger quota")

    def require_minutes(self, actor: Actor, resources: ResourceRequest, verb: str) -> None:
        """Raise QuotaExceeded where GPUs are wished for and the actor's minutes of this month are spent."""
        rule = self._rule(actor)
        if not resources.gpu or rule.gpu_minutes_month is None:
            return
        fault = rule.minutes_fault(spent_gpu_minutes(self._store, actor.name, self._meter.read()))
        if fault:
            raise QuotaExceeded(f"cannot {verb}: {fault}", hint="ask for CPUs, or an admin for a larger quota")

    def require_another(self, actor: Actor, verb: str) -> None:
        """Raise QuotaExceeded where the actor has as many notebooks as may be."""
        fault = self._rule(actor).count_fault(self._store.count_notebooks(actor.name))
        if fault:
            raise QuotaExceeded(f"cannot {verb}: {fault}", hint="delete one that you no longer need")

    async def require_room(self, verb: str) -> None:
        """Raise StoreUnavailable where the disk is nearly full."""
        self.require_room_of(await self._store.disk_use(), verb)

    def require_room_of(self, disk: DiskUse, verb: str) -> None:
        """The same of a disk that was looked at before: in a transaction nothing is waited for."""
        free = disk.free_bytes
        if free < self.min_free_bytes:
            raise StoreUnavailable(
                f"cannot {verb}: {readable_size(free)} of disk are free, less than the "
                f"{readable_size(self.min_free_bytes)} that are kept",
                hint="free some disk space",
            )
        inodes = disk.free_inodes
        if inodes is not None and inodes < self.min_free_inodes:
            raise StoreUnavailable(
                f"cannot {verb}: {inodes} inodes of the disk are free, less than the {self.min_free_inodes} that are "
                "kept: hardly a file more can be made",
                hint="remove files that nobody needs: `notebookctl rm NOTEBOOK:PATH`, `notebookctl delete`",
            )

    def require_workspace(self, notebook_id: NotebookId, verb: str) -> None:
        """Raise QuotaExceeded where a workspace takes more room than one may."""
        if excess := self.workspace_excess(notebook_id):
            raise QuotaExceeded(
                f"cannot {verb}: {excess}",
                hint="remove what you do not need with `notebookctl rm NOTEBOOK:PATH` (`notebookctl cp` fetches it "
                "before), or ask an admin for a larger [workspace] quota",
            )

    def require_fork(self, size_bytes: int, verb: str) -> None:
        """Raise QuotaExceeded where a snapshot would fill a workspace with more than one may take."""
        if self.workspace_bytes is not None and size_bytes > self.workspace_bytes:
            used, allowed = readable_size(size_bytes), readable_size(self.workspace_bytes)
            raise QuotaExceeded(
                f"cannot {verb}: the snapshot takes {used}, more than the {allowed} that are allowed",
                hint="fork an older one (`notebookctl snapshot list`), or ask an admin for a larger [workspace] quota",
            )

    def workspace_excess(self, notebook_id: NotebookId) -> str | None:
        """How a workspace takes more room than one may; None when it does not, as far as it was measured."""
        use = self._store.find_workspace_use(notebook_id)
        if self.workspace_bytes is None or use is None or use.used_bytes <= self.workspace_bytes:
            return None
        used, allowed = readable_size(use.used_bytes), readable_size(self.workspace_bytes)
        return f"its workspace takes {used}, more than the {allowed} that are allowed"

    def _rule(self, actor: Actor) -> QuotaRule:
        return UNBOUND if actor.admin else self._quota(actor.name)
