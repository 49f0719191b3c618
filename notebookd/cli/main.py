# SPDX-License-Identifier: Apache-2.0
"""``notebookctl``: the table of verbs, and what errors become.

A verb's module is imported when the verb is used, so that ``notebookctl list`` costs no more than it needs. Exit codes:
0; 1 the daemon refused; 2 usage; 3 the daemon is not reachable; 4 waited, and it ended badly.
"""

from __future__ import annotations

import importlib
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import click

from notebookd import __version__
from notebookd.cli.guard import guarded
from notebookd.cli.here import EndedBadly, Family, Here, write_ending
from notebookd.cli.output import clean, localised
from notebookd.cli.terminal import Terminal
from notebookd.client import DEFAULT_SOCKET, Client, ClientError, Forbidden, Refused, Unreachable

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = ["cli", "main"]

VERBS = {
    "run": ("run", "Create a notebook and start it."),
    "list": ("listing", "List notebooks."),
    "get": ("get", "Show a notebook."),
    "start": ("start", "Start a notebook."),
    "stop": ("stop", "Stop a notebook; its workspace stays."),
    "restart": ("restart", "Restart a running notebook in place."),
    "extend": ("extend", "Let a running notebook run longer."),
    "delete": ("delete", "Delete a notebook and its workspace."),
    "patch": ("patch", "Change a notebook's spec."),
    "rename": ("rename", "Give a notebook another name."),
    "push-data": ("push_data", "Carry a notebook's changed data back."),
    "pull-data": ("pull_data", "Bring a notebook's data in anew."),
    "cp": ("copy", "Copy files into a notebook's workspace, or out of it."),
    "rm": ("remove", "Remove files of a notebook's workspace."),
    "snapshot": ("snapshot", "List, fork or check snapshots of a workspace."),
    "datastore": ("datastore", "Show the datastores, and what is in them."),
    "label": ("label", "Set or remove labels of a notebook."),
    "logs": ("logs", "Show what the editor wrote."),
    "exec": ("execute", "Run a command in a notebook."),
    "url": ("url", "Print a notebook's URL, its token included."),
    "open": ("opening", "Open a notebook in the browser."),
    "why": ("why", "Explain a notebook's state."),
    "events": ("events", "Show what happened."),
    "gpu": ("gpu", "Show the GPUs: who holds them, what runs on them."),
    "top": ("top", "Watch the GPUs, who uses them, and who waits."),
    "queue": ("queue", "Show the waiting notebooks."),
    "usage": ("usage", "Show what was used, and what it costs; with `disk`, who fills the disk."),
    "receipt": ("receipt", "Show the bill of a notebook's run."),
    "image": ("image", "Show the images that notebooks are made of, and see to them."),
    "capabilities": ("capabilities", "Show what notebooks can be made of."),
    "backup": ("backup", "Write a copy of the daemon's database to a file."),
    "chown": ("chown", "Give what is one owner's to another, for admins."),
    "token": ("token", "Make and end app tokens, by which programs act for you."),
    "me": ("me", "Show who you are to the daemon."),
    "config": ("config", "Show or check the daemon's configuration."),
    "doctor": ("doctor", "Check the machine, also with the daemon down."),
    "bugreport": ("bugreport", "Bundle what a bug report needs, without secrets."),
    "completion": ("completion", "Print the completion script of a shell."),
}
_FIELD = re.compile(r"^\$(query)?\.?(?=.)|^\$")
_TOKENS_ACTOR = "you act by the token in NOTEBOOKD_TOKEN, which is never an admin: unset it to act as your account"
ALIASES = {"ls": "list"}
NAMING = frozenset({"run", "delete", "rename", "snapshot", "token", "gpu", "image", "chown"})
"""Verbs after which there are other names than before: what is kept of them for completion is forgotten."""


