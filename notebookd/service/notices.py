# SPDX-License-Identifier: Apache-2.0
"""What the gateway's page tells of a notebook that is not there yet: its place, what it waits for, and until when."""

from __future__ import annotations

import logging
from datetime import datetime

from notebookd.domain.entry import Entry
from notebookd.domain.run import NotebookState
from notebookd.errors import NotebookdError
from notebookd.ports.board import RouteBoard
from notebookd.ports.clock import Clock
from notebookd.ports.store import Store
from notebookd.service.machine import Machine, QueueRow
from notebookd.service.why import Reasons
from notebookd.times import format_duration

log = logging.getLogger(__name__)

EVERY_S = 5.0
"""A place in the queue changes by what happens to others, so it is looked at, and not told with a change."""

_MINUTE_S = 60


class Notices:
    """Tells the route board of those who wait."""

    def __init__(self, store: Store, board: RouteBoard, machine: Machine, reasons: Reasons, clock: Clock) -> None:
        self._store = store
        self._board = board
        self._machine = machine
        self._reasons = reasons
        self._clock = clock

    async def run(self) -> None:
        """Look again and again."""
        while True:
            try:
                self.look()
            except NotebookdError as fault:
                log.warning("cannot tell those who wait what they wait for: %s", fault.message)
            await self._clock.sleep(EVERY_S)

    def look(self) -> None:
        """Tell of each notebook that starts what is true of it now."""
        starting = [each for each in self._store.list_unsettled() if each.state is NotebookState.STARTING]
        rows = {row.entry.run.id: row for row in self._machine.queue()} if any(e.run.waiting for e in starting) else {}
        now = self._clock.now()
        self._board.tell({each.notebook.id: self._words(each, rows.get(each.run.id), now) for each in starting})

    def _words(self, entry: Entry, row: QueueRow | None, now: datetime) -> str:
        if row is None:
            return " ".join(self._reasons.sentences(entry))
        words = f"It waits for {row.sentence}, at position {row.wait.position}."
        if row.latest_start_at is None:
            return words
        left_s = max(_MINUTE_S, round((row.latest_start_at - now).total_seconds() / _MINUTE_S) * _MINUTE_S)
        return f"{words} It starts within {format_duration(left_s)}."
