# SPDX-License-Identifier: Apache-2.0
"""``notebookctl queue``."""

from __future__ import annotations

from datetime import datetime

import click

from notebookd import wire
from notebookd.cli.here import Here, Verb, output_option, pass_here
from notebookd.cli.output import Table, ahead, asked_for, emit, waits_for

COLUMNS = ("POSITION", "NOTEBOOK", "NAME", "OWNER", "ASKS FOR", "WAITS FOR", "LATEST START")


@click.command("queue", cls=Verb)
@output_option
@pass_here
def verb(here: Here, *, output: str) -> None:
    """Show the waiting notebooks.

    The first is served first, per flavor. The latest start is an upper bound: when those ahead run as long as they may.
    """
    reply = here.client.queue()
    now = None if output == "csv" else here.terminal.now()
    emit(output, reply.body, Table(COLUMNS, [_row(each, now) for each in reply.value.items]))


def _row(entry: wire.QueueEntry, now: datetime | None) -> tuple[str, ...]:
    """A row; with times for people where ``now`` is given."""
    latest = entry.latest_start_at or ""
    return (
        str(entry.position),
        entry.notebook,
        entry.name,
        entry.owner,
        asked_for(entry.asks_for),
        waits_for(entry) if now else entry.waits_for,
        ahead(latest, now) if latest and now else latest,
    )
