# SPDX-License-Identifier: Apache-2.0
"""Signs, colours, cells and bars. A colour never says what a sign or a word does not say too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.text import Text

from notebookd.cli.output import clean

__all__ = ["ASCII", "UNICODE", "Signs", "bar", "cell", "line", "sparks", "state"]

_STATE_STYLES = {
    "free": "green",
    "leased": "cyan",
    "foreign": "yellow",
    "drained": "magenta",
    "quarantined": "bold red",
    "lost": "bold red",
    "unsupported": "dim",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Signs:
    """The letters that pictures are made of. ``parts`` are a bar's last cell, from nearly empty to full; ``levels`` a
    little bar's heights."""

    parts: str
    levels: str
    strange: str
    track: str
    branch: str
    more: str
    ill: str
    states: dict[str, str] = field(default_factory=dict)


UNICODE = Signs(
    parts="╸━",
    levels="▁▂▃▄▅▆▇█",
    strange="═",
    track="─",
    branch="└",
    more="…",
    ill="✕",
    states={
        "free": "○",
        "leased": "●",
        "foreign": "▲",
        "drained": "◌",
        "quarantined": "✕",
        "lost": "✕",
        "unsupported": "-",
    },
)
ASCII = Signs(
    parts="#",
    levels="_.-=+*%#",
    strange="%",
    track=".",
    branch="`",
    more="...",
    ill="x",
    states={
        "free": "o",
        "leased": "*",
        "foreign": "!",
        "drained": "-",
        "quarantined": "x",
        "lost": "x",
        "unsupported": "-",
    },
)


def cell(text: str, width: int, style: str = "", *, right: bool = False) -> Text:
    """A text in exactly so many columns, cut where it is too long; without what could steer the terminal."""
    written = Text(clean(text), style=style, no_wrap=True)
    written.truncate(max(0, width), overflow="ellipsis")
    spaces = max(0, width) - written.cell_len
    if right:
        written.pad_left(spaces)
    else:
        written.pad_right(spaces)
    return written


def line(*cells: Text, gap: int = 1) -> Text:
    """Cells side by side, after one column of margin."""
    return Text(" ", no_wrap=True) + Text(" " * gap).join(cells)


def state(word: str, signs: Signs) -> tuple[str, str]:
    """The sign of a GPU's state, and its style."""
    return signs.states.get(word, "?"), _STATE_STYLES.get(word, "")


def bar(parts: Sequence[tuple[float, str, bool]], width: int, signs: Signs) -> Text:
    """A bar of (share of the whole, style, whether it is strangers'), one after the other.

    A bar of one part is told in parts of a cell; where another follows, cells are whole, and the smallest share is one.
    """
    drawn = Text(no_wrap=True)
    fine = len([share for share, _, _ in parts if share > 0]) == 1
    for share, style, strange in parts:
        if share > 0:
            left = width - drawn.cell_len
            letters = signs.strange if strange else signs.parts if fine else signs.parts[-1]
            drawn.append(_cells(min(1.0, share) * width, letters)[:left], style)
    return drawn.append(signs.track * (width - drawn.cell_len), "dim")


def sparks(values: Sequence[int | None], width: int, signs: Signs) -> Text:
    """Little bars of percentages, the newest at the right end; a blank where none is known."""
    shown = list(values)[max(0, len(values) - width) :]
    letters = [
        " " if each is None else signs.levels[min(len(signs.levels) - 1, each * len(signs.levels) // 100)]
        for each in shown
    ]
    drawn = Text("".join(letters), "cyan", no_wrap=True)
    drawn.pad_left(max(0, width - len(letters)))
    return drawn


def _cells(length: float, letters: str) -> str:
    """So many cells, the last of them the letter that tells how full it is; at least one."""
    whole, rest = divmod(max(1, round(length * len(letters))), len(letters))
    return letters[-1] * whole + (letters[rest - 1] if rest else "")
