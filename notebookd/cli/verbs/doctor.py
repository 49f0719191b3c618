# SPDX-License-Identifier: Apache-2.0
"""``notebookctl doctor``."""

from __future__ import annotations

import click

from notebookd.cli.daemon_program import become_daemon_program
from notebookd.cli.here import Here, Verb, pass_here, require_here


@click.command("doctor", cls=Verb, context_settings={"ignore_unknown_options": True})
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to write the result.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@pass_here
def verb(here: Here, *, output: str, arguments: tuple[str, ...]) -> None:
    """Check the machine, also with the daemon down.

    This is "notebookd doctor", and takes its arguments.
    """
    require_here(here, "the doctor")
    extra = ["--json"] if output == "json" else []
    become_daemon_program(["doctor", *extra, *arguments])
