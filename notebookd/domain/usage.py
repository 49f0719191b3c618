# SPDX-License-Identifier: Apache-2.0
"""A report of usage: stays, leases and the use of GPUs, summed by group and window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from notebookd.domain.billing import MINUTE_MS, Bill, Stay, Window, commenced, minutes, minutes_within, price
from notebookd.domain.clocks import moment, wall_ms
from notebookd.domain.gpu_use import GpuUse

DAY_MS = 86_400_000
_FAR_MS = 1 << 60
_NO_USE = GpuUse()


class GroupKey(StrEnum):
    """What a report may be grouped by. Days and months are UTC's."""

    USER = "user"
    NOTEBOOK = "notebook"
    FLAVOR = "flavor"
    GPU = "gpu"
    DAY = "day"
    MONTH = "month"


@dataclass(frozen=True, slots=True)
class LabelKey:
    """A label that a report may be grouped by. As text it is ``label:`` and the label's name."""

    name: str

    def __str__(self) -> str:
        return f"{LABEL}{self.name}"


LABEL = "label:"
Key = GroupKey | LabelKey


class Party(NamedTuple):
    """Whom and what a run is billed to: the first fields of a :class:`~notebookd.domain.billing.Stay`."""

    notebook_id: str
    owner: str
    flavor: str


def billed_to(bill: Bill) -> Party:
    """Of a bill what reports go by."""
    return Party(notebook_id=bill.notebook_id, owner=bill.owner, flavor=bill.flavor)


class Tenure(NamedTuple):
    """The time from the grant of a GPU to its release."""

    run_id: str
    gpu_uuid: str
    granted_ms: int
    released_ms: int


class HourOfUse(NamedTuple):
    """What a run made of a GPU in an hour of the wall clock."""

    run_id: str
    gpu_uuid: str
    hour_ms: int
    use: GpuUse


@dataclass(slots=True)
class Line:
    """A line of a report, as it grows. ``price`` holds micro-units by currency. A stay on several GPUs has its minutes
    in the line of each of them, and ``once`` in that of the first; ``parts`` counts what was added of stays and leases,
    ``rated`` by currency what of it had a price."""

    parts: int = 0
    once: int = 0
    minutes: int = 0
    gpu_minutes: int = 0
    leased_ms: int = 0
    use: GpuUse = _NO_USE
    price: dict[str, int] = field(default_factory=dict)
    rated: dict[str, int] = field(default_factory=dict)

    def bill(self, stay: Stay, first: int, last: int, units: int) -> None:
        """Add the minutes from ``first`` up to ``last`` of so many of a stay's units."""
        self.parts += 1
        self.minutes += last - first
        if stay.gpu:
            self.gpu_minutes += (last - first) * units
        if stay.rate is not None:
            part = price(last, units, stay.rate) - price(first, units, stay.rate)
            self.price[stay.currency] = self.price.get(stay.currency, 0) + part
            self.rated[stay.currency] = self.rated.get(stay.currency, 0) + 1

    @property
    def used(self) -> bool:
        """Whether use was added, if only of an idle GPU."""
        return self.use is not _NO_USE

    @property
    def unbilled_ms(self) -> int:
        """How long GPUs were leased beyond the minutes that are billed: while an editor booted or stopped."""
        return max(0, self.leased_ms - self.gpu_minutes * MINUTE_MS)

    def add(self, other: Line) -> None:
        """Add another line."""
        self.parts += other.parts
        self.once += other.once
        self.minutes += other.minutes
        self.gpu_minutes += other.gpu_minutes
        self.leased_ms += other.leased_ms
        if other.used:
            self.use = self.use.plus(other.use)
        for currency, part in other.price.items():
            self.price[currency] = self.price.get(currency, 0) + part
            self.rated[currency] = self.rated.get(currency, 0) + other.rated[currency]


@lru_cache(maxsize=4096)
def _day(day: int) -> str:
    return moment(day * DAY_MS).date().isoformat()


