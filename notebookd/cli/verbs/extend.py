# SPDX-License-Identifier: Apache-2.0
"""``notebookctl extend``."""

from __future__ import annotations

import click

from notebookd.cli.here import Here, Verb, notebook_argument, output_option, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.cli.result import show_changed


@click.command("extend", cls=Verb)
@notebook_argument
@click.argument("duration", required=False, metavar="[DURATION]")
@click.option("--until", metavar="TIME", help="The time itself, as 2026-11-29T10:00:00Z.")
@output_option
@pass_here
def verb(here: Here, *, notebook: str, duration: str | None, until: str | None, output: str) -> None:
    """Let a running notebook run longer.

    DURATION (12h, 2d) is added to its deadline as it stands. The container is not touched.
    """
    if (duration is None) == (until is None):
        raise click.UsageError("give a DURATION or --until, one of the two")
    identity = notebook_id(here, notebook)
    timeout_at = here.client.extend_notebook(identity, duration=duration, until=until).value.timeout_at
    here.terminal.note(f"{notebook} runs until {timeout_at}")
    show_changed(here, identity, output)
