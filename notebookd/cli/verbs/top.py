# SPDX-License-Identifier: Apache-2.0
"""``notebookctl top``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from notebookd.cli.guard import raw
from notebookd.cli.here import Here, Verb, pass_here
from notebookd.cli.output import Table, emit
from notebookd.cli.top import sight

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from notebookd.cli.top.sight import Seen


@click.command("top", cls=Verb)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=3600),
    default=1.0,
    show_default=True,
    metavar="SECONDS",
    help="How long between two looks.",
)
@click.option("--once", is_flag=True, help="Show it once, and leave.")
@click.option("--svg", type=click.Path(path_type=Path, dir_okay=False), hidden=True, help="Draw it once, into a file.")
@click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "yaml"]),
    default="table",
    show_default=True,
    help="How to write the result; json and yaml are shown once, and hold the daemon's answers.",
)
@pass_here
def verb(here: Here, *, interval: float, once: bool, svg: Path | None, output: str) -> None:
    """Watch the GPUs, who uses them, and who waits.

    A view of the whole screen: each GPU with its use, its holder, strangers on it and what is wrong with it; who waits
    for what; the notebooks with the CPUs, memory and disk that they take. Without a terminal it is shown once.

    \b
    Keys:
      q, Esc, Ctrl-C   leave
      s, S             sort the notebooks by the next, the last: age, cpu, memory, disk, ends, owner, name
      r                the other way round
      /                show only what has these letters in a name, an owner or a state; Enter keeps it, Esc shows all
      e                open or close what is wrong with the daemon
      x                dismiss it, until something else is wrong
    """
    if output != "table":
        seen = sight.look(here.client, here.terminal.now)
        _must_be_there(seen)
        emit(output, sight.as_json(seen), Table((), []))
        return
    from rich.console import Console

    console = Console(file=raw(sys.stdout), highlight=False)
    if svg is not None:
        _draw_svg(here, svg)
    elif once or not console.is_terminal or console.is_dumb_terminal:
        seen = sight.look(here.client, here.terminal.now)
        _must_be_there(seen)
        for line in _frame(here, seen, console, console.width, None, ""):
            console.print(line, soft_wrap=True)
    else:
        _watch(here, console, interval)


def _must_be_there(seen: Seen) -> None:
    """Without its board there is nothing to show: then that is the command's error."""
    trouble = seen.troubles().get("gpu")
    if trouble is not None:
        raise trouble


def _frame(
    here: Here, seen: Seen, console: Console, width: int, height: int | None, foot: str, **kept: Any
) -> list[Text]:
    from notebookd.cli.top import frame, ink

    signs = ink.UNICODE if console.encoding.startswith("utf") else ink.ASCII
    return frame.draw(seen, width=width, height=height, now=here.terminal.local_now(), signs=signs, foot=foot, **kept)


def _watch(here: Here, console: Console, interval_s: float) -> None:
    from notebookd.cli.top.past import Past
    from notebookd.cli.top.screen import Bell, show
    from notebookd.cli.top.view import View

    bell, view, past = Bell(), View(), Past()
    foot = f"every {interval_s:g} s"
    with sight.looking(here.client, here.terminal.now, interval_s, bell.ring) as seen:
        number = show(
            lambda width, height: _frame(here, seen(), console, width, height, foot, view=view, past=past),
            console,
            bell,
            interval_s,
            view.press,
        )
    if number:
        raise SystemExit(128 + number)


def _draw_svg(here: Here, file: Path) -> None:
    """The frame as a picture that needs nothing from elsewhere: without the web font that rich's asks for. What is
    wrong with the daemon that it is drawn from is dismissed: it says nothing to who looks at the picture."""
    import io
    import re

    from rich.console import Console

    from notebookd.cli.top.view import View

    seen = sight.look(here.client, here.terminal.now)
    _must_be_there(seen)
    view = View()
    if seen.health.value is not None and view.ailing(seen.health.value):
        view.press(b"x")
    console = Console(file=io.StringIO(), record=True, width=120, force_terminal=True, color_system="truecolor")
    for line in _frame(here, seen, console, console.width, None, "", view=view):
        console.print(line, soft_wrap=True)
    picture = console.export_svg(title="notebookctl top")
    file.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL))
