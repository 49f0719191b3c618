# SPDX-License-Identifier: Apache-2.0
"""``notebookctl get``."""

from __future__ import annotations

import click

from notebookd.cli.here import Here, Verb, notebook_argument, output_option, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.cli.result import show_notebook


@click.command("get", cls=Verb)
@notebook_argument
@output_option
@pass_here
def verb(here: Here, *, notebook: str, output: str) -> None:
    """Show a notebook."""
    show_notebook(here, here.client.get_notebook(notebook_id(here, notebook)), output)
