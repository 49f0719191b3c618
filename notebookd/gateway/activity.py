# SPDX-License-Identifier: Apache-2.0
"""Notes on which notebooks are in use, left where notebookd reads them.

Idle stop wants to know whether anybody is connected and when something last went through. That is written at once when
the number of websockets changes, and otherwise at most every :data:`PERIOD_S`: a notebook under load costs one small
file each five seconds, one that nobody uses costs nothing. As long as everything is written the book vouches for it
(:func:`notebookd.routes.keep_activity`): a gateway that is down or cannot write leaves no notebook looking idle.
"""

from __future__ import annotations

import asyncio
import logging
import os
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
        self._unwritten: set[str] = set()
        self._kept: int | None = None
        self._opened = False
        self._retry: asyncio.TimerHandle | None = None

    def open(self) -> None:
        """Take over from a gateway that may have died. Its times still hold; its websockets are gone, and were open
        until a moment ago for all that anybody knows."""
        for notebook, activity in routes.list_activity(self._directory).items():
            last_activity_at = self._now() if activity.connections else activity.last_activity_at
            self._entries[notebook] = _Entry(last_activity_at=last_activity_at)
            self._write(notebook)
        self._opened = True
        self._vouch()

    def close(self) -> None:
        """Write what is not written yet."""
        for notebook, entry in list(self._entries.items()):
            if entry.due is not None:
                self._write(notebook)
            if entry.due is not None:  # it failed again
                entry.due.cancel()
        self._opened = False
        self._vouch()

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
            there = self._exists(notebook)
            if there:
                self._note(notebook, entry)
            else:
                routes.remove_activity(self._directory, notebook)
        except OSError as error:
            _log.warning("cannot note activity of notebook %s: %s", notebook, error)
            self._unwritten.add(notebook)
            self._vouch()
            entry.due = asyncio.get_running_loop().call_later(self._period_s, self._write, notebook)
            return
        self._unwritten.discard(notebook)
        self._vouch()
        if not there and entry.connections == 0:
            del self._entries[notebook]

    def _note(self, notebook: str, entry: _Entry) -> None:
        routes.write_activity(
            self._directory,
            notebook,
            Activity(last_activity_at=entry.last_activity_at, connections=entry.connections, updated_at=self._now()),
        )

    def _vouch(self) -> None:
        """Hold the lock exactly as long as everything noted is written."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        true = self._opened and not self._unwritten
        if true and self._kept is None:
            try:
                self._kept = routes.keep_activity(self._directory)
            except OSError as error:
                _log.warning("cannot vouch for the activity noted in %s: %s", self._directory, error)
                self._retry = asyncio.get_running_loop().call_later(self._period_s, self._vouch)
        elif not true and self._kept is not None:
            os.close(self._kept)
            self._kept = None
