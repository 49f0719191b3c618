# SPDX-License-Identifier: Apache-2.0
"""Sums of the accounts by day: see :mod:`notebookd.ports.sums`.

They hold nothing that intervals, leases and hours of use do not say. What is written there is added here in the same
transaction, split over days and GPUs by the very :class:`~notebookd.domain.usage.Tally` that a full report is made by.
They count only where ``meta`` holds the number of today's rule: without it a report reads everything, and the next
start of notebookd makes them again.
"""

from __future__ import annotations

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from notebookd.domain.billing import Bill, Stay, Window
from notebookd.domain.gpu_use import GpuUse
from notebookd.domain.ids import RunId
from notebookd.domain.usage import DAY_MS, Cell, GroupKey, HourOfUse, Line, Party, Tally, Tenure, billed_to, next_month
from notebookd.ports.sums import Totals

SUMS = "sums"
"""The key in ``meta`` of the rule that the sums were made by."""
RULE = "1"
_ALWAYS = Window(-(1 << 60), 1 << 60)
_MANY_DAYS = 5000
_FIGURES = (
    "sum(d.parts), sum(d.once), sum(d.minutes), sum(d.gpu_minutes), sum(d.leased), max(d.used), sum(d.sampled), "
    "sum(d.busy), max(d.peak_utilisation), max(d.peak_memory), sum(d.energy)"
)
_PRICES = "d.currency, sum(d.parts), sum(d.micros)"


