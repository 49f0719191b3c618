# SPDX-License-Identifier: Apache-2.0
"""``notebookctl chown``."""

from __future__ import annotations

import click

from notebookd.cli.here import Here, Verb, completes, output_option, pass_here
from notebookd.cli.output import Table, clean, counted, emit

__all__ = ["verb"]

COLUMNS = ("FROM", "TO", "UID", "NOTEBOOKS", "TOKENS ENDED")


@click.command("chown", cls=Verb)
@click.argument("old", shell_complete=completes("owners"))
@click.argument("new", shell_complete=completes("owners"))
@output_option
@pass_here
def verb(here: Here, *, old: str, new: str, output: str) -> None:
    """Give what is one owner's to another, for admins.

    All notebooks of OLD become NEW's, with their files. They must be stopped; each gets another URL at its next start.
    The app tokens of OLD end. What was used until now stays on the bill of OLD.

    When a user has left and somebody else has the name now, `chown NAME NAME` gives them what the earlier one left, and
    `chown NAME SOMEBODY` gives it to somebody else. Until then who has the name now is refused.
    """
    reply = here.client.chown(old, new)
    made = reply.value
    row = (made.from_, made.to, str(made.uid), str(made.notebooks), str(made.tokens))
    text = f"{clean(made.to)} (uid {made.uid}) has {counted(made.notebooks, 'notebook')} of {clean(made.from_)} now"
    if made.tokens:
        text += f"; {counted(made.tokens, 'app token')} ended"
    emit(output, reply.body, Table(COLUMNS, [row]), text)
