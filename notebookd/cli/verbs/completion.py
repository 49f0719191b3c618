# SPDX-License-Identifier: Apache-2.0
"""``notebookctl completion``."""

from __future__ import annotations

import click

from notebookd.cli.here import Verb


@click.command("completion", cls=Verb)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def verb(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    For bash: source <(notebookctl completion bash)
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None, "the choices above are click's own"
    click.echo(kind(ctx.find_root().command, {}, "notebookctl", "_NOTEBOOKCTL_COMPLETE").source())
