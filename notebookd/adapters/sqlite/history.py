# SPDX-License-Identifier: Apache-2.0
"""What happened, in SQLite: events, and whether anything did. See :class:`~notebookd.ports.store.Reader`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from notebookd.adapters.sqlite import records
from notebookd.domain.event import Event
from notebookd.domain.ids import NotebookId


class HistoryReads(ABC):
    """The record of events."""

    @abstractmethod
    def _rows(self, name: str, values: Any = ()) -> list[Any]: ...

    def generation(self) -> int:
        """Which commit was the last."""
        return int(self._rows("generation")[0][0])

    def list_events(self, *, after: int, limit: int, notebook_id: NotebookId | None, owner: str | None) -> list[Event]:
        """Events in order."""
        name = "events_of_notebook" if notebook_id else "events_of_owner" if owner else "events"
        values = {"after": after, "limit": limit, "notebook": notebook_id, "owner": owner}
        return [records.event(row) for row in self._rows(name, values)]

    def first_event_id(self) -> int:
        """The oldest event's id."""
        return int(self._rows("first_event")[0][0])

    def last_event_id(self) -> int:
        """The newest event's id."""
        return int(self._rows("last_event")[0][0])
