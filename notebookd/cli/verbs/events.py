# SPDX-License-Identifier: Apache-2.0
"""``notebookctl events``."""

from __future__ import annotations

import click

from notebookd.cli.here import Here, Verb, output_option, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.cli.output import clean
from notebookd.cli.stream import follow
from notebookd.wire import Event

COLUMNS = ("ID", "AT", "ACTOR", "TYPE", "NOTEBOOK", "BEFORE", "AFTER")


@click.command("events", cls=Verb)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on while events come.")
@click.option("--after", type=int, metavar="ID", help="Only those after this one.")
@click.option("--notebook", metavar="NOTEBOOK", help="Only those of this notebook.")
@output_option
@pass_here
def verb(here: Here, *, following: bool, after: int | None, notebook: str | None, output: str) -> None:
    """Show what happened."""
    identity = None if notebook is None else notebook_id(here, notebook)
    stream = here.client.follow_events if following else here.client.events
    follow(output, stream(after=after, notebook=identity), COLUMNS, _row, _text)


def _row(event: Event) -> tuple[str, ...]:
    return (
        str(event.id),
        event.at,
        event.actor,
        event.type,
        event.notebook or "",
        event.before or "",
        event.after or "",
    )


def _text(event: Event) -> str:
    change = f"{event.before or ''} -> {event.after or ''}" if event.before or event.after else ""
    return clean("  ".join((str(event.id), event.at, event.actor, event.type, event.notebook or "-", change)).rstrip())
