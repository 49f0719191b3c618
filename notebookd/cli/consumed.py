# SPDX-License-Identifier: Apache-2.0
"""A report of usage in words: a table with bars, or a chart over days or months, as wide as the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta, tzinfo

from notebookd import wire
from notebookd.cli.money import energy, hours, money, share
from notebookd.cli.output import Table, clean, counted, elided, moment, narrowed
from notebookd.wire.usage import LABEL

__all__ = ["KEYS", "chart", "head", "is_over_time", "table"]

KEYS = ("user", "notebook", "flavor", "gpu", "day", "month")

_WIDEST_BAR = 60
_NARROWEST_BAR = 5
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_LEVELS = " ▁▂▃▄▅▆▇█"
_SPARE = ("ENERGY", "UNBILLED", "USED", "LEASED", "DAY", "MONTH")
_ELASTIC = ("USER", "NAME", "NOTEBOOK", "FLAVOR", "GPU")
_TIMES = ("day", "month")
_MOST_CHARTS = 12


@dataclass(slots=True)
class _Sum:
    """What rows come to together: GPU minutes are those of each GPU, CPU minutes those of notebooks without one."""

    gpu_minutes: int = 0
    cpu_minutes: int = 0
    leased_s: float = 0.0
    used_s: float | None = None
    joules: float = 0.0
    prices: dict[str, int] = field(default_factory=dict)

    def add(self, row: wire.UsageRow) -> None:
        """One more. A flavor has GPUs or has none, so a row of one flavor is of the one kind or the other."""
        self.gpu_minutes += row.gpu_minutes.value
        self.cpu_minutes += 0 if row.gpu_minutes.value else row.minutes.value
        self.leased_s += row.leased_gpu_seconds
        if isinstance(row.used_gpu_seconds, float | int):
            self.used_s = (self.used_s or 0.0) + row.used_gpu_seconds
        self.joules += row.energy_joules or 0.0
        for price in (row.price, *(row.other_prices or ())):
            if isinstance(price, wire.Price):
                self.prices[price.currency] = self.prices.get(price.currency, 0) + price.micros

    @property
    def unbilled_s(self) -> float:
        """What was held beyond the minutes that are billed; 0 for less than a minute."""
        unbilled_s = self.leased_s - 60.0 * self.gpu_minutes
        return unbilled_s if unbilled_s >= 60 else 0.0

    def cells(self) -> list[str]:
        """The amounts, empty where there is none."""
        used = (
            ""
            if self.used_s is None or not self.leased_s
            else f"{hours(self.used_s)} ({share(self.used_s, self.leased_s)})"
        )
        prices = " + ".join(money(wire.Price(currency=name, micros=micros)) for name, micros in self.prices.items())
        return [
            f"{self.gpu_minutes:,}",
            f"{self.cpu_minutes:,}" if self.cpu_minutes else "",
            hours(self.leased_s) if self.leased_s else "",
            hours(self.unbilled_s) if self.unbilled_s else "",
            used,
            energy(self.joules) if self.joules else "",
            prices,
        ]


_AMOUNTS = ("GPU MIN", "CPU MIN", "LEASED", "UNBILLED", "USED", "ENERGY", "PRICE")


def is_over_time(keys: Sequence[str]) -> bool:
    """Whether it can be drawn over time."""
    return any(key in _TIMES for key in keys)


def head(name: str) -> str:
    """The head of its column. A label's stays as it is: its name may be told from another by a capital letter."""
    return name if name.startswith(LABEL) else name.upper()


def _names(keys: Sequence[str]) -> list[str]:
    return [name for key in keys for name in (["name", "notebook"] if key == "notebook" else [key])]


def _summed(usage: wire.Usage, names: Sequence[str]) -> dict[tuple[str, ...], _Sum]:
    """The rows by these names, in their order."""
    found: dict[tuple[str, ...], _Sum] = {}
    for row in usage.items:
        found.setdefault(tuple(wire.group_word(row, name) for name in names), _Sum()).add(row)
    return found


def _window(usage: wire.Usage, zone: tzinfo | None) -> str:
    return f"from {_moment(usage.from_, zone)} to {_moment(usage.to, zone)}"


def _moment(at: str, zone: tzinfo | None) -> str:
    day, parted, _ = at.partition("T00:00:00.000Z")
    return day if parted else moment(at, zone)


def table(usage: wire.Usage, keys: Sequence[str], width: int | None, zone: tzinfo | None) -> str:
    """The table by ``keys`` with its totals; on a terminal with a bar a row, as long as its minutes are many."""
    names = _names(keys)
    sums = _summed(usage, names)
    total = _Sum()
    total.add(usage.totals)
    total.cpu_minutes = sum(each.cpu_minutes for each in sums.values())
    rows = [[*words, *each.cells()] for words, each in sums.items()]
    rows.append([*(["total", *[""] * (len(names) - 1)] if names else []), *total.cells()])
    heads = [*map(head, names), *_AMOUNTS]
    shown = [index for index in range(len(heads)) if index <= len(names) or any(row[index] for row in rows)]
    if not total.gpu_minutes and total.cpu_minutes:
        shown.remove(len(names))
    widths = {index: max(len(row[index]) for row in [heads, *rows]) for index in shown}
    aligned = [
        [row[index].rjust(widths[index]) if index >= len(names) else row[index] for index in shown] for row in rows
    ]
    columns = [heads[index].rjust(widths[index]) if index >= len(names) else heads[index] for index in shown]
    elastic = (*_ELASTIC, *(name for name in names if name.startswith(LABEL)))
    spare = [each for name in _SPARE for each in columns if each.strip() == name]
    lines = narrowed(Table(columns, aligned), width, spare, elastic).splitlines()
    room = 0 if width is None else min(_WIDEST_BAR, width - max(map(len, lines)) - 2)
    if room >= _NARROWEST_BAR and names:
        values = [each.gpu_minutes if total.gpu_minutes else each.cpu_minutes for each in sums.values()]
        lines = _with_bars(lines, values, room)
    return "\n".join([_window(usage, zone), *lines])


