# SPDX-License-Identifier: Apache-2.0
"""``notebookctl list``."""

from __future__ import annotations

import click
import msgspec

from notebookd import wire
from notebookd.cli import notebooks
from notebookd.cli.here import Here, Verb, look, output_option, pass_here, watch_option
from notebookd.cli.output import emit
from notebookd.client import Reply


@click.command("list", cls=Verb)
@click.option("--states", metavar="A,B", help="Only those in one of these states.")
@click.option("--all", "everybody", is_flag=True, help="Every owner's (admins).")
@watch_option
@output_option
@pass_here
def verb(here: Here, *, states: str | None, everybody: bool, watch: bool, output: str) -> None:
    """List notebooks."""
    wanted = [state.strip().upper() for state in (states or "").split(",") if state.strip()]
    user = None
    if not everybody:  # only an admin is shown other people's, and has to be asked to
        me = here.client.me().value
        user = me.name if me.role == "administrator" else None
    look(
        here,
        lambda: _all_pages(here, wanted, user),
        lambda reply: emit(
            output, reply.body, notebooks.table(reply.value.items, here.terminal.now(), owners=everybody)
        ),
        watch=watch,
    )


def _all_pages(here: Here, states: list[str], user: str | None) -> Reply[wire.NotebookList]:
    """The list. It is the daemon's answer as it came, unless there are more than one page holds."""
    reply = here.client.list_notebooks(states=states, user=user)
    pages = reply.value.metadata.page_count
    if pages <= 1:
        return reply
    whole = msgspec.json.decode(reply.body)
    for page in range(2, pages + 1):
        whole["items"] += msgspec.json.decode(here.client.list_notebooks(page=page, states=states, user=user).body)[
            "items"
        ]
    whole["metadata"] |= {"pageCount": 1, "links": {}}
    return Reply(wire.encode(whole), wire.NotebookList)
