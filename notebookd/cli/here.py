# SPDX-License-Identifier: Apache-2.0
"""What every verb is given (the client, the terminal) and the options that they share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from notebookd.cli.terminal import Terminal
from notebookd.client import Client
from notebookd.spelling import did_you_misspell

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

__all__ = [
    "Declined",
    "EndedBadly",
    "Family",
    "Here",
    "Verb",
    "completes",
    "completes_among",
    "look",
    "notebook_argument",
    "output_option",
    "pass_here",
    "require_here",
    "stay_option",
    "volume_argument",
    "wait_option",
    "watch_option",
]

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
Completer = Callable[[click.Context, click.Parameter, str], "list[CompletionItem]"]

WATCH_EVERY_S = 2.0


@dataclass(frozen=True, slots=True)
class Here:
    """The daemon that the command speaks to and the terminal it runs on."""

    client: Client
    terminal: Terminal


pass_here = click.make_pass_decorator(Here)


class Declined(click.ClickException):
    """What was asked for was well written, and does not fit what there is: exit code 2, without a word on usage."""

    exit_code = 2

    def show(self, file: Any = None) -> None:  # noqa: ARG002 - click's signature
        """In the form of every other refusal."""
        click.echo(f"notebookctl: {self.format_message()}", err=True)


def require_here(here: Here, what: str) -> None:
    """:class:`Declined` where the daemon is at a gateway's port: ``what`` looks at the machine that it runs on."""
    if here.client.address.path is None:
        raise Declined(
            f"{what} looks at the machine that it runs on: log in there, and do it without --socket http://…"
        )


class EndedBadly(Exception):
    """What was waited for will not come."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Verb(click.Command):
    """A command that takes ``--socket`` after its name too, and lets ``equals`` options stand without a value.

    click would take the word after ``--restart-on-timeout`` for its value; here only ``=`` gives one, as in ovhai.
    """

    def __init__(self, *args: Any, equals: tuple[str, ...] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._equals = equals
        self.params.append(
            click.Option(["--socket"], metavar="PATH|URL", hidden=True, expose_value=False, callback=_other_socket)
        )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Examples, and what the exit codes mean."""
        write_ending(ctx, formatter)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Give a bare ``equals`` option its ``=true`` before click sees it."""
        end = args.index("--") if "--" in args else len(args)
        head = [f"{word}=true" if word in self._equals else word for word in args[:end]]
        return super().parse_args(ctx, head + args[end:])


def write_ending(ctx: click.Context, formatter: click.HelpFormatter) -> None:
    """What the help of a verb ends with, and that of the program."""
    from notebookd.cli.examples import examples_of, exit_codes_of

    verb = ctx.command_path.partition(" ")[2]
    if lines := examples_of(verb):
        with formatter.section("Examples"):
            for line in lines:
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
    with formatter.section("Exit codes"):
        formatter.write_dl(exit_codes_of(verb))


class Family(click.Group):
    """A group of verbs: to a word that is none of them it says which one was meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click has it, but for the hint."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = did_you_misspell(args[0], self.list_commands(ctx))
            if near is None:
                raise
            raise click.UsageError(f"there is no verb {args[0]!r}: {near}", ctx) from error


def _other_socket(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    here = ctx.find_object(Here)
    if value is not None and here is not None:
        ctx.obj = Here(client=Client(value), terminal=here.terminal)


def output_option(command: F) -> F:
    """``-o``: how the result is written to stdout."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(["table", "json", "yaml", "csv"]),
        default="table",
        show_default=True,
        help="How to write the result; json is exactly the daemon's answer.",
    )(command)


def watch_option(command: F) -> F:
    """``--watch``: for :func:`look`."""
    return click.option("--watch", is_flag=True, help="Show it again every two seconds.")(command)


def look(here: Here, ask: Callable[[], T], show: Callable[[T], None], *, watch: bool) -> None:
    """Show what is answered; to ``watch``, every two seconds anew on an empty screen."""
    while True:
        answer = ask()
        if watch:
            here.terminal.clear()
        show(answer)
        if not watch:
            return
        here.terminal.sleep(WATCH_EVERY_S)


def wait_option(command: F) -> F:
    """``--wait``: whether to stay until it is so."""
    return click.option(
        "--wait/--no-wait", "wait", default=None, help="Wait until it is so. [default: only on a terminal]"
    )(command)


def stay_option(command: F) -> F:
    """``--wait``: whether to stay until it is over, which is what one wants of what is asked for by itself."""
    return click.option("--wait/--no-wait", "wait", default=True, help="Wait until it is over. [default: wait]")(
        command
    )


def completes(name: str) -> Completer:
    """What a TAB offers, by the name of a function of :mod:`notebookd.cli.completing`, which only a TAB loads."""

    def complete(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from notebookd.cli import completing

        found: list[CompletionItem] = getattr(completing, name)(ctx, incomplete)
        return found

    return complete


def completes_among(words: Iterable[str]) -> Completer:
    """The same with these words, several of which commas may part."""

    def complete(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from notebookd.cli import completing

        return completing.among(words, incomplete)

    return complete


def notebook_argument(command: F) -> F:
    """``NOTEBOOK``: an id, a unique prefix of one, a name, or ``OWNER/NAME``."""
    return click.argument("notebook", shell_complete=completes("notebooks"))(command)


def volume_argument(command: F) -> F:
    """``[VOLUME]``: a mount path or an id of a volume of the notebook's; all of them without."""
    return click.argument("volume", required=False, metavar="[VOLUME]", shell_complete=completes("volumes"))(command)
