# SPDX-License-Identifier: Apache-2.0
"""Whatever is billed, leased, used, amended, given away and renamed: a report by the sums is the report of a full walk,
for every window, grouping, owner and selector; and sums that are made anew are those that grew."""

from __future__ import annotations

import asyncio
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from notebookd.adapters.sqlite import SqliteStore
from notebookd.adapters.sqlite.sums import RULE, SUMS
from notebookd.domain.actor import Actor, Role
from notebookd.domain.billing import MINUTE_MS, Bill, Interval, Window, bill_of
from notebookd.domain.clocks import Reading, moment, wall_ms
from notebookd.domain.gpu_use import GpuUse
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.rules import Rules
from notebookd.domain.run import RunState
from notebookd.domain.token import READ, LabelSelector, Token, TokenId
from notebookd.domain.usage import DAY_MS, GroupKey, LabelKey, Line
from notebookd.record.meter import Meter
from notebookd.service.usage import Report, Usage, spent_gpu_minutes
from notebookd.testing.clock import FakeClock
from tests.values import NOW, notebook, resources, run

BEGIN = wall_ms(datetime(2025, 12, 20, tzinfo=UTC))
"""Over the edges of two months and a year."""
END = BEGIN + 75 * DAY_MS
LATE = datetime(2026, 3, 20, 7, 3, tzinfo=UTC)

near_midnight = st.builds(
    lambda day, by: BEGIN + day * DAY_MS + by,
    st.integers(0, 75),
    st.sampled_from([-MINUTE_MS, -1, 0, 1, MINUTE_MS, MINUTE_MS + 1]),
)
instants = st.one_of(st.integers(BEGIN, END), near_midnight)
lengths = st.one_of(
    st.integers(0, 9 * DAY_MS),
    st.integers(0, 3000).map(lambda count: count * MINUTE_MS),
    st.integers(1, 3000).map(lambda count: count * MINUTE_MS + 1),
    st.just(0),
)
uses = st.builds(
    GpuUse,
    sampled_s=st.sampled_from([0.0, 60.0, 59.9994]),
    busy_s=st.sampled_from([0.0, 30.0, 12.3456]),
    peak_utilisation=st.sampled_from([0.0, 0.5, 1.0]),
    peak_memory_bytes=st.sampled_from([0, 1 << 30]),
    energy_j=st.sampled_from([0.0, 1234.5]),
)


class Stayed(NamedTuple):
    """A stay; ``amended`` is its length when it was found to have been shorter."""

    gap: int
    length: int
    amended: int | None


class Lived(NamedTuple):
    """A run of a notebook. Its lease begins a little before its first stay, and ends after the last, or not at all."""

    notebook: int
    gpus: int
    flavor: str
    rate: int | None
    currency: str
    granted: int
    boot: int
    stays: list[Stayed]
    goes_on: bool
    uses: list[tuple[int, int, GpuUse]]


class Given(NamedTuple):
    """A notebook is given to another owner."""

    notebook: int
    owner: str


class Retired(NamedTuple):
    """A name stands for another account from now on."""

    owner: str


lives = st.builds(
    Lived,
    notebook=st.integers(0, 2),
    gpus=st.integers(0, 3),
    flavor=st.sampled_from(["a", "b"]),
    rate=st.sampled_from([None, 0, 1, 2_800_000]),
    currency=st.sampled_from(["EUR", "USD"]),
    granted=instants,
    boot=st.integers(0, 2 * MINUTE_MS),
    stays=st.lists(st.builds(Stayed, st.integers(0, DAY_MS), lengths, st.none() | lengths), max_size=3),
    goes_on=st.booleans(),
    uses=st.lists(st.tuples(st.integers(0, 2), instants, uses), max_size=3),
)
names = st.sampled_from(["alice", "bob"])
histories = st.lists(
    lives | lives | lives | st.builds(Given, st.integers(0, 2), names) | st.builds(Retired, names), max_size=7
)
windows = st.tuples(instants, instants).filter(lambda pair: pair[0] != pair[1]).map(lambda pair: Window(*sorted(pair)))
days = st.tuples(st.integers(-1, 76), st.integers(1, 60)).map(
    lambda pair: Window(BEGIN + pair[0] * DAY_MS, BEGIN + (pair[0] + pair[1]) * DAY_MS)
)
questions = st.lists(
    st.tuples(
        st.one_of(windows, days, st.just(Window(0, 10**14))),
        st.lists(st.sampled_from([*GroupKey, LabelKey("team")]), unique=True),
        st.sampled_from([None, None, "alice", "alice (uid 1000)"]),
        st.sampled_from([None, None, LabelSelector(name="team", value="1")]),
    ),
    min_size=3,
    max_size=6,
)


async def play(store: SqliteStore, history: Sequence[Lived | Given | Retired]) -> None:
    """Put it on record as the daemon would."""
    books = [
        notebook(id=NotebookId(f"n{number}"), owner="alice", name=f"name-{number}", labels={"team": str(number % 2)})
        for number in range(3)
    ]
    async with store.transaction() as tx:
        books = [await tx.put_notebook(book) for book in books]
    numbers = [0, 0, 0]
    for place, event in enumerate(history):
        match event:
            case Lived():
                numbers[event.notebook] += 1
                await live(store, books[event.notebook], event, place, numbers[event.notebook])
            case Given():
                async with store.transaction() as tx:
                    books[event.notebook] = await tx.put_notebook(replace(books[event.notebook], owner=event.owner))
            case Retired():
                async with store.transaction() as tx:
                    await tx.retire(event.owner, f"{event.owner} (uid 1000)")