def _with_bars(lines: list[str], values: list[int], room: int) -> list[str]:
    most = max(values, default=0)
    place = max(map(len, lines)) + 2
    bars = ["", *(_bar(value, most, room) for value in values), ""]
    return [f"{line.ljust(place)}{bar}".rstrip() for line, bar in zip(lines, bars, strict=True)]


def _bar(value: int, most: int, room: int) -> str:
    eighths = -(-8 * room * value // most) if most else 0
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def chart(usage: wire.Usage, keys: Sequence[str], width: int, zone: tzinfo | None) -> str:
    """A chart over time for each of the other keys, all on one scale, those with most first, with both axes."""
    time = next(key for key in keys if key in _TIMES)
    names = _names([key for key in keys if key != time])
    charts: dict[tuple[str, ...], dict[str, _Sum]] = {}
    for words, each in _summed(usage, [time, *names]).items():
        charts.setdefault(words[1:], {})[words[0]] = each
    gpus = any(row.gpu_minutes.value for row in usage.items)
    values = {who: {when: _value(each, gpus=gpus) for when, each in found.items()} for who, found in charts.items()}
    order = sorted(values, key=lambda who: -sum(values[who].values()))
    axis = _Axis.of(usage, time, width)
    columns = {who: axis.columns(values[who]) for who in order}
    most = max((value for each in columns.values() for value in each), default=0)
    height = 4 if len(order) <= 4 else 2
    lines = [f"{_window(usage, zone)}, {'GPU' if gpus else 'CPU'} minutes per {axis.unit}"]
    for who in order[:_MOST_CHARTS]:
        title = clean(" ".join(word for word in who if word)) or "all"
        lines += [
            "",
            f"{elided(title, max(8, width - 24))}  {sum(values[who].values()):,}",
            *axis.drawn(columns[who], most, height),
        ]
    if len(order) > _MOST_CHARTS:
        lines.append(f"and {len(order) - _MOST_CHARTS} more")
    return "\n".join([*lines, *axis.labels()]) if order else lines[0] + "\nnothing was used"


def _value(each: _Sum, *, gpus: bool) -> int:
    return each.gpu_minutes if gpus else each.cpu_minutes


_MARGIN = 9  # the figures of the upright axis, and its line


@dataclass(frozen=True, slots=True)
class _Axis:
    """The time across: its days or months, how many of them a column holds, and how wide a column is."""

    times: tuple[str, ...]
    every: int
    cell: int
    time: str
    width: int

    @classmethod
    def of(cls, usage: wire.Usage, time: str, width: int) -> _Axis:
        """That of a report; a day that has not begun is not on it where nothing was used on it."""
        first, last = date.fromisoformat(usage.from_[:10]), date.fromisoformat(usage.to[:10])
        days = [(first + timedelta(days=count)).isoformat() for count in range(max(1, (last - first).days))]
        used = [str(getattr(row, time) or "") for row in usage.items]
        times = tuple(dict.fromkeys(day[: 10 if time == "day" else 7] for day in days))
        latest = max(used, default="")
        times = tuple(each for each in times if each <= latest) or times[:1]
        room = max(10, width - _MARGIN)
        every = -(-len(times) // room)
        return cls(times, every, max(1, min(6, room * every // len(times))), time, max(width, _MARGIN + 12))

    @property
    def unit(self) -> str:
        """What a column is."""
        return self.time if self.every == 1 else f"{counted(self.every, self.time)}"

    def columns(self, values: dict[str, int]) -> list[int]:
        """The values by column."""
        found = [values.get(each, 0) for each in self.times]
        return [sum(found[begin : begin + self.every]) for begin in range(0, len(found), self.every)]

    def drawn(self, values: Sequence[int], most: int, height: int) -> list[str]:
        """The columns with the upright axis beside them, up to ``most``."""
        lines = []
        for row in range(height - 1, -1, -1):
            eighths = [min(8, max(0, -(-8 * height * value // most) - 8 * row)) if most else 0 for value in values]
            bars = "".join((_LEVELS[each] * (self.cell - (self.cell > 1))).ljust(self.cell) for each in eighths)
            mark = f"{most:>7,} ┤" if row == height - 1 else "        │"
            lines.append(f"{mark}{bars}".rstrip())
        return [*lines, f"      0 └{'─' * (len(values) * self.cell)}"]

    def labels(self) -> list[str]:
        """The times beneath, as many as have room."""
        line = " " * _MARGIN
        for index in range(0, len(self.times), self.every):
            place = _MARGIN + index // self.every * self.cell
            word = self.times[index][5:] if self.time == "day" else self.times[index]
            fits = place + len(word) <= self.width
            if index == 0 or (fits and place >= len(line.rstrip()) + 2):
                line = line.ljust(place)[:place] + word
        return [line.rstrip()]
