# SPDX-License-Identifier: Apache-2.0
"""``notebookctl queue``."""

from __future__ import annotations

from datetime import datetime

import click

from notebookd import wire
from notebookd.cli.here import Here, Verb, output_option, pass_here
from notebookd.cli.output import Table, ahead, asked_for, emit, narrowed, telling, waits_for

COLUMNS = ("POSITION", "NOTEBOOK", "NAME", "OWNER", "ASKS FOR", "WAITS FOR", "LATEST START")
SHEET = (*COLUMNS[:4], "GPUS", "CPUS", "FLAVOR", *COLUMNS[5:])
_ON_TERMINAL = ("#", *COLUMNS[1:])
_SPARE = ("NOTEBOOK", "ASKS FOR")
_ELASTIC = ("NAME", "OWNER", "WAITS FOR")


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
        emit(output, reply.body, Table(SHEET, [_sheet_row(each) for each in waiting]))
        return
    width = here.terminal.width() if output == "table" else None
    length = None if width is None else telling([each.notebook for each in waiting])
    table = Table(COLUMNS if width is None else _ON_TERMINAL, [_row(each, now, length) for each in waiting])
    emit(output, reply.body, table, narrowed(table, width, _SPARE, _ELASTIC))


def _row(entry: wire.QueueEntry, now: datetime, length: int | None) -> tuple[str, ...]:
    """A row for people, with an id of that ``length``."""
    latest = ahead(entry.latest_start_at, now) if entry.latest_start_at else ""
    return (*_who(entry, length), asked_for(entry.asks_for), waits_for(entry), latest)


def _sheet_row(entry: wire.QueueEntry) -> tuple[str, ...]:
    """For programs that read CSV: counts, and the time itself."""
    asks = entry.asks_for
    counts = (str(asks.gpu or 0), str(asks.cpu or 0), asks.flavor or "")
    return (*_who(entry), *counts, entry.waits_for, entry.latest_start_at or "")


def _who(entry: wire.QueueEntry, length: int | None = None) -> tuple[str, ...]:
    return (str(entry.position), entry.notebook[:length], entry.name, entry.owner)
