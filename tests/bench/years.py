# SPDX-License-Identifier: Apache-2.0
"""A report of a year beside one of a month that reads every interval, as all reports once did."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from notebookd.adapters.sqlite import SqliteStore
from notebookd.domain.actor import Actor, Role
from notebookd.domain.billing import Window
from notebookd.domain.clocks import wall_ms
from notebookd.domain.rules import Rules
from notebookd.domain.usage import GroupKey, month_of
from notebookd.record.meter import Meter
from notebookd.service.usage import Usage
from notebookd.testing.clock import FakeClock
from tests.bench.control import scratch
from tests.bench.figures import Figure, ratio
from tests.bench.history import Stays, add_books, add_stays, books_of, connected

IN_YEAR, IN_MONTH = 900_000, 100_000
NOTEBOOKS, OWNERS = 1_000, 40
ROUNDS = 5
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
YEAR = Window(wall_ms(datetime(2025, 12, 1, tzinfo=UTC)), wall_ms(datetime(2026, 12, 1, tzinfo=UTC)))
MONTH = month_of(wall_ms(NOW))
MOST = 1.0
ADMIN = Actor(name="root", role=Role.ADMIN)
GROUPS = (
    ((GroupKey.USER,), MOST),
    ((GroupKey.USER, GroupKey.MONTH), MOST),
    ((GroupKey.USER, GroupKey.DAY), MOST),
    ((GroupKey.USER, GroupKey.GPU), MOST),
    ((GroupKey.NOTEBOOK, GroupKey.DAY), None),  # 365 times as many lines as notebooks: the answer itself is long
)


def measure_years() -> list[Figure]:
    """A million intervals in a year, a hundred thousand of them in its last month."""
    with scratch() as folder:
        return asyncio.run(_measure(folder / "notebookd.db"))


async def _measure(path: Path) -> list[Figure]:
    async with SqliteStore.open(path, NOW, ballast_bytes=4096):
        pass
    with closing(connected(path)) as connection:
        add_books(connection, NOTEBOOKS, OWNERS)
        connection.commit()
        books = books_of(connection)
    stays = Stays(count=IN_YEAR, window=Window(YEAR.start_ms, MONTH.start_ms))
    add_stays(path, books, stays, Stays(count=IN_MONTH, window=Window(MONTH.start_ms, wall_ms(NOW))))
    begun = time.perf_counter()
    async with SqliteStore.open(path, NOW, ballast_bytes=4096) as store:
        made = Figure(
            name="a start that makes the sums of a million intervals",
            values=(time.perf_counter() - begun,),
            unit="s",
            digits=1,
        )
        figures = [made]
        usage = Usage(store, Meter(store, FakeClock(NOW), Rules))
        for keys, target in GROUPS:
            figures += await _compare(store, usage, keys, target)
    return figures


async def _compare(store: SqliteStore, usage: Usage, keys: Sequence[GroupKey], target: float | None) -> list[Figure]:
    year, odd, month, walk = [], [], [], []
    for _ in range(ROUNDS):
        year.append(await _once(usage, YEAR, keys))
        odd.append(await _once(usage, Window(YEAR.start_ms + 1, YEAR.end_ms - 1), keys))
        month.append(await _once(usage, MONTH, keys))
        async with store.transaction() as tx:
            kept = store.find_meta("sums") or ""
            await tx.doubt_sums()
        walk.append(await _once(usage, MONTH, keys))
        async with store.transaction() as tx:
            await tx.put_meta("sums", kept)
    by = " and ".join(keys)
    ours = Figure(
        name=f"usage of a year by {by}: {IN_YEAR + IN_MONTH:,} intervals", values=tuple(year), unit="s", digits=2
    )
    theirs = Figure(
        name=f"  of its last month, every interval read: {IN_MONTH:,}", values=tuple(walk), unit="s", digits=2
    )
    return [
        ours,
        Figure(name="  of a year that begins and ends within a day", values=tuple(odd), unit="s", digits=2),
        Figure(name="  of that month, by the sums", values=tuple(month), unit="s", digits=2),
        theirs,
        ratio("  the year over the month read", ours, theirs, target=target),
    ]


async def _once(usage: Usage, window: Window, keys: Sequence[GroupKey]) -> float:
    begun = time.perf_counter()
    report = await usage.report(ADMIN, window, keys)
    taken = time.perf_counter() - begun
    assert report.total.minutes > IN_MONTH
    return taken
