# SPDX-License-Identifier: Apache-2.0
"""``notebookctl open``."""

from __future__ import annotations

from urllib.parse import urlsplit

import click

from notebookd.cli.here import Here, Verb, notebook_argument, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.cli.result import note_where_nobody_answers


@click.command("open", cls=Verb)
@notebook_argument
@pass_here
def verb(here: Here, *, notebook: str) -> None:
    """Open a notebook in the browser.

    Where there is none, the URL is printed.
    """
    import webbrowser

    identity = notebook_id(here, notebook)
    url = here.client.access(identity).value.url
    note_where_nobody_answers(here, identity)
    if not webbrowser.open(url):
        port = urlsplit(url).port or 80
        note = f"from another machine, forward it: ssh -L {port}:127.0.0.1:{port} HOST"
        here.terminal.note(f"note: no browser could be started here; {note}")
        click.echo(url)
