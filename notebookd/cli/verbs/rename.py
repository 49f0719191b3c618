# SPDX-License-Identifier: Apache-2.0
"""``notebookctl rename``."""

from __future__ import annotations

import click

from notebookd.cli.here import Here, Verb, notebook_argument, output_option, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.cli.result import show_changed


@click.command("rename", cls=Verb)
@notebook_argument
@click.argument("new")
@output_option
@pass_here
def verb(here: Here, *, notebook: str, new: str, output: str) -> None:
    """Give a notebook another name.

    Its id and its URL stay. Each name is its owner's once. One that runs sees its new name from the next start on.
    """
    identity = notebook_id(here, notebook)
    here.client.rename_notebook(identity, new)
    show_changed(here, identity, output)
