# SPDX-License-Identifier: Apache-2.0
"""``notebookctl label``."""

from __future__ import annotations

import click

from notebookd.cli.here import Here, Verb, notebook_argument, output_option, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.cli.result import show_changed


@click.command("label", cls=Verb)
@notebook_argument
@click.argument("labels", nargs=-1, required=True, metavar="NAME=VALUE... | NAME VALUE | NAME=...")
@output_option
@pass_here
def verb(here: Here, *, notebook: str, labels: tuple[str, ...], output: str) -> None:
    """Set or remove labels of a notebook.

    NAME=VALUE sets, NAME= removes. One label can also be given as two words.
    """
    updates = _updates(labels)
    identity = notebook_id(here, notebook)
    for name, value in updates:
        here.client.label_notebook(identity, name, value)
    show_changed(here, identity, output)


def _updates(labels: tuple[str, ...]) -> list[tuple[str, str | None]]:
    if len(labels) == 2 and "=" not in labels[0]:
        return [(labels[0], labels[1] or None)]
    updates: list[tuple[str, str | None]] = []
    for word in labels:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{word!r} is not of the form NAME=VALUE (NAME= removes it)", param_hint="LABELS")
        updates.append((name, value or None))
    return updates