class SumReads(ABC):
    """See :class:`~notebookd.ports.sums.SumReader`."""

    @abstractmethod
    def _rows(self, name: str, values: Any = ()) -> list[Any]: ...

    @abstractmethod
    def _fetch(self, sql: str, values: Any = ()) -> list[Any]: ...

    def keeps_sums(self) -> bool:
        """Whether they are of today's rule."""
        return any(row[0] == RULE for row in self._rows("meta", (SUMS,)))

    def list_sums(self, days: Window, keys: Collection[GroupKey], owner: str | None) -> Iterator[Cell]:
        """A cell for each group and day or month."""
        first, until = days.start_ms // DAY_MS, days.end_ms // DAY_MS
        if GroupKey.MONTH not in keys or GroupKey.DAY in keys:
            yield from self._between(first, until, keys, owner)
            return
        if until - first > _MANY_DAYS:  # of the months of all time most are empty
            earliest, latest = self._rows("summed_days")[0]
            first, until = max(first, earliest or 0), min(until, (latest or 0) + 1)
        while first < until:
            edge = min(until, next_month(first * DAY_MS) // DAY_MS)
            yield from self._between(first, edge, keys, owner)
            first = edge

    def _between(self, first: int, until: int, keys: Collection[GroupKey], owner: str | None) -> Iterator[Cell]:
        values = {"first": first, "until": until, "owner": owner}
        for table, figures, line in (("usage_day", _FIGURES, _line), ("usage_price", _PRICES, _price_line)):
            for row in self._fetch(_query(table, figures, keys, of_owner=owner is not None), values):
                yield Cell(Party(*row[:3]), row[3], (row[4] + 1) * DAY_MS, line(*row[5:]))

    def sum_totals(self) -> Totals:
        """Of the sums."""
        return Totals(*self._rows("summed_totals")[0])

    def walk_totals(self) -> Totals:
        """Of what they are made from."""
        return Totals(*self._rows("walked_totals")[0])


def _query(table: str, figures: str, keys: Collection[GroupKey], *, of_owner: bool) -> str:
    """Sums of a table between two days. Accounts are read one after the other, each in the order of its days: what is
    grouped so need not be sorted."""
    by_gpu, by_day = GroupKey.GPU in keys, GroupKey.DAY in keys
    columns = {GroupKey.NOTEBOOK: "a.notebook_id", GroupKey.USER: "a.owner", GroupKey.FLAVOR: "a.flavor"}
    words = [column if key in keys else "''" for key, column in columns.items()]
    words += ["a.gpu_uuid" if by_gpu else "''", "d.day" if by_day else ":until - 1"]
    groups = ["a.id"]
    if by_day:
        coarse = GroupKey.NOTEBOOK not in keys
        groups = [word for word in words if word[1] == "."] if coarse else ["a.id", "d.day"]
    if table == "usage_price":
        groups.append("d.currency")
    return (
        f"SELECT {', '.join(words)}, {figures} FROM usage_account a CROSS JOIN {table} d "  # noqa: S608 - constants all
        "ON d.account = a.id AND d.day >= :first AND d.day < :until "
        f"WHERE a.gpu_uuid IS {'NOT NULL' if by_gpu else 'NULL'} {'AND a.owner = :owner ' if of_owner else ''}"
        f"GROUP BY {', '.join(groups)}"
    )


class _Walks(Protocol):
    """What the sums are made from."""

    def find_bill(self, run_id: RunId) -> Bill | None: ...
    def list_stays(self, window: Window, owner: str | None) -> Iterable[Stay]: ...
    def list_ended_tenures(self, window: Window, owner: str | None) -> Iterable[Tenure]: ...
    def list_use(self, window: Window, owner: str | None) -> Iterable[HourOfUse]: ...


class SumWrites(ABC):
    """Brings the sums up to date, inside the transaction that changes what they are made from."""

    @abstractmethod
    async def _run(self, query: str, /, **values: Any) -> None: ...

    @abstractmethod
    def _rows(self, name: str, values: Any = ()) -> list[Any]: ...

    async def doubt_sums(self) -> None:
        """Have them made again at the next start, and go by none until then."""
        await self._run("put_meta", key=SUMS, value="")

    async def _sum_stay(self, stay: Stay, sign: int = 1) -> None:
        """Add a closed stay, or take it back."""
        await self._sum(lambda tally: tally.add_stay(stay), sign)

    async def _sum_tenure(self, tenure: Tenure, sign: int = 1) -> None:
        """Add a lease that is over, or take it back."""
        await self._sum(lambda tally: tally.add_tenure(tenure), sign)

    async def _sum_use(self, hour: HourOfUse) -> None:
        """Add to an hour's use."""
        await self._sum(lambda tally: tally.add_use(hour), 1)

    async def _sum(self, add: Callable[[Tally], None], sign: int) -> None:
        for keys in _BOTH:
            tally = Tally(_ALWAYS, keys, self._party)
            add(tally)
            for cell in tally.cells:
                await self._add(cell, sign, by_gpu=GroupKey.GPU in keys)

    def _party(self, run_id: str) -> Party:
        _, notebook_id, _, owner, flavor, *_ = self._rows("bill", (run_id,))[0]
        return Party(notebook_id, owner, flavor)

    async def _add(self, cell: Cell, sign: int, *, by_gpu: bool) -> None:
        account = _account(cell, by_gpu=by_gpu)
        day = (cell.edge_ms - 1) // DAY_MS
        await self._run("open_account", **account)
        await self._run("add_to_day", **account, day=day, **_figures(cell.line, sign))
        for currency, micros in cell.line.price.items():
            parts = sign * cell.line.rated[currency]
            await self._run("add_to_price", **account, day=day, currency=currency, parts=parts, micros=sign * micros)
        if sign < 0:
            await self._run("drop_empty_day", **account, day=day)
            await self._run("drop_empty_price", **account, day=day)


_BOTH: tuple[Sequence[GroupKey], ...] = ((GroupKey.DAY,), (GroupKey.GPU, GroupKey.DAY))


def make_sums(connection: sqlite3.Connection, queries: Mapping[str, str], reader: _Walks) -> None:
    """Make the sums from all that is on record, in one transaction. ``reader`` reads by ``connection``.

    Raises:
        sqlite3.Error: nothing was changed.
    """

    def party_of(run_id: str) -> Party:
        bill = reader.find_bill(RunId(run_id))
        assert bill is not None, "a run is never removed"
        return billed_to(bill)

    connection.execute("BEGIN IMMEDIATE")
    try:
        for table in ("price", "day", "account"):
            connection.execute(queries[f"forget_each_{table}"])
        sheet = _Sheet(connection, queries)
        for month in _months(connection.execute(queries["walked_days"]).fetchone()):
            for keys in _BOTH:
                tally = Tally(month, keys, party_of)
                for stay in reader.list_stays(month, None):
                    tally.add_stay(stay)
                for tenure in reader.list_ended_tenures(month, None):
                    tally.add_tenure(tenure)
                for hour in reader.list_use(month, None):
                    tally.add_use(hour)
                sheet.fill(tally, by_gpu=GroupKey.GPU in keys)
        connection.execute(queries["put_meta"], {"key": SUMS, "value": RULE})
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")


def _months(span: tuple[int | None, int | None]) -> Iterator[Window]:
    """The months that hold all from the first to the last instant."""
    start_ms, last_ms = span
    if start_ms is None or last_ms is None:
        return
    while start_ms <= last_ms:
        end_ms = next_month(start_ms)
        yield Window(start_ms, end_ms)
        start_ms = end_ms


class _Sheet:
    """Empty sums, as they are filled day by day: no day of an account is written twice."""

    def __init__(self, connection: sqlite3.Connection, queries: Mapping[str, str]) -> None:
        self._connection = connection
        self._queries = queries
        self._accounts: dict[tuple[Party, str | None], int] = {}

    def fill(self, tally: Tally, *, by_gpu: bool) -> None:
        """Write what came together in some days that were not written yet."""
        days, prices = [], []
        for cell in tally.cells:
            place = {"account": self._account(cell, by_gpu=by_gpu), "day": (cell.edge_ms - 1) // DAY_MS}
            days.append(place | _figures(cell.line, 1))
            for currency, micros in cell.line.price.items():
                prices.append(place | {"currency": currency, "parts": cell.line.rated[currency], "micros": micros})
        self._connection.executemany(self._queries["fill_day"], days)
        self._connection.executemany(self._queries["fill_price"], prices)

    def _account(self, cell: Cell, *, by_gpu: bool) -> int:
        key = (cell.party, cell.gpu if by_gpu else None)
        if key not in self._accounts:
            opened = self._connection.execute(self._queries["open_account"], _account(cell, by_gpu=by_gpu))
            assert opened.lastrowid is not None
            self._accounts[key] = opened.lastrowid
        return self._accounts[key]


def _account(cell: Cell, *, by_gpu: bool) -> dict[str, str | None]:
    return {**cell.party._asdict(), "gpu_uuid": cell.gpu if by_gpu else None}


def use_columns(use: GpuUse) -> dict[str, int]:
    """The use of a GPU in the units of the database."""
    return {
        "sampled": round(use.sampled_s * 1000),
        "busy": round(use.busy_s * 1000),
        "peak_utilisation": round(use.peak_utilisation * 1000),
        "peak_memory": use.peak_memory_bytes,
        "energy": round(use.energy_j * 1000),
    }


def use_of(sampled: int, busy: int, peak_utilisation: int, peak_memory: int, energy: int) -> GpuUse:
    """The use of a GPU from the units of the database."""
    return GpuUse(
        sampled_s=sampled / 1000,
        busy_s=busy / 1000,
        peak_utilisation=peak_utilisation / 1000,
        peak_memory_bytes=peak_memory,
        energy_j=energy / 1000,
    )


def _figures(line: Line, sign: int) -> dict[str, int]:
    return {
        "parts": sign * line.parts,
        "used": int(line.used),
        "once": sign * line.once,
        "minutes": sign * line.minutes,
        "gpu_minutes": sign * line.gpu_minutes,
        "leased": sign * line.leased_ms,
        **use_columns(line.use),
    }


def _line(parts: int, once: int, minutes: int, gpu_minutes: int, leased: int, used: int, *use: int) -> Line:
    line = Line(parts=parts, once=once, minutes=minutes, gpu_minutes=gpu_minutes, leased_ms=leased)
    if used:
        line.use = use_of(*use)
    return line


def _price_line(currency: str, parts: int, micros: int) -> Line:
    return Line(price={currency: micros}, rated={currency: parts})
