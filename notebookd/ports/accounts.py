# SPDX-License-Identifier: Apache-2.0
"""The part of the store that knows which account a name stands for."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class AccountReader(Protocol):
    """Reads of the accounts on record."""

    def find_account(self, name: str) -> int | None:
        """The uid that a name stands for; None where the name is not on record."""
        ...

    def list_owners(self) -> list[str]:
        """Owners of notebooks that are not deleted."""
        ...

    def list_unrecorded(self) -> list[str]:
        """Owners of notebooks and tokens whose uid is not on record."""
        ...


class AccountWriter(Protocol):
    """Writes of the accounts on record."""

    async def put_account(self, name: str, uid: int, at: datetime) -> None:
        """Record the uid that a name stands for from now on."""
        ...

    async def retire(self, owner: str, known_as: str) -> None:
        """Give the past of an owner (bills, events, deleted notebooks) another name, and forget the answers that were
        kept for them. What the name owns now is left as it is."""
        ...
