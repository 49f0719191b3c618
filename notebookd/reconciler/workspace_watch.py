# SPDX-License-Identifier: Apache-2.0
"""Looking now and then at how full the workspaces of running notebooks are. A walk through one is a mover's work."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from notebookd.domain.entry import Entry
from notebookd.domain.event import Event
from notebookd.domain.rules import RulesNow
from notebookd.domain.run import RunState
from notebookd.domain.snapshots import WorkspaceUse
from notebookd.errors import EngineError, VolumeFault
from notebookd.ports.clock import Clock
from notebookd.ports.movers import Movers
from notebookd.ports.store import Store

log = logging.getLogger(__name__)


class WorkspaceWatch:
    """Measures one workspace after the other."""

    def __init__(self, store: Store, movers: Movers, clock: Clock, rules: RulesNow) -> None:
        self._store = store
        self._movers = movers
        self._clock = clock
        self._rules = rules
        self.dozing = True
        """Whether no look is due, because nobody is running."""

    async def turn(self) -> datetime | None:
        """Measure what is due; returns when the next is."""
        due: list[datetime] = []
        for entry in self._store.list_unsettled():
            if entry.run.state is not RunState.RUNNING:
                continue
            since = self._measured_at(entry)
            if since + timedelta(seconds=self._rules().measure_every_s) <= self._clock.now():
                await self._measure(entry)
                since = self._clock.now()
            due.append(since + timedelta(seconds=self._rules().measure_every_s))
        self.dozing = not due
        return min(due, default=None)

    def _measured_at(self, entry: Entry) -> datetime:
        use = self._store.find_workspace_use(entry.notebook.id)
        return max(use.measured_at, entry.run.state_since) if use is not None else entry.run.state_since

    async def _measure(self, entry: Entry) -> None:
        notebook = entry.notebook
        try:
            used = await self._movers.measure(notebook.id)
        except (EngineError, VolumeFault) as fault:
            log.warning("cannot measure the workspace of notebook %s: %s", notebook.id, fault)
            return
        before, now = self._store.find_workspace_use(notebook.id), self._clock.now()
        async with self._store.transaction() as tx:
            await tx.put_workspace_use(notebook.id, WorkspaceUse(used_bytes=used, measured_at=now))
            if self._over(used) and not (before is not None and self._over(before.used_bytes)):
                await tx.append(
                    Event(
                        type="notebook.warning",
                        at=now,
                        notebook_id=notebook.id,
                        run_id=entry.run.id,
                        owner=notebook.owner,
                        data={
                            "reason": "workspace-quota",
                            "usedBytes": used,
                            "quotaBytes": self._rules().workspace_bytes,
                        },
                    )
                )

    def _over(self, used_bytes: int) -> bool:
        return _exceeds(used_bytes, self._rules().workspace_bytes)


def _exceeds(used_bytes: int, most_bytes: int | None) -> bool:
    return most_bytes is not None and used_bytes > most_bytes
