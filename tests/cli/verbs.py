# SPDX-License-Identifier: Apache-2.0
"""Every verb of the CLI, as the CLI itself has them."""

from __future__ import annotations

from collections.abc import Iterator

import click

from notebookd.cli.main import cli


def verbs(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The words of each verb, and its command."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from verbs(command, (*path, name))
        else:
            yield (*path, name), command
