# SPDX-License-Identifier: Apache-2.0
"""``notebookctl config``."""

from __future__ import annotations

import json
from typing import Any

import click

from notebookd.cli.daemon_program import become_daemon_program
from notebookd.cli.here import Family, Here, Verb, output_option, pass_here, require_here
from notebookd.cli.output import Table, emit

WIDEST = 60


@click.group("config", cls=Family)
def verb() -> None:
    """Show or check the daemon's configuration."""


@verb.command("show", cls=Verb)
@output_option
@pass_here
def show(here: Here, *, output: str) -> None:
    """Show what is in force, without secrets.

    To admins all of it, and whether a value is from the file or a default; to members what concerns them.
    """
    reply = here.client.config()
    shorten = _short if output == "table" else str
    rows = [(each.key, shorten(_text(each.value)), each.source or "") for each in reply.value.items]
    emit(output, reply.body, Table(("KEY", "VALUE", "SOURCE"), rows))


@verb.command("check", cls=Verb)
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to write the result.")
@click.argument("file", required=False, type=click.Path())
@pass_here
def check(here: Here, *, output: str, file: str | None) -> None:
    """Name every fault of FILE, or of the installed configuration, also with the daemon down.

    Users, groups, flavors, folders and files that it names and that are not there are warnings: it can be used.

    This is "notebookd check-config". A daemon that runs has what it read last: see "show".
    """
    if file is None:
        require_here(here, "config check without a FILE")
    extra = ["--json"] if output == "json" else []
    become_daemon_program(["check-config", *extra, *([] if file is None else ["--", file])])


def _short(text: str) -> str:
    """What fits a line of a table: the other outputs have it whole."""
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case dict():
            return ", ".join(f"{name} = {_text(each)}" for name, each in value.items())
        case _:
            return json.dumps(value, ensure_ascii=False)