async def live(store: SqliteStore, book: Any, life: Lived, place: int, number: int) -> None:
    """One run from its grant on."""
    gpus = tuple(f"GPU-{place}-{index}" for index in range(life.gpus))  # nobody else's: leases may overlap here
    made = run(
        RunState.RUNNING,
        id=RunId(f"r{place}"),
        notebook_id=book.id,
        number=number,
        resources=resources(life.gpus, flavor=life.flavor) if life.gpus else resources(0, flavor=life.flavor),
        gpus=gpus,
        granted_at=moment(life.granted),
    )
    async with store.transaction() as tx:
        made = await tx.put_run(made)
    bill, at = bill_of(book, made), life.granted + life.boot
    for position, stayed in enumerate(life.stays):
        at += stayed.gap
        last = position == len(life.stays) - 1
        interval = interval_of(bill, life, position, gpus, at)
        async with store.transaction() as tx:
            await tx.put_interval(interval)
        if last and life.goes_on:
            return
        for length in (stayed.length, stayed.amended):
            if length is not None:
                async with store.transaction() as tx:
                    await tx.put_interval(replace(interval, length_ms=length))
        at += stayed.length
    for gpu, instant, use in life.uses:
        if gpu < len(gpus):
            async with store.transaction() as tx:
                await tx.add_gpu_use(made.id, gpus[gpu], instant, use)
    if life.stays or not life.goes_on:
        async with store.transaction() as tx:
            await tx.put_run(replace(made, released_at=moment(at + 1000)))


def interval_of(bill: Bill, life: Lived, position: int, gpus: tuple[str, ...], at: int) -> Interval:
    """A stay that goes on."""
    started = Reading(at_ms=at, boot_ms=at - BEGIN + DAY_MS, boot_id="boot")
    return Interval(
        bill=bill,
        position=position,
        state=RunState.RUNNING,
        gpus=gpus,
        started=started,
        seen=replace(started, boot_ms=started.boot_ms + 90_000),
        currency=life.currency,
        rate=life.rate,
    )


def asking(selector: LabelSelector | None) -> Actor:
    """Somebody who may see everything, or what a selector picks of it."""
    token = Token(
        id=TokenId("t"),
        owner="root",
        name="t",
        role=READ,
        digest="",
        created_at=NOW,
        updated_at=NOW,
        selector=selector,
    )
    return Actor(name="root", role=Role.ADMIN, token=token if selector else None)


def said(report: Report) -> Any:
    """A report as it can be compared: floats to the thousandth, as the API has them."""
    lines = [*((group, line) for group, line in report.lines), ((), report.total)]
    return dict(report.names), [
        (
            group,
            (line.minutes, line.gpu_minutes, line.leased_ms, dict(line.price)),
            (round(line.use.sampled_s, 3), round(line.use.busy_s, 3), round(line.use.energy_j, 3)),
            (line.use.peak_utilisation, line.use.peak_memory_bytes),
        )
        for group, line in lines
    ]


def grown(path: Path) -> Any:
    """The sums as they lie in the database; accounts that were given the same words count as one."""
    words = "a.notebook_id, a.owner, a.flavor, a.gpu_uuid, d.day"
    with closing(sqlite3.connect(path)) as database:
        found = [
            database.execute(
                f"SELECT {words}, sum(parts), max(used), sum(once), sum(minutes), sum(gpu_minutes), sum(leased), "
                "sum(sampled), sum(busy), max(peak_utilisation), max(peak_memory), sum(energy) "
                f"FROM usage_account a JOIN usage_day d ON d.account = a.id GROUP BY {words}"
            ).fetchall(),
            database.execute(
                f"SELECT {words}, currency, sum(parts), sum(micros) "
                f"FROM usage_account a JOIN usage_price d ON d.account = a.id GROUP BY {words}, currency"
            ).fetchall(),
        ]
    return [sorted(rows, key=repr) for rows in found]


async def compare(path: Path, history: Sequence[Any], asked: Sequence[Any]) -> None:
    """Every question, by the sums and by everything."""
    clock = FakeClock(LATE)
    async with SqliteStore.open(path, NOW, ballast_bytes=1) as store:
        await play(store, history)
        usage = Usage(store, Meter(store, clock, Rules))
        assert store.keeps_sums()
        assert store.sum_totals() == store.walk_totals()

        async def answers() -> list[Any]:
            reports = [
                said(await usage.report(asking(selector), window, keys, owner))
                for window, keys, owner, selector in asked
            ]
            spent = [spent_gpu_minutes(store, owner, usage._meter.read()) for owner in ("alice", "bob")]
            return [*reports, spent]

        by_sums = await answers()
        for window, _, owner, selector in asked:
            whole = await usage.report(asking(selector), window, [], owner)
            labelled = await usage.report(asking(selector), window, [LabelKey("team")], owner)
            parts = Line()
            for _, line in labelled.lines:
                parts.add(line)
            parts.minutes = parts.once
            assert said(replace(labelled, lines=[((), parts)])) == said(replace(whole, lines=[((), whole.total)]))
        async with store.transaction() as tx:
            await tx.doubt_sums()
        assert not store.keeps_sums()
        assert by_sums == await answers()
    before = grown(path)
    async with SqliteStore.open(path, NOW, ballast_bytes=1) as store:
        assert store.find_meta(SUMS) == RULE
    assert grown(path) == before


@settings(deadline=None, max_examples=40)
@given(history=histories, asked=questions)
def test_a_report_by_the_sums_is_that_of_a_full_walk(history: list[Any], asked: list[Any]) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        asyncio.run(compare(Path(folder) / "notebookd.db", history, asked))
