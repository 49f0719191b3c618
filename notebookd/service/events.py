# SPDX-License-Identifier: Apache-2.0
"""The record of events, as a caller may read it: all of it for admins, what concerns their notebooks for others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from notebookd.domain.actor import Actor
from notebookd.domain.event import Event
from notebookd.domain.ids import NotebookId
from notebookd.errors import Conflict
from notebookd.ports.store import Store

AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class EventQuestion:
    """Which events are asked for: of a notebook, since a time, of some types (``gpu`` is ``gpu.xid`` and its like)."""

    notebook_id: NotebookId | None = None
    since: datetime | None = None
    types: Sequence[str] = ()

    def asks_for(self, event: Event) -> bool:
        """Whether it is what was asked for."""
        if self.since is not None and event.at < self.since:
            return False
        return not self.types or any(event.type == each or event.type.startswith(f"{each}.") for each in self.types)


class Events:
    """Reads of the record, in the order of ids."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, after: int, question: EventQuestion) -> int:
        """The id after which to begin, to miss nothing that is asked for. Raises Conflict when some of what followed
        ``after`` is not kept any more."""
        first = self._store.first_event_id()
        if after and after < first - 1:
            raise Conflict(
                f"cannot go on after event {after}: the oldest that is kept is {first}",
                hint="what happened in between is not known any more: begin without `after`",
                details={"first": first},
            )
        return after if question.since is None else max(after, self._last_before(question.since))

    def kept(self, after: int) -> bool:
        """Whether all that follows this event is kept still."""
        return not after or after >= self._store.first_event_id() - 1

    def newest(self) -> int:
        """The id of the newest event, whoever may know of it."""
        return self._store.last_event_id()

    def read(self, actor: Actor, question: EventQuestion, after: int) -> tuple[list[Event], int | None]:
        """The next that were asked for and that the actor may know of, and the id up to which that is all; None at the
        end of the record."""
        owner = None if actor.admin else actor.name
        batch = self._store.list_events(after=after, limit=AT_ONCE, notebook_id=question.notebook_id, owner=owner)
        wanted = [event for event in batch if self._concerns(actor, event) and question.asks_for(event)]
        return wanted, batch[-1].id if batch else None

    async def next(self, after: int) -> None:
        """Return once there is a newer one."""
        await self._store.next_event(after)

    def _concerns(self, actor: Actor, event: Event) -> bool:
        """Whether the actor may know of an event of their own: not, when it is of no notebook that their selector
        picks."""
        if actor.selector is None:
            return True
        labels = self._store.find_labels(event.notebook_id) if event.notebook_id else None
        return labels is not None and actor.selector.picks(labels)

    def _last_before(self, at: datetime) -> int:
        """The id after which nothing is missed that happened since then. Ids and times increase together."""
        low, high = max(0, self._store.first_event_id() - 1), self._store.last_event_id()
        while low < high:
            middle = (low + high) // 2
            found = self._store.list_events(after=middle, limit=1, notebook_id=None, owner=None)
            if found and found[0].at < at:
                low = found[0].id
            else:
                high = middle
        return low
