# SPDX-License-Identifier: Apache-2.0
"""``notebookctl open``."""

from __future__ import annotations

import click

from notebookd.cli.here import Here, Verb, notebook_argument, pass_here
from notebookd.cli.naming import notebook_id


@click.command("open", cls=Verb)
@notebook_argument
@pass_here
def verb(here: Here, *, notebook: str) -> None:
    """Open a notebook in the browser.

    Where there is none, the URL is printed.
    """
    import webbrowser

    url = here.client.access(notebook_id(here, notebook)).value.url
    if not webbrowser.open(url):
        here.terminal.note("note: no browser could be started here; from another machine, forward port 8421 by ssh -L")
        click.echo(url)
