# SPDX-License-Identifier: Apache-2.0
"""How results are written to stdout: a table, the daemon's JSON, YAML or CSV."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

import click
import msgspec

from notebookd import wire
from notebookd.neutral import STEERING
from notebookd.units import readable_size as size

__all__ = [
    "Table",
    "age",
    "ahead",
    "asked_for",
    "clean",
    "counted",
    "elided",
    "emit",
    "localised",
    "moment",
    "narrowed",
    "seconds",
    "size",
    "telling",
    "until",
    "waits_for",
    "wrapped",
]

# What moves the cursor, and what turns the direction of writing: both make a line look like another one.
_CONTROL = re.compile(f"[{STEERING}]")

# The daemon's times, as it writes them in fields and in sentences.
_DAY, _CLOCK = r"\b([0-9]{4}-[0-9]{2}-[0-9]{2})", r"([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?)"
_TIME = re.compile(rf"{_DAY}(?:T(?=[0-9:.]+Z)| (?=[0-9:.]+ UTC)){_CLOCK}(?:Z| UTC)")


_LEAST_LETTERS = 12  # of a column that is cut


@dataclass(frozen=True, slots=True)
class Table:
    """Columns and rows of words."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def text(self) -> str:
        """The table in aligned columns, two spaces between them, ``-`` for nothing."""
        lines = [list(self.columns), *([clean(cell) or "-" for cell in row] for row in self.rows)]
        widths = [max(len(line[index]) for line in lines) for index in range(len(self.columns))]
        return "\n".join(
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        )

    def only(self, columns: Sequence[str]) -> Table:
        """The same with these columns alone, in this order."""
        places = [self.columns.index(name) for name in columns]
        return Table(columns, [[row[place] for place in places] for row in self.rows])

    def csv(self) -> str:
        """The table as RFC 4180 has it, but with plain line ends. A ``'`` is put before what a spreadsheet would take
        for a formula."""
        from notebookd.cli import spreadsheet

        return spreadsheet.written(
            [self.columns, *([clean(spreadsheet.cell(each)) for each in row] for row in self.rows)]
        )


def narrowed(table: Table, width: int | None, spare: Sequence[str], elastic: Sequence[str] = ()) -> str:
    """The table in ``width`` columns (None: any). Too wide a one has its ``elastic`` columns cut, the widest first and
    none to less than 12 letters; if that is not enough it does without one after the other of the ``spare``."""
    written = table.text()
    if width is None or _widest(written) <= width:
        return written
    for gone in range(len(spare) + 1):
        left = table.only([name for name in table.columns if name not in spare[:gone]])
        written = _cut(left, width, elastic).text()
        if _widest(written) <= width:
            break
    return written


def _widest(text: str) -> int:
    return max(len(line) for line in text.splitlines())


def _cut(table: Table, width: int, elastic: Sequence[str]) -> Table:
    """The table with the ``elastic`` columns cut as far as that takes, and may be."""
    widths = [
        max(len(cell) or 1 for cell in (name, *cells)) for name, *cells in zip(table.columns, *table.rows, strict=True)
    ]
    places = [place for place, name in enumerate(table.columns) if name in elastic]
    excess = sum(widths) + 2 * (len(widths) - 1) - width
    while excess > 0 and places and (widest := max(places, key=lambda place: widths[place])) is not None:
        if widths[widest] <= _LEAST_LETTERS:
            break
        widths[widest] -= 1
        excess -= 1
    rows = [[elided(cell, width) for cell, width in zip(row, widths, strict=True)] for row in table.rows]
    return Table(table.columns, rows)


def elided(text: str, width: int) -> str:
    """The text, cut where it is longer than ``width`` letters."""
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"


