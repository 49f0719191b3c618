# SPDX-License-Identifier: Apache-2.0
"""Notes on which notebooks are in use, left where notebookd reads them.

Idle stop wants to know whether anybody is connected and when something last went through. That is written at once when
the number of websockets changes, and otherwise at most every :data:`PERIOD_S`: a notebook under load costs one small
file each five seconds, one that nobody uses costs nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from notebookd import routes
from notebookd.routes import Activity

__all__ = ["PERIOD_S", "ActivityBook"]

PERIOD_S: Final = 5.0

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Entry:
    last_activity_at: float | None = None
    connections: int = 0
    written_at: float = float("-inf")
    """By the loop's clock."""
    due: asyncio.TimerHandle | None = None


class ActivityBook:
    """Counts websockets and notes traffic, per notebook. Lives on one event loop.

    ``now`` gives Unix seconds; ``exists`` says whether a notebook still has a route, since a note on one that was
    deleted is not written but removed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        now: Callable[[], float],
        exists: Callable[[str], bool],
        period_s: float = PERIOD_S,
    ) -> None:
        self._directory = directory
        self._now = now
        self._exists = exists
        self._period_s = period_s
        self._entries: dict[str, _Entry] = {}

    def open(self) -> None:
        """Take over from a gateway that may have died: its websockets are gone, its times still hold."""
        for notebook, activity in routes.list_activity(self._directory).items():
            self._entries[notebook] = _Entry(last_activity_at=activity.last_activity_at)
            self._write(notebook)

    def close(self) -> None:
        """Write what is not written yet."""
        for notebook, entry in list(self._entries.items()):
            if entry.due is not None:
                self._write(notebook)

    def touch(self, notebook: str) -> None:
        """Something went through to or from this notebook."""
        entry = self._entries.setdefault(notebook, _Entry())
        entry.last_activity_at = self._now()
        if entry.due is not None:
            return
        loop = asyncio.get_running_loop()
        wait_s = entry.written_at + self._period_s - loop.time()
        if wait_s <= 0:
            self._write(notebook)
        else:
            entry.due = loop.call_later(wait_s, self._write, notebook)

    @contextmanager
    def connection(self, notebook: str) -> Iterator[None]:
        """A websocket to this notebook is open for as long as the block lasts."""
        self._count(notebook, 1)
        try:
            yield
        finally:
            self._count(notebook, -1)

    def _count(self, notebook: str, change: int) -> None:
        entry = self._entries.setdefault(notebook, _Entry())
        entry.connections += change
        entry.last_activity_at = self._now()
        self._write(notebook)

    def _write(self, notebook: str) -> None:
        entry = self._entries[notebook]
        if entry.due is not None:
            entry.due.cancel()
            entry.due = None
        entry.written_at = asyncio.get_running_loop().time()
        try:
            if self._exists(notebook):
                routes.write_activity(
                    self._directory,
                    notebook,
                    Activity(
                        last_activity_at=entry.last_activity_at,
                        connections=entry.connections,
                        updated_at=self._now(),
                    ),
                )
                return
            routes.remove_activity(self._directory, notebook)
        except OSError as error:
            # The next traffic writes again. To notebookd a stale note is "cannot tell", never "idle".
            _log.warning("cannot note activity of notebook %s: %s", notebook, error)
            return
        if entry.connections == 0:
            del self._entries[notebook]
