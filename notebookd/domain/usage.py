# SPDX-License-Identifier: Apache-2.0
"""A report of usage: stays, leases and the use of GPUs, summed by group and window."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple

from notebookd.domain.billing import MINUTE_MS, Stay, Window, commenced, minutes, minutes_within, price
from notebookd.domain.clocks import moment, wall_ms
from notebookd.domain.gpu_use import GpuUse

DAY_MS = 86_400_000


@lru_cache(maxsize=4096)
def _day(day: int) -> str:
    return moment(day * DAY_MS).date().isoformat()


class GroupKey(StrEnum):
    """What a report may be grouped by. Days and months are UTC's."""

    USER = "user"
    NOTEBOOK = "notebook"
    FLAVOR = "flavor"
    GPU = "gpu"
    DAY = "day"
    MONTH = "month"


class Tenure(NamedTuple):
    """The time from the grant of a GPU to its release."""

    notebook_id: str
    name: str
    owner: str
    flavor: str
    gpu_uuid: str
    granted_ms: int
    released_ms: int


class HourOfUse(NamedTuple):
    """What a run made of a GPU in an hour of the wall clock."""

    notebook_id: str
    name: str
    owner: str
    flavor: str
    gpu_uuid: str
    hour_ms: int
    use: GpuUse


@dataclass(slots=True)
class Line:
    """A line of a report, as it grows. ``price`` holds micro-units by currency."""

    minutes: int = 0
    gpu_minutes: int = 0
    leased_ms: int = 0
    use: GpuUse = field(default_factory=GpuUse)
    price: dict[str, int] = field(default_factory=dict)

    def bill(self, stay: Stay, first: int, last: int, units: int) -> None:
        """Add the minutes from ``first`` up to ``last`` of so many of a stay's units."""
        self.minutes += last - first
        if stay.gpu:
            self.gpu_minutes += (last - first) * units
        if stay.rate is not None:
            part = price(last, units, stay.rate) - price(first, units, stay.rate)
            self.price[stay.currency] = self.price.get(stay.currency, 0) + part


Row = Stay | Tenure | HourOfUse
Group = tuple[str, ...]
_VALUE: dict[GroupKey, Callable[[Row, str, int], str]] = {
    GroupKey.USER: lambda row, _gpu, _at: row.owner,
    GroupKey.NOTEBOOK: lambda row, _gpu, _at: row.notebook_id,
    GroupKey.FLAVOR: lambda row, _gpu, _at: row.flavor,
    GroupKey.GPU: lambda _row, gpu, _at: gpu,
    GroupKey.DAY: lambda _row, _gpu, at: _day(at // DAY_MS),
    GroupKey.MONTH: lambda _row, _gpu, at: _day(at // DAY_MS)[:7],
}


class Tally:
    """Sums what falls into ``window`` by the keys. A stay on several GPUs counts its minutes on each of them where the
    report is by GPU; ``total`` counts them once. ``names`` are the notebooks' latest."""

    def __init__(self, window: Window, keys: Sequence[GroupKey]) -> None:
        self.lines: dict[Group, Line] = {}
        self.total = Line()
        self.names: dict[str, str] = {}
        self._window = window
        self._values = tuple(_VALUE[key] for key in keys)
        self._by_gpu = GroupKey.GPU in keys
        days, months = GroupKey.DAY in keys, GroupKey.MONTH in keys
        self._next = next_day if days else next_month if months else None

    def add_stay(self, stay: Stay) -> None:
        """Add the minutes of a stay that commence in the window."""
        first, last = minutes_within(stay.started_ms, stay.length_ms, self._window)
        if first >= last:
            return
        self.names[stay.notebook_id] = stay.name
        self.total.bill(stay, first, last, stay.units)
        shares = [(gpu, 1) for gpu in stay.gpus] if self._by_gpu and stay.gpus else [("", stay.units)]
        count = minutes(stay.length_ms)
        begun, ended = stay.started_ms + first * MINUTE_MS, stay.started_ms + (last - 1) * MINUTE_MS + 1
        for part in self._parts(begun, ended):
            after = commenced(stay.started_ms, count, part.end_ms)
            for gpu, units in shares:
                self._line(stay, gpu, part.start_ms).bill(stay, first, after, units)
            first = after

    def add_tenure(self, tenure: Tenure) -> None:
        """Add the time for which a GPU was leased in the window."""
        begun = max(tenure.granted_ms, self._window.start_ms)
        for part in self._parts(begun, min(tenure.released_ms, self._window.end_ms)):
            self.names.setdefault(tenure.notebook_id, tenure.name)
            self._line(tenure, tenure.gpu_uuid, part.start_ms).leased_ms += part.end_ms - part.start_ms
            self.total.leased_ms += part.end_ms - part.start_ms

    def add_use(self, hour: HourOfUse) -> None:
        """Add an hour's use of a GPU, where the hour begins in the window."""
        if self._window.start_ms <= hour.hour_ms < self._window.end_ms:
            self.names.setdefault(hour.notebook_id, hour.name)
            for line in (self._line(hour, hour.gpu_uuid, hour.hour_ms), self.total):
                line.use = line.use.plus(hour.use)

    def _line(self, row: Row, gpu: str, at_ms: int) -> Line:
        group = tuple(value(row, gpu, at_ms) for value in self._values)
        line = self.lines.get(group)
        if line is None:
            line = self.lines[group] = Line()
        return line

    def _parts(self, begun_ms: int, ended_ms: int) -> Iterator[Window]:
        """The time cut at the ends of days, or months, where the report is by them."""
        while begun_ms < ended_ms:
            end_ms = ended_ms if self._next is None else min(ended_ms, self._next(begun_ms))
            yield Window(begun_ms, end_ms)
            begun_ms = end_ms


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
