# SPDX-License-Identifier: Apache-2.0
"""``notebookctl events``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import click

from notebookd import wire
from notebookd.cli import words
from notebookd.cli.here import Here, Verb, completes, output_option, pass_here
from notebookd.cli.naming import notebook_id
from notebookd.cli.output import clean, elided, localised, wrapped
from notebookd.cli.stream import follow
from notebookd.client import ClientError

COLUMNS = ("ID", "AT", "ACTOR", "TYPE", "NOTEBOOK", "BEFORE", "AFTER", "NAME", "GPU", "DETAILS")
_SHOWN = ("ID", "AT", "ACTOR", "TYPE", "NOTEBOOK", "WHAT")
_WIDTHS = (6, 19, 10, 18, 16)
_ROOMY = 110  # columns, from which on what happened stands beside what it happened to
_GPU_LETTERS = 12
_OWN_COLUMN = frozenset({"gpu", "message", "runState"})


@click.command("events", cls=Verb)
@click.option("-f", "--follow", "following", is_flag=True, help="Go on while events come.")
@click.option("--after", type=int, metavar="ID", help="Only those after this one.")
@click.option("--since", metavar="WHEN", help="Only those since then: 10m, 18:00, fri, 2026-12-01.")
@click.option("--last", metavar="SPAN", help="Only those of so long: 2h.")
@click.option("--type", "types", multiple=True, metavar="TYPE", help="Only those of a type: gpu.xid, or all of gpu.")
@click.option("--limit", type=click.IntRange(1, 100_000), metavar="N", help="At most the newest N.")
@click.option(
    "--notebook", metavar="NOTEBOOK", shell_complete=completes("notebooks"), help="Only those of this notebook."
)
@output_option
@pass_here
def verb(
    here: Here,
    *,
    following: bool,
    after: int | None,
    since: str | None,
    last: str | None,
    types: tuple[str, ...],
    limit: int | None,
    notebook: str | None,
    output: str,
) -> None:
    """Show what happened."""
    if since is not None and last is not None:
        raise click.UsageError("--since and --last say the same: give one of them")
    start = words.instant(since if last is None else last, here.terminal, "--since" if last is None else "--last")
    identity = None if notebook is None else notebook_id(here, notebook)
    wanted = [word.strip() for each in types for word in each.split(",") if word.strip()]
    stream = here.client.follow_events if following else here.client.events
    replies = stream(after=after, notebook=identity, since=start, types=wanted, limit=limit)
    names = _Names(here)
    lines = _Lines(here.terminal.width() if output == "table" else None)
    header = lines.header() if output == "table" else ""
    follow(
        output,
        replies,
        COLUMNS,
        lambda event: _row(event, names),
        lambda event: lines(_cells(here, event, names)),
        header,
    )


class _Names:
    """Notebooks' names by id, asked for when one is met that is not known yet, and once only for one that is gone."""

    def __init__(self, here: Here) -> None:
        self._here = here
        self._known: dict[str, str] = {}

    def __getitem__(self, identity: str) -> str:
        if identity not in self._known:
            with suppress(ClientError):
                self._known |= {each.id: each.spec.name for each in self._here.client.each_notebook()}
        return self._known.setdefault(identity, "")


def _row(event: wire.Event, names: _Names) -> tuple[str, ...]:
    details = event.details or {}
    return (
        str(event.id),
        event.at,
        event.actor,
        event.type,
        event.notebook or "",
        event.before or "",
        event.after or "",
        names[event.notebook] if event.notebook else "",
        str(details.get("gpu", "")),
        "; ".join(_said(details)),
    )


def _cells(here: Here, event: wire.Event, names: _Names) -> list[str]:
    zone = here.terminal.zone()
    at = wire.parse_rfc3339(event.at).astimezone(zone)
    what = localised("; ".join(_what(event)), zone)
    notebook = (names[event.notebook] or event.notebook[:8]) if event.notebook else ""
    return [str(event.id), f"{at:%Y-%m-%d %H:%M:%S}", event.actor, event.type, notebook, what]


class _Lines:
    """Events in lines of ``width`` columns (None: any). Lines come one by one, so what is too long for its column is
    cut, and what happened goes on in lines of its own."""

    def __init__(self, width: int | None) -> None:
        self._width = width
        self._beside = width is None or width >= _ROOMY
        self._widths = list(_WIDTHS)
        if width is not None and self._beside:
            room = width - sum(_WIDTHS) - 2 * len(_WIDTHS) - 40
            self._widths[2] += min(12, max(0, room // 3))
            self._widths[4] += min(16, max(0, room // 3))
        elif width is not None:
            self._widths[4] = max(8, width - sum(_WIDTHS[:4]) - 2 * 4)

    def header(self) -> str:
        """What the columns are."""
        return self._line(list(_SHOWN if self._beside else _SHOWN[:-1]), "")

    def __call__(self, cells: list[str]) -> str:
        """A line, and what does not fit into it beneath."""
        *cells, what = [clean(cell) for cell in cells]
        if self._width is None:
            return self._line([*cells, what or "-"], "")
        if not self._beside:
            return self._line(cells, f"\n{wrapped(' ' * 8 + what, self._width, ' ' * 8)}" if what else "")
        indent = " " * (sum(self._widths) + 2 * len(self._widths))
        first, *more = wrapped(what or "-", self._width - len(indent), "").splitlines()
        return self._line([*cells, first], "".join(f"\n{indent}{line}" for line in more))

    def _line(self, cells: list[str], beneath: str) -> str:
        widths = [*self._widths, 0]
        parts = [
            (cell if self._width is None or not width else elided(cell, width)).ljust(width)
            for cell, width in zip([cell or "-" for cell in cells], widths, strict=False)
        ]
        return "  ".join(parts).rstrip() + beneath


def _what(event: wire.Event) -> Iterator[str]:
    """The change, the GPU, and what else is on record, in words."""
    if event.before or event.after:
        yield f"{event.before or 'nothing'} -> {event.after or 'nothing'}"
    details = event.details or {}
    if gpu := details.get("gpu"):
        yield f"GPU {str(gpu).removeprefix('GPU-')[:_GPU_LETTERS]}"
    yield from _said(details)


def _said(details: dict[str, Any]) -> Iterator[str]:
    """A message as it is, everything else with its name."""
    if message := details.get("message"):
        yield str(message)
    for name, value in details.items():
        if name == "processes" and isinstance(value, list):
            yield from (f"{each.get('user')}'s {each.get('command')} (pid {each.get('pid')})" for each in value)
        elif name not in _OWN_COLUMN and value not in (None, "", [], {}):
            yield f"{name} {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(each)}" for name, each in value.items())
    return str(value)
