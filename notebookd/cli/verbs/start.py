# SPDX-License-Identifier: Apache-2.0
"""``notebookctl start``."""

from __future__ import annotations

import click

from notebookd.cli.here import Declined, Here, Verb, notebook_argument, output_option, pass_here, wait_option
from notebookd.cli.naming import notebook_id
from notebookd.cli.result import show_changed, show_entry
from notebookd.cli.waiting import wait_until_running

_MAY_HOLD = frozenset({"SYNC_FAILED", "ERROR", "FAILED", "STOPPED"})


@click.command("start", cls=Verb)
@notebook_argument
@click.option(
    "--discard", is_flag=True, help="Give up local copies of volumes that could not be pushed, or brought up to date."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@wait_option
@output_option
@pass_here
def verb(here: Here, *, notebook: str, discard: bool, yes: bool, wait: bool | None, output: str) -> None:
    """Start a notebook.

    With --wait the last line is the URL to open, its token included.
    """
    identity = notebook_id(here, notebook)
    if discard and not yes:
        _agree(here, identity)
    begun = here.terminal.now()
    here.client.start_notebook(identity, discard=discard)
    if wait if wait is not None else here.terminal.watched():
        show_entry(here, wait_until_running(here, identity, begun), output)
    else:
        show_changed(here, identity, output)


def _agree(here: Here, identity: str) -> None:
    """What is given up is gone for good: ask before."""
    found = here.client.get_notebook(identity).value
    if found.status.state not in _MAY_HOLD:  # there is nothing to give up
        return
    if not here.terminal.answers():
        raise Declined(
            f"notebook {found.spec.name} may hold the only copy of data; without a terminal to ask on, giving it up "
            "takes --discard --yes"
        )
    click.confirm(
        f"Notebook {found.spec.name} may hold changes that could not be carried back, or that no new data goes over. "
        "Give them up and start it?",
        abort=True,
        err=True,
    )
