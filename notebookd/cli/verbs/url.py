# SPDX-License-Identifier: Apache-2.0
"""``notebookctl url``."""

from __future__ import annotations

import click

from notebookd.cli.here import Here, Verb, notebook_argument, output_option, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.cli.output import Table, emit
from notebookd.cli.result import note_where_nobody_answers


@click.command("url", cls=Verb)
@notebook_argument
@click.option("--renew", is_flag=True, help="Make a new token, and sign every browser out.")
@output_option
@pass_here
def verb(here: Here, *, notebook: str, renew: bool, output: str) -> None:
    """Print a notebook's URL, its token included.

    Each start makes a new token. A browser that opened the notebook stays signed in when it stops and starts, until
    --renew. Of a notebook that does not run, a note says so.
    """
    identity = notebook_id(here, notebook)
    reply = here.client.renew_access(identity) if renew else here.client.access(identity)
    note_where_nobody_answers(here, identity)
    access = reply.value
    emit(output, reply.body, Table(("URL", "TOKEN"), [(access.url, access.token)]), access.url)
