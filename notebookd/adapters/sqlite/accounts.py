# SPDX-License-Identifier: Apache-2.0
"""The accounts on record in SQLite: see :mod:`notebookd.ports.accounts`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from datetime import datetime
from typing import Any

from notebookd.adapters.sqlite.records import millis

_PAST = ("rename_stays", "rename_open_stays", "rename_leases", "rename_accounts", "rename_events", "rename_tombstones")


class AccountReads(ABC):
    """See :class:`~notebookd.ports.accounts.AccountReader`."""

    @abstractmethod
    def _rows(self, name: str, values: Any = ()) -> list[Any]: ...

    def find_account(self, name: str) -> int | None:
        """The uid of a name."""
        return next((int(row[0]) for row in self._rows("account", (name,))), None)

    def list_owners(self) -> list[str]:
        """Owners of notebooks."""
        return [str(row[0]) for row in self._rows("notebook_owners")]

    def list_unrecorded(self) -> list[str]:
        """Owners without a uid."""
        return [str(row[0]) for row in self._rows("owners")]


class AccountWrites(ABC):
    """See :class:`~notebookd.ports.accounts.AccountWriter`."""

    @abstractmethod
    async def _run(self, query: str, /, **values: Any) -> None: ...

    async def put_account(self, name: str, uid: int, at: datetime) -> None:
        """Record."""
        await self._run("put_account", name=name, uid=uid, seen_at=millis(at))

    async def retire(self, owner: str, known_as: str) -> None:
        """Rename the past."""
        for query in _PAST:
            await self._run(query, owner=owner, known_as=known_as)
        await self._run("forget_answers_of", owner=owner)
