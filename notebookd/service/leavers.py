# SPDX-License-Identifier: Apache-2.0
"""Those whose account is gone: what opened their notebooks opens them no more. The notebooks stay, for an admin to give
away or delete."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import replace

from notebookd.domain.event import PLATFORM, Event
from notebookd.errors import DirectoryUnavailable, NotebookdError
from notebookd.ports.clock import Clock
from notebookd.ports.directory import Directory
from notebookd.ports.store import NotebookFilter, Store

log = logging.getLogger(__name__)

EVERY_S = 600.0
_ALL = 1_000_000


class Leavers:
    """Ends tokens and sessions of notebooks whose owner has no account any more, or whose name is another's now.

    An account that is missing once may be a directory service that restarts: it is gone when it is missing twice.
    """

    def __init__(self, store: Store, clock: Clock, directory: Directory, wake: Callable[[str], None]) -> None:
        self._store = store
        self._clock = clock
        self._directory = directory
        self._wake = wake
        self._missing: frozenset[str] = frozenset()

    async def run(self) -> None:
        """Look again and again."""
        while True:
            await self._clock.sleep(EVERY_S)
            try:
                await self.look()
            except NotebookdError as fault:
                log.warning("cannot tell whose account is gone: %s", fault.message)

    async def look(self) -> None:
        """End the access of those who are missing, and were at the last look."""
        missing = frozenset([owner for owner in self._store.list_owners() if await self._is_missing(owner)])
        for owner in sorted(missing & self._missing):
            await self._end_access(owner)
        self._missing = missing

    async def _is_missing(self, owner: str) -> bool:
        known = self._store.find_account(owner)
        try:
            person = await self._directory.person(owner)
        except DirectoryUnavailable:
            return False
        return known is not None and (person is None or person.uid != known)

    async def _end_access(self, owner: str) -> None:
        now = self._clock.now()
        for listed in self._store.list_entries(NotebookFilter(owner=owner, size=_ALL))[0]:
            async with self._store.transaction() as tx:
                entry = self._store.find_entry(listed.notebook.id)
                if entry is None or entry.notebook.owner != owner or entry.notebook.session_secret is None:
                    continue
                ended = replace(entry.notebook, token=secrets.token_urlsafe(32), session_secret=None, updated_at=now)
                notebook = await tx.put_notebook(ended)
                await tx.append(
                    Event(type="notebook.access", at=now, actor=PLATFORM, notebook_id=notebook.id, owner=owner)
                )
            log.warning("%s has no account any more: nobody is signed in to notebook %s", owner, notebook.id)
            self._wake(notebook.id)
