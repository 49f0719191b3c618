# SPDX-License-Identifier: Apache-2.0
"""What is on record of owners whose starts came to nothing."""

from __future__ import annotations

import json
from datetime import datetime

from notebookd.domain.late_starts import recent, waits_behind
from notebookd.ports.store import Reader, Transaction


def _key(owner: str) -> str:
    return f"late-starts {owner}"


def _times(store: Reader, owner: str) -> list[datetime]:
    return [datetime.fromisoformat(each) for each in json.loads(store.find_meta(_key(owner)) or "[]")]


async def note_late_start(tx: Transaction, store: Reader, owner: str, at: datetime | None) -> None:
    """Note, with the change that ends a run, that it came to nothing; None notes nothing."""
    if at is not None:
        times = [*recent(_times(store, owner), at), at]
        await tx.put_meta(_key(owner), json.dumps([each.isoformat() for each in times]))


def is_late(store: Reader, owner: str, now: datetime) -> bool:
    """Whether an owner's starts wait behind others'."""
    return waits_behind(_times(store, owner), now)
