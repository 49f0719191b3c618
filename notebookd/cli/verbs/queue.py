# SPDX-License-Identifier: Apache-2.0
"""``notebookctl queue``."""

from __future__ import annotations

import click

from notebookd import wire
from notebookd.cli.here import Here, Verb, output_option, pass_here
from notebookd.cli.output import Table, emit

COLUMNS = ("POSITION", "NOTEBOOK", "NAME", "OWNER", "ASKS FOR", "WAITS FOR", "LATEST START")


@click.command("queue", cls=Verb)
@output_option
@pass_here
def verb(here: Here, *, output: str) -> None:
    """Show the waiting notebooks."""
    reply = here.client.queue()
    emit(output, reply.body, Table(COLUMNS, [_row(each) for each in reply.value.items]))


def _row(entry: wire.QueueEntry) -> tuple[str, ...]:
    asked = entry.asks_for
    amount = f"{asked.gpu} GPU" if asked.gpu else f"{asked.cpu} CPU" if asked.cpu else ""
    return (
        str(entry.position),
        entry.notebook,
        entry.name,
        entry.owner,
        " ".join(word for word in (amount, asked.flavor or "") if word),
        entry.waits_for,
        entry.latest_start_at or "",
    )
