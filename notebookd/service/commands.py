# SPDX-License-Identifier: Apache-2.0
"""Commands that people run in their notebooks, as the record has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from notebookd.domain.actor import Actor
from notebookd.domain.entry import Entry
from notebookd.domain.event import Event
from notebookd.ports.store import Store

_PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


async def record_command(store: Store, now: datetime, actor: Actor, entry: Entry, command: Sequence[str]) -> None:
    """Put on record that the actor runs a command: the program's name and nothing else of it, since arguments may be
    secrets. Before it runs, so that none ran that is not on record. Raises StoreUnavailable."""
    program = program_of(command)
    happened = Event(
        type="notebook.command",
        at=now,
        actor=actor.signature,
        notebook_id=entry.notebook.id,
        run_id=entry.run.id,
        owner=entry.notebook.owner,
        data={"program": program} if program else {},
    )
    async with store.transaction() as tx:
        await tx.append(happened)


def program_of(command: Sequence[str]) -> str | None:
    """The name of the program that is run, without its folder; None where that is no plain name, but perhaps a whole
    line of shell."""
    name = command[0].rpartition("/")[2] if command else ""
    return name if _PROGRAM.fullmatch(name) else None
