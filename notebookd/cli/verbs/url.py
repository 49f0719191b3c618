# SPDX-License-Identifier: Apache-2.0
"""``notebookctl url``."""

from __future__ import annotations

import click

from notebookd.cli.here import Here, Verb, notebook_argument, output_option, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.cli.output import Table, emit


@click.command("url", cls=Verb)
@notebook_argument
@output_option
@pass_here
def verb(here: Here, *, notebook: str, output: str) -> None:
    """Print a notebook's URL, its token included."""
    reply = here.client.access(notebook_id(here, notebook))
    access = reply.value
    emit(output, reply.body, Table(("URL", "TOKEN"), [(access.url, access.token)]), access.url)
