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

    The package has installed it already. Elsewhere, in the shell's own file of settings:

    \b
    bash  source <(notebookctl completion bash)
    zsh   source <(notebookctl completion zsh), after compinit
    fish  notebookctl completion fish | source

    What the daemon answers is kept for ten seconds in ~/.cache/notebookctl.
    """
    from click.shell_completion import get_completion_class

    from notebookd.cli.shells import offer_printable

    offer_printable()
    kind = get_completion_class(shell)
    assert kind is not None, "the choices above are click's own"
    click.echo(kind(ctx.find_root().command, {}, "notebookctl", "_NOTEBOOKCTL_COMPLETE").source())
