# SPDX-License-Identifier: Apache-2.0
"""``notebookctl queue``."""

from __future__ import annotations

from datetime import datetime

import click

from notebookd import wire
from notebookd.cli.here import Here, Verb, output_option, pass_here
from notebookd.cli.output import Table, ahead, asked_for, emit, waits_for

COLUMNS = ("POSITION", "NOTEBOOK", "NAME", "OWNER", "ASKS FOR", "WAITS FOR", "LATEST START")
SHEET = (*COLUMNS[:4], "GPUS", "CPUS", "FLAVOR", *COLUMNS[5:])


@click.command("queue", cls=Verb)
@output_option
@pass_here
def verb(here: Here, *, output: str) -> None:
    """Show the waiting notebooks.

    The first is served first, per flavor. The latest start is an upper bound: when those ahead run as long as they may.
    """
    reply = here.client.queue()
    now, waiting = here.terminal.now(), reply.value.items
    if output == "csv":
        table = Table(SHEET, [_sheet_row(each) for each in waiting])
    else:
        table = Table(COLUMNS, [_row(each, now) for each in waiting])
    emit(output, reply.body, table)


def _row(entry: wire.QueueEntry, now: datetime) -> tuple[str, ...]:
    latest = ahead(entry.latest_start_at, now) if entry.latest_start_at else ""
    return (*_who(entry), asked_for(entry.asks_for), waits_for(entry), latest)


def _sheet_row(entry: wire.QueueEntry) -> tuple[str, ...]:
    """For programs that read CSV: counts, and the time itself."""
    asks = entry.asks_for
    counts = (str(asks.gpu or 0), str(asks.cpu or 0), asks.flavor or "")
    return (*_who(entry), *counts, entry.waits_for, entry.latest_start_at or "")


def _who(entry: wire.QueueEntry) -> tuple[str, ...]:
    return (str(entry.position), entry.notebook, entry.name, entry.owner)
