# SPDX-License-Identifier: Apache-2.0
"""``notebookctl why``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, tzinfo

import click

from notebookd import wire
from notebookd.cli.here import Here, Verb, notebook_argument, output_option, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.cli.output import Table, ahead, clean, emit, localised, moment, wrapped


@click.command("why", cls=Verb)
@notebook_argument
@output_option
@pass_here
def verb(here: Here, *, notebook: str, output: str) -> None:
    """Explain a notebook's state.

    Why it is so, what it waits for, each deadline with its reason, and what moves it.
    """
    reply = here.client.why(notebook_id(here, notebook))
    why = reply.value
    rows = [(each.reason, each.at, each.why, each.moved_by or "") for each in why.deadlines]
    width = here.terminal.width()
    lines = _lines(why, here.terminal.now(), here.terminal.zone())
    text = "\n".join(wrapped(clean(line), width) for line in lines)
    emit(output, reply.body, Table(("DEADLINE", "AT", "WHY", "MOVED BY"), rows), text)


def _lines(why: wire.Why, now: datetime, zone: tzinfo | None) -> Iterator[str]:
    yield from (localised(sentence, zone) for sentence in why.sentences)
    if wait := why.waits_for:
        yield from _latest_start(wait, now, zone)
    for each in why.deadlines:
        mover = f"; moved by {each.moved_by}" if each.moved_by else ""
        yield f"{each.reason} {ahead(each.at, now)} ({moment(each.at, zone)}): {each.why}{mover}"


def _latest_start(wait: wire.QueueEntry, now: datetime, zone: tzinfo | None) -> Iterator[str]:
    """What the sentences do not say. At one's own quota they do: it starts when one stops something."""
    if wait.latest_start_at:
        yield f"Latest start: {ahead(wait.latest_start_at, now)} ({moment(wait.latest_start_at, zone)})."
    elif not wait.waits_for.startswith("quota:"):
        yield "Latest start: not known: what it waits for has no end that is known."
