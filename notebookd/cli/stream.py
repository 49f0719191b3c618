# SPDX-License-Identifier: Apache-2.0
"""How results that come one after the other are written: each as it comes."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from typing import TypeVar

import click

from notebookd.cli.output import Table, emit
from notebookd.client import Reply

__all__ = ["follow"]

T = TypeVar("T")


def follow(
    output: str,
    replies: Generator[Reply[T], None, None],
    columns: Sequence[str],
    row: Callable[[T], Sequence[str]],
    text: Callable[[T], str],
    header: str = "",
) -> None:
    """Write each item as a line (text, JSON, CSV) or a YAML document, until there are no more; text has the ``header``
    before it."""
    with contextlib.closing(replies):
        if header:
            click.echo(header)
        if output == "csv":
            click.echo(Table(columns, []).csv())
        for reply in replies:
            match output:
                case "csv":
                    click.echo(Table(columns, [row(reply.value)]).csv().partition("\n")[2])
                case "yaml":
                    click.echo("---")
                    emit(output, reply.body, Table(columns, []))
                case "json":
                    click.echo(reply.body)
                case _:
                    click.echo(
                        text(reply.value), color=True
                    )  # with every code in it: what may not be obeyed, the guard shows
