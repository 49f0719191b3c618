# SPDX-License-Identifier: Apache-2.0
"""``notebookctl delete``."""

from __future__ import annotations

import click

from notebookd.cli.here import Declined, Here, Verb, notebook_argument, pass_here, wait_option
from notebookd.cli.naming import notebook_id
from notebookd.cli.waiting import wait_until_deleted

HARMLESS = frozenset({"STOPPED", "FAILED", "ERROR", "DELETING"})


@click.command("delete", cls=Verb)
@notebook_argument
@click.option("--force", is_flag=True, help="Also when it is active: it is stopped, and nothing is pushed.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@wait_option
@pass_here
def verb(here: Here, *, notebook: str, force: bool, yes: bool, wait: bool | None) -> None:
    """Delete a notebook and its workspace."""
    identity = notebook_id(here, notebook)
    begun = here.terminal.now()
    here.client.delete_notebook(identity, force=_agreed(here, identity, force=force, yes=yes))
    if wait if wait is not None else here.terminal.watched():
        wait_until_deleted(here, identity, begun)


def _agreed(here: Here, identity: str, *, force: bool, yes: bool) -> bool:
    """Whether to force it. An active notebook, or one that holds the only copy of data, is not deleted by the way."""
    found = here.client.get_notebook(identity).value
    state = found.status.state
    if state in HARMLESS:
        return force
    if not here.terminal.answers():
        if not (yes and force):
            raise Declined(
                f"notebook {found.spec.name} is {state}; without a terminal to ask on, deleting it takes --yes --force"
            )
        return True
    loss = "holds data that could not be pushed" if state == "SYNC_FAILED" else "and nothing is pushed"
    if not yes:
        click.confirm(
            f"Notebook {found.spec.name} is {state}, {loss}. Delete it and its workspace?", abort=True, err=True
        )
    return True