Group = tuple[str, ...]
Cells = dict[tuple[str, int], Line]
"""The lines of a party, by GPU (none where the report is not by them) and by the end of their day or month."""


class Cell(NamedTuple):
    """What a party has of a GPU in a day or month that ends ``edge_ms``."""

    party: Party
    gpu: str
    edge_ms: int
    line: Line


_Value = Callable[[tuple[str, ...], str, int], str]
_VALUE: dict[GroupKey, _Value] = {
    GroupKey.USER: lambda words, _gpu, _last_ms: words[1],
    GroupKey.NOTEBOOK: lambda words, _gpu, _last_ms: words[0],
    GroupKey.FLAVOR: lambda words, _gpu, _last_ms: words[2],
    GroupKey.GPU: lambda _words, gpu, _last_ms: gpu,
    GroupKey.DAY: lambda _words, _gpu, last_ms: _day(last_ms // DAY_MS),
    GroupKey.MONTH: lambda _words, _gpu, last_ms: _day(last_ms // DAY_MS)[:7],
}
_PARTY = len(Party._fields)


def _word(place: int) -> _Value:
    return lambda words, _gpu, _last_ms: words[place]


def _no_labels(_run_id: str) -> Mapping[str, str]:
    return {}


class Tally:
    """Sums what falls into ``window`` by the keys; ``party_of`` tells whom a run is billed to, ``labels_of`` the labels
    by which it is reported. A label that it has not is an empty word.

    A stay on several GPUs counts its minutes on each of them where the report is by GPU; ``total`` counts them once.
    It sums by party, GPU and day or month first, and makes groups of that in the end. What is added of a ``part`` of
    the window only is what falls into that part: the parts of a window add up to it."""

    def __init__(
        self,
        window: Window,
        keys: Sequence[Key],
        party_of: Callable[[str], Party],
        labels_of: Callable[[str], Mapping[str, str]] = _no_labels,
    ) -> None:
        self._window = window
        self._keys = tuple(keys)
        self._labels = [key.name for key in keys if isinstance(key, LabelKey)]
        self._labels_of = labels_of
        self._by_gpu = GroupKey.GPU in keys
        days, months = GroupKey.DAY in keys, GroupKey.MONTH in keys
        self._edge = next_day if days else next_month if months else _never
        self._party_of = party_of
        self._cells: dict[tuple[str, ...], Cells] = {}
        self._by_run: dict[str, Cells] = {}

    def add_stay(self, stay: Stay, part: Window | None = None) -> None:
        """Add the minutes of a stay that commence in the window."""
        started_ms, count = stay.started_ms, minutes(stay.length_ms)
        first, last = minutes_within(started_ms, count, part or self._window)
        if first >= last:
            return
        cells = self._by_run[stay.run_id] = self._cells_of(self._labelled(stay[:3], stay.run_id))
        gpus = stay.gpus.split() if self._by_gpu else ()
        while first < last:
            edge_ms = self._edge(started_ms + first * MINUTE_MS)
            after = commenced(started_ms, last, edge_ms)
            for gpu in gpus:
                _line(cells, gpu, edge_ms).bill(stay, first, after, 1)
            if not gpus:
                _line(cells, "", edge_ms).bill(stay, first, after, stay.units)
            _line(cells, gpus[0] if gpus else "", edge_ms).once += after - first
            first = after

    def add_tenure(self, tenure: Tenure, part: Window | None = None) -> None:
        """Add the time for which a GPU was leased in the window."""
        window = part or self._window
        begun_ms = max(tenure.granted_ms, window.start_ms)
        ended_ms = min(tenure.released_ms, window.end_ms)
        gpu = tenure.gpu_uuid if self._by_gpu else ""
        while begun_ms < ended_ms:
            edge_ms = self._edge(begun_ms)
            until_ms = min(edge_ms, ended_ms)
            line = _line(self._cells_of_run(tenure.run_id), gpu, edge_ms)
            line.parts += 1
            line.leased_ms += until_ms - begun_ms
            begun_ms = until_ms

    def add_use(self, hour: HourOfUse, part: Window | None = None) -> None:
        """Add an hour's use of a GPU, where the hour begins in the window."""
        window = part or self._window
        if window.start_ms <= hour.hour_ms < window.end_ms:
            gpu = hour.gpu_uuid if self._by_gpu else ""
            line = _line(self._cells_of_run(hour.run_id), gpu, self._edge(hour.hour_ms))
            line.use = line.use.plus(hour.use)

    def add_cell(self, cell: Cell) -> None:
        """Add what was summed before: by what this report is by, and maybe by more. Sums know of no labels."""
        assert not self._labels
        _line(self._cells_of(cell.party), cell.gpu if self._by_gpu else "", self._edge(cell.edge_ms - 1)).add(cell.line)

    @property
    def cells(self) -> Iterator[Cell]:
        """What came together."""
        for words, cells in self._cells.items():
            for (gpu, edge_ms), line in cells.items():
                yield Cell(Party._make(words[:_PARTY]), gpu, edge_ms, line)

    @property
    def lines(self) -> dict[Group, Line]:
        """The sums by group, in their order."""
        lines: dict[Group, Line] = {}
        values = [
            _word(_PARTY + self._labels.index(key.name)) if isinstance(key, LabelKey) else _VALUE[key]
            for key in self._keys
        ]
        for words, cells in self._cells.items():
            for (gpu, edge_ms), line in cells.items():
                group = tuple([value(words, gpu, edge_ms - 1) for value in values])
                if group not in lines:
                    lines[group] = Line()
                lines[group].add(line)
        return dict(sorted(lines.items()))

    @property
    def total(self) -> Line:
        """The sum of all."""
        total = Line()
        for cell in self.cells:
            total.add(cell.line)
        total.minutes = total.once
        return total

    def _labelled(self, party: tuple[str, ...], run_id: str) -> tuple[str, ...]:
        if not self._labels:
            return party
        labels = self._labels_of(run_id)
        return (*party, *[labels.get(name, "") for name in self._labels])

    def _cells_of(self, words: tuple[str, ...]) -> Cells:
        cells = self._cells.get(words)
        if cells is None:
            cells = self._cells[words] = {}
        return cells

    def _cells_of_run(self, run_id: str) -> Cells:
        cells = self._by_run.get(run_id)
        if cells is None:
            cells = self._by_run[run_id] = self._cells_of(self._labelled(self._party_of(run_id), run_id))
        return cells


def _line(cells: Cells, gpu: str, edge_ms: int) -> Line:
    line = cells.get((gpu, edge_ms))
    if line is None:
        line = cells[gpu, edge_ms] = Line()
    return line


def whole_days(window: Window) -> tuple[Window, tuple[Window, Window]]:
    """The whole days (UTC) in a window, and what is left of it before and after them. Where it holds no whole day that
    is an empty window at its start."""
    first_ms, last_ms = -(-window.start_ms // DAY_MS) * DAY_MS, window.end_ms // DAY_MS * DAY_MS
    if first_ms >= last_ms:
        first_ms = last_ms = window.start_ms
    return Window(first_ms, last_ms), (Window(window.start_ms, first_ms), Window(last_ms, window.end_ms))


def _never(_at_ms: int) -> int:
    return _FAR_MS


def next_day(at_ms: int) -> int:
    """The first midnight UTC after that instant."""
    return (at_ms // DAY_MS + 1) * DAY_MS


def next_month(at_ms: int) -> int:
    """The first midnight UTC of a month after that instant."""
    return _month_after(at_ms // DAY_MS)


def month_of(at_ms: int) -> Window:
    """The month UTC that holds an instant."""
    first = moment(at_ms).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return Window(wall_ms(first), wall_ms(_month_later(first)))


def _month_later(first: datetime) -> datetime:
    return (first + timedelta(days=32)).replace(day=1)


@lru_cache(maxsize=4096)
def _month_after(day: int) -> int:
    return month_of(day * DAY_MS).end_ms
