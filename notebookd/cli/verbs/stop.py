# SPDX-License-Identifier: Apache-2.0
"""``notebookctl stop``."""

from __future__ import annotations

import click

from notebookd.cli.here import Here, Verb, notebook_argument, output_option, pass_here, wait_option
from notebookd.cli.naming import notebook_id
from notebookd.cli.result import show_changed, show_notebook
from notebookd.cli.waiting import wait_until_stopped


@click.command("stop", cls=Verb)
@notebook_argument
@click.option(
    "--now",
    "at_once",
    is_flag=True,
    help="Wait for no data, also of one that stops already: no snapshot is taken, and what was not carried back stays "
    "on this machine.",
)
@wait_option
@output_option
@pass_here
def verb(here: Here, *, notebook: str, at_once: bool, wait: bool | None, output: str) -> None:
    """Stop a notebook; its workspace stays."""
    identity = notebook_id(here, notebook)
    begun = here.terminal.now()
    here.client.stop_notebook(identity, at_once=at_once)
    if wait if wait is not None else here.terminal.watched():
        reply = wait_until_stopped(here, identity, begun)
        if output != "table":
            show_notebook(here, reply, output)
    else:
        show_changed(here, identity, output)
