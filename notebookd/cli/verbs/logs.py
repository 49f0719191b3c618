# SPDX-License-Identifier: Apache-2.0
"""``notebookctl logs``."""

from __future__ import annotations

import click

from notebookd.cli import words
from notebookd.cli.here import Here, Verb, notebook_argument, output_option, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.cli.output import Table, emit
from notebookd.cli.stream import follow
from notebookd.wire import LogLine

COLUMNS = ("TIMESTAMP", "CONTENT")


@click.command("logs", cls=Verb)
@notebook_argument
@click.option("-f", "--follow", "following", is_flag=True, help="Go on while lines come.")
@click.option("--since", metavar="WHEN", help="A time, or a span before now such as 10m.")
@click.option("--tail", type=click.IntRange(min=0), help="At most so many of the last lines.")
@click.option("-t", "--timestamps", is_flag=True, help="Put the time before each line.")
@output_option
@pass_here
def verb(
    here: Here,
    *,
    notebook: str,
    following: bool,
    since: str | None,
    tail: int | None,
    timestamps: bool,
    output: str,
) -> None:
    """Show what the editor wrote.

    On a terminal its control characters are shown and not obeyed. Into a pipe they go as they are: "| less -R" has the
    colours.
    """
    start = words.instant(since, here.terminal, "--since")
    identity = notebook_id(here, notebook)

    def text(line: LogLine) -> str:
        return f"{line.timestamp} {line.content}" if timestamps else line.content

    def row(line: LogLine) -> tuple[str, ...]:
        return (line.timestamp, line.content)

    if following:
        follow(output, here.client.follow_log(identity, since=start, tail=tail), COLUMNS, row, text)
        return
    reply = here.client.log(identity, since=start, tail=tail)
    lines = reply.value.logs
    if lines or output != "table":
        emit(output, reply.body, Table(COLUMNS, [row(line) for line in lines]), "\n".join(text(line) for line in lines))
