# SPDX-License-Identifier: Apache-2.0
"""``notebookctl stop``."""

from __future__ import annotations

import click

from notebookd import wire
from notebookd.cli.here import Declined, EndedBadly, Here, Verb, completes, output_option, pass_here, wait_option
from notebookd.cli.naming import notebook_id
from notebookd.cli.output import clean, counted
from notebookd.cli.result import show_changed, show_notebook
from notebookd.cli.waiting import wait_until_stopped
from notebookd.client import ClientError, NotFound

ACTIVE = ("STARTING", "RUNNING", "RESTARTING")
_NAMED = 10


@click.command("stop", cls=Verb)
@click.argument("notebook", required=False, metavar="[NOTEBOOK]", shell_complete=completes("notebooks"))
@click.option("--all", "everybody", is_flag=True, help="All that you may see: of an admin, everybody's. Asks before.")
@click.option(
    "--owner", metavar="NAME", shell_complete=completes("owners"), help="All of this owner (admins). Asks before."
)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
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
def verb(
    here: Here,
    *,
    notebook: str | None,
    everybody: bool,
    owner: str | None,
    yes: bool,
    at_once: bool,
    wait: bool | None,
    output: str,
) -> None:
    """Stop a notebook; its workspace stays."""
    if [notebook is not None, everybody, owner is not None].count(True) != 1:
        raise click.UsageError("name a NOTEBOOK, or say --all or --owner NAME: one of them")
    waits = wait if wait is not None else here.terminal.watched()
    if notebook is not None:
        _stop_one(here, notebook_id(here, notebook), at_once=at_once, wait=waits, output=output)
        return
    if output != "table":
        raise click.UsageError("--output shows one notebook: it goes with neither --all nor --owner")
    states = (*ACTIVE, "STOPPING") if at_once else ACTIVE
    found = list(here.client.each_notebook(states=states, user=owner))
    if not found:
        here.terminal.note("nothing runs that could be stopped")
    elif yes or _agreed(here, found):
        _stop_many(here, found, at_once=at_once, wait=waits)


def _stop_one(here: Here, identity: str, *, at_once: bool, wait: bool, output: str) -> None:
    begun = here.terminal.now()
    here.client.stop_notebook(identity, at_once=at_once)
    if not wait:
        show_changed(here, identity, output)
        return
    reply = wait_until_stopped(here, identity, begun)
    if output != "table":
        show_notebook(here, reply, output)


def _agreed(here: Here, found: list[wire.Notebook]) -> bool:
    """Whether these are meant: it is asked, and where nobody can be it takes ``--yes``."""
    names = ", ".join(map(_name, found[:_NAMED])) + (f" and {len(found) - _NAMED} more" if found[_NAMED:] else "")
    these = f"{counted(len(found), 'notebook')} of {counted(len({each.user for each in found}), 'owner')}: {names}"
    if not here.terminal.answers():
        raise Declined(clean(f"these are {these}; without a terminal to ask on, stopping them takes --yes"))
    return click.confirm(clean(f"Stop {these}?"), abort=True, err=True)


def _stop_many(here: Here, found: list[wire.Notebook], *, at_once: bool, wait: bool) -> None:
    """All are asked to before one is waited for, and one that cannot be stopped keeps no other from it."""
    begun = here.terminal.now()
    stopping, failed = [], 0
    for each in found:
        try:
            here.client.stop_notebook(each.id, at_once=at_once)
        except NotFound:  # it was deleted meanwhile
            continue
        except ClientError as error:
            here.terminal.note(clean(f"{_name(each)}: {error.message}"))
            failed += 1
        else:
            here.terminal.note(clean(f"stopping {_name(each)}"))
            stopping.append(each)
    for each in stopping if wait else []:
        try:
            wait_until_stopped(here, each.id, begun)
        except EndedBadly as error:
            here.terminal.note(clean(f"{error.message}; {error.hint}"))
            failed += 1
    if failed:
        raise ClientError(f"{failed} of {counted(len(found), 'notebook')} could not be stopped")


def _name(notebook: wire.Notebook) -> str:
    return f"{notebook.user}/{notebook.spec.name}"