class Verbs(Family):
    """The group of verbs, each imported on use, and the one place where errors become exit codes."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """The program. A shell that completes is offered nothing that steers it."""
        if "_NOTEBOOKCTL_COMPLETE" in os.environ:
            from notebookd.cli.shells import offer_printable

            offer_printable()
        return super().main(*args, **extra)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The verbs of the table: to offer them, none is imported."""
        from click.shell_completion import CompletionItem

        named = [CompletionItem(name, help=text) for name, (_, text) in VERBS.items() if name.startswith(incomplete)]
        return named if incomplete and named else [*named, *click.Command.shell_complete(self, ctx, incomplete)]

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The verbs, in the order of the table."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """Import a verb."""
        name = ALIASES.get(cmd_name, cmd_name)
        if name not in VERBS:
            return None
        module = importlib.import_module(f"notebookd.cli.verbs.{VERBS[name][0]}")
        verb: click.Command = module.verb
        return verb

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        """Write the table without importing a verb."""
        with formatter.section("Verbs"):
            others = {name: alias for alias, name in ALIASES.items()}
            formatter.write_dl(
                [(f"{name}, {others[name]}" if name in others else name, text) for name, (_, text) in VERBS.items()]
            )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What the exit codes mean."""
        write_ending(ctx, formatter)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; say what went wrong, and what to do about it, on stderr."""
        try:
            return super().invoke(ctx)
        except EndedBadly as error:
            _say_how_it_ended(error)
            ctx.exit(4)
        except KeyboardInterrupt:  # the way to leave --watch and --follow; what was asked of the daemon goes on
            ctx.exit(130)
        except ClientError as error:
            _say_what_went_wrong(ctx, error)
            ctx.exit(3 if isinstance(error, Unreachable) else 1)
        except UnicodeEncodeError as error:
            raise click.UsageError("an argument is not valid UTF-8") from error
        finally:
            if ctx.invoked_subcommand in NAMING:
                from notebookd.cli.remembered import forget

                forget()


def _say_what_went_wrong(ctx: click.Context, error: ClientError) -> None:
    here = ctx.find_object(Here)
    zone = here.terminal.zone() if here else None
    code = f" ({error.code})" if isinstance(error, Refused) else ""
    message, faults = _faults_apart(error)
    click.echo(f"notebookctl: {clean(localised(message, zone))}{code}", err=True)
    for fault in faults:
        click.echo(f"  {clean(localised(fault, zone))}", err=True)
    hint = error.hint or (_TOKENS_ACTOR if isinstance(error, Forbidden) and os.environ.get("NOTEBOOKD_TOKEN") else None)
    if hint:
        click.echo(f"hint: {clean(localised(hint, zone))}", err=True)


def _faults_apart(error: ClientError) -> tuple[str, list[str]]:
    """The message, and the faults that are named in it, each for a line of its own; a single one stays in it. People
    see the name of what is wrong, and not where it stands in a JSON body."""
    found = error.details.get("faults") if isinstance(error, Refused) else None
    rows = [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []
    listed = "; ".join(f"{each.get('path')}: {each.get('message')}" for each in rows)
    faults = [_FIELD.sub("", f"{each.get('path')}: {each.get('message')}") for each in rows]
    head = error.message.removesuffix(f": {listed}") if rows else error.message
    if len(faults) == 1 and head != error.message:
        return f"{head}: {faults[0]}", []
    return head, faults


def _say_how_it_ended(error: EndedBadly) -> None:
    click.echo(clean(f"notebookctl: {error.message}"), err=True)
    click.echo(f"hint: {error.hint}", err=True)


@click.group(
    cls=Verbs,
    name="notebookctl",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.option(
    "--socket",
    metavar="PATH|URL",
    envvar="NOTEBOOKD_SOCKET",
    default=DEFAULT_SOCKET,
    show_default=True,
    show_envvar=True,
    help="The daemon's socket; from elsewhere its gateway, as http://localhost:8421 at the end of a tunnel.",
)
@click.version_option(__version__, prog_name="notebookctl")
@click.pass_context
def cli(ctx: click.Context, socket: str) -> None:
    """Notebooks on this machine.

    A NOTEBOOK is named by its id, a unique prefix of it, or its name. Admins name those of others by OWNER/NAME, or by
    the name alone where nobody else has it.

    With NOTEBOOKD_TOKEN, an app token, you act as its owner instead of as your account: a gateway lets in nobody
    without.
    """
    terminal = ctx.obj if isinstance(ctx.obj, Terminal) else Terminal()
    ctx.obj = Here(client=Client(socket), terminal=terminal)


def main() -> None:
    """The entry point."""
    with guarded("notebookctl"):
        cli.main(args=[_as_utf8(word) for word in sys.argv[1:]], prog_name="notebookctl")


def _as_utf8(word: str) -> str:
    """An argument as it was typed, where the locale's encoding lacks letters that UTF-8 has."""
    try:
        return os.fsencode(word).decode() if any("\udc80" <= letter <= "\udcff" for letter in word) else word
    except UnicodeDecodeError:
        return word
