# SPDX-License-Identifier: Apache-2.0
"""``notebookctl extend``."""

from __future__ import annotations

import click

from notebookd.cli import words
from notebookd.cli.here import Here, Verb, completes_among, notebook_argument, output_option, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.cli.output import ahead, clean, moment
from notebookd.cli.result import show_changed


@click.command("extend", cls=Verb)
@notebook_argument
@click.argument(
    "duration", required=False, metavar="[DURATION]", shell_complete=completes_among(("12h", "1d", "2d", "1w"))
)
@click.option("--until", metavar="WHEN", help="The time itself: 18:00, fri 18:00, tomorrow, 2026-12-01 9:00.")
@output_option
@pass_here
def verb(here: Here, *, notebook: str, duration: str | None, until: str | None, output: str) -> None:
    """Let a running notebook run longer.

    DURATION (12h, 2d, 1w) is added to its deadline as it stands. WHEN is in your time zone; of a day alone the end is
    meant. The container is not touched.
    """
    if (duration is None) == (until is None):
        hint = f'; of two words in quotes: --until "{until} {duration}"' if until else ""
        raise click.UsageError(f"give a DURATION or --until, one of the two{hint}")
    if duration is not None:
        words.span(duration, "DURATION")
    until = words.instant(until, here.terminal, "--until", ahead=True, through=True)
    identity = notebook_id(here, notebook)
    timeout_at = here.client.extend_notebook(identity, duration=duration, until=until).value.timeout_at
    left = ahead(timeout_at, here.terminal.now())
    here.terminal.note(f"{clean(notebook)} runs until {moment(timeout_at, here.terminal.zone())}, {left}")
    show_changed(here, identity, output)