def wrapped(text: str, width: int | None, indent: str = "  ") -> str:
    """The text in lines of ``width`` columns (None: in one), all but the first indented. Words stay whole."""
    if width is None or len(text) <= width:
        return text
    import textwrap

    lines = textwrap.wrap(
        text, max(20, width), subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
    return "\n".join(lines)


def telling(ids: Sequence[str]) -> int:
    """How many letters tell the ids apart, 8 at the least."""
    return next(length for length in range(8, 37) if len({each[:length] for each in ids}) == len(set(ids)))


def emit(output: str, body: bytes, table: Table, text: str | None = None) -> None:
    """Write a result: ``body`` as the daemon sent it, or what was made of it (``text`` in place of a table)."""
    match output:
        case "json":
            click.echo(body)
        case "yaml":
            click.echo(_yaml(body), nl=False)
        case "csv":
            click.echo(table.csv())
        case _:
            click.echo(table.text() if text is None else text, color=True)


def _yaml(body: bytes) -> str:
    import yaml  # type: ignore[import-untyped]

    text: str = yaml.safe_dump(msgspec.json.decode(body), sort_keys=False, allow_unicode=True, explicit_start=False)
    return text


def clean(text: str) -> str:
    """The text without control characters: what others wrote must not steer this terminal."""
    return _CONTROL.sub("?", text)


def age(then: str, now: datetime) -> str:
    """How long ago, in one unit: ``45s``, ``5m``, ``3h``, ``2d``."""
    return _span(now - wire.parse_rfc3339(then), units=1)


def seconds(then: str, now: datetime) -> str:
    """The same for programs: whole seconds."""
    return str(int((now - wire.parse_rfc3339(then)).total_seconds()))


def until(then: str, now: datetime) -> str:
    """How long from now, in two units, rounded: ``6d23h``; of a deadline just set, ``7d0h``."""
    return _span(_rounded(wire.parse_rfc3339(then) - now), units=2)


def ahead(then: str, now: datetime) -> str:
    """When, for people: ``in 2 h 5 min``, or ``now`` for what is due. What is no time is given back as it is."""
    try:
        left = int(_rounded(wire.parse_rfc3339(then) - now).total_seconds())
    except ValueError:
        return clean(then)
    if left <= 0:
        return "now"
    if left < 60:
        return f"in {left} s"
    days, minutes = divmod(left // 60, 1440)
    hours, minutes = divmod(minutes, 60)
    counts = [(days, "d"), (hours, "h")] if days else [(hours, "h"), (minutes, "min")]
    return "in " + " ".join(f"{count} {unit}" for count, unit in counts if count)


def moment(at: str, zone: tzinfo | None, *, exact: bool = False) -> str:
    """A time for people, in their zone: ``Sun 2026-11-29 20:30 CET``, ``exact`` to the second. What is no time is
    given back as it is."""
    clock = "%H:%M:%S" if exact else "%H:%M"
    try:
        return wire.parse_rfc3339(at).astimezone(zone).strftime(f"%a %Y-%m-%d {clock} %Z")
    except (ValueError, OverflowError):
        return clean(at)


def localised(text: str, zone: tzinfo | None) -> str:
    """A sentence of the daemon's, its times as :func:`moment` writes them."""
    return _TIME.sub(lambda found: moment(f"{found[1]}T{found[2]}Z", zone), text)


def _rounded(span: timedelta) -> timedelta:
    """To hours where days are shown: a deadline just set is 7 days away, not 6 days and 23 hours."""
    hour = timedelta(hours=1)
    return -((hour / 2 - span) // hour) * hour if span > timedelta(days=1) else span


def _span(span: timedelta, *, units: int) -> str:
    left = max(0, int(span.total_seconds()))
    words: list[str] = []
    for letter, seconds in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, left = divmod(left, seconds)
        if count or words:
            words.append(f"{count}{letter}" if count else "")
        if len(words) == units:
            break
    return "".join(words) or "0s"


def asked_for(resources: wire.Resources) -> str:
    """What somebody asks for: ``2 GPU h100-1-gpu``."""
    amount = f"{resources.gpu} GPU" if resources.gpu else f"{resources.cpu} CPU" if resources.cpu else ""
    return " ".join(word for word in (amount, resources.flavor or "") if word)


def waits_for(entry: wire.QueueEntry) -> str:
    """What a waiting run waits for, for people: the sentence says what the word before it says to programs."""
    word, parted, sentence = entry.waits_for.partition(": ")
    return sentence if parted and word.isalpha() else entry.waits_for


def counted(count: int, thing: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{count} {thing}" if count == 1 else f"{count} {thing}s"
