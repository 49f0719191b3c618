# SPDX-License-Identifier: Apache-2.0
"""``notebookctl why``."""

from __future__ import annotations

import click

from notebookd.cli.here import Here, Verb, notebook_argument, output_option, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.cli.output import Table, clean, emit


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
    text = "\n".join(clean(sentence) for sentence in why.sentences)
    emit(output, reply.body, Table(("DEADLINE", "AT", "WHY", "MOVED BY"), rows), text)
