# SPDX-License-Identifier: Apache-2.0
"""The accounts as the store keeps them."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import AbstractAsyncContextManager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from notebookd.adapters.sqlite import SqliteStore, schema
from notebookd.adapters.sqlite.store import SqliteTransaction
from notebookd.domain.billing import Departure, Interval, Tariff, Window, bill_of, checkpointed, closed, opened, stay
from notebookd.domain.clocks import Reading, wall_ms
from notebookd.domain.gpu_use import GpuUse
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.rules import Rules
from notebookd.domain.run import Run, RunState
from notebookd.domain.usage import HourOfUse, Tenure
from notebookd.errors import StoreUnavailable
from notebookd.ports.sums import Totals
from notebookd.record.meter import Meter
from notebookd.testing.clock import FakeClock
from tests.values import NOW, RUN_ID, after, notebook, run

TARIFF = Tariff(currency="EUR", rates={"fake-80gb-1-gpu": 2_800_000})
OTHER_RUN = RunId("33333333-2222-4222-8222-222222222222")
OTHER_NOTEBOOK = NotebookId("33333333-1111-4111-8111-111111111111")
HOUR = 3_600_000
BASE = wall_ms(NOW)
ALWAYS = Window(0, 10**14)


def read(seconds: float, boot: str = "a") -> Reading:
    return Reading(at_ms=BASE + round(seconds * 1000), boot_ms=round(seconds * 1000) + 5_000_000, boot_id=boot)


def running(**changes: object) -> Run:
    return run(RunState.RUNNING, **changes)


async def seed(store: SqliteStore, made: Run | None = None, owner: str = "alice") -> Interval:
    """A run with a stay that goes on."""
    made = made or running()
    book = notebook(id=made.notebook_id, owner=owner)
    async with store.transaction() as tx:
        await tx.put_notebook(book)
        await tx.put_run(made)
        interval = opened(bill_of(book, made), made, TARIFF, read(1))
        await tx.put_interval(interval)
    return interval


async def another(store: SqliteStore) -> Interval:
    return await seed(store, running(id=OTHER_RUN, notebook_id=OTHER_NOTEBOOK, gpus=("GPU-1",)), owner="bob")


async def test_an_interval_comes_back_as_it_was(store: SqliteStore) -> None:
    interval = await seed(store)
    assert interval.gpus == ("GPU-0",)
    assert store.list_intervals(RUN_ID) == [interval]
    assert store.list_open_intervals(None) == store.list_open_intervals("alice") == [interval]
    assert store.list_open_intervals("bob") == []
    assert store.find_bill(RUN_ID) == bill_of(notebook(), running())
    async with store.transaction() as tx:
        ended = closed(checkpointed(interval, read(61)), Departure(), read(91))
        await tx.put_interval(ended)
    assert store.list_intervals(RUN_ID) == [ended]
    assert store.list_open_intervals(None) == []


async def test_what_was_agreed_at_the_beginning_stays(store: SqliteStore) -> None:
    interval = await seed(store)
    mallory = replace(interval.bill, owner="mallory", units=0)
    async with store.transaction() as tx:
        await tx.put_interval(replace(interval, rate=1, currency="USD", started=read(500), gpus=(), bill=mallory))
    assert store.list_intervals(RUN_ID) == [interval]
    assert store.find_bill(RUN_ID) == bill_of(notebook(), running())


async def test_a_checkpoint_marks_the_open_stays_of_this_boot_and_never_goes_back(store: SqliteStore) -> None:
    mine, others = await seed(store), await another(store)
    for reading, expected in ((read(61), 61), (read(30), 61), (read(400, "b"), 61), (read(90), 90)):
        async with store.transaction() as tx:
            await tx.checkpoint([RUN_ID], reading)
        assert store.list_intervals(RUN_ID)[0].seen == read(expected)
        mine = checkpointed(mine, reading)
        assert store.list_intervals(RUN_ID) == [mine], "as the domain has it"
    assert store.list_intervals(OTHER_RUN) == [others]
    ended = closed(mine, Departure(), read(100))
    async with store.transaction() as tx:
        await tx.put_interval(ended)
        await tx.checkpoint([RUN_ID], read(200))
    assert store.list_intervals(RUN_ID) == [ended]


async def test_a_run_has_one_open_stay_at_most(store: SqliteStore) -> None:
    interval = await seed(store)
    with pytest.raises(StoreUnavailable, match="UNIQUE"):
        async with store.transaction() as tx:
            await tx.put_interval(replace(interval, position=9))
    assert store.list_intervals(RUN_ID) == [interval]


@pytest.mark.parametrize("change", [{"length_ms": -1}, {"state": RunState.QUEUED}, {"rate": -5}])
async def test_the_database_refuses_a_stay_that_cannot_be(store: SqliteStore, change: dict[str, Any]) -> None:
    interval = replace(await seed(store), position=3, length_ms=0)
    with pytest.raises(StoreUnavailable, match="CHECK"):
        async with store.transaction() as tx:
            await tx.put_interval(replace(interval, **change))


async def test_stays_are_found_by_window_and_owner(store: SqliteStore) -> None:
    mine, others = await seed(store), await another(store)
    ends = {"alice": closed(mine, Departure(), read(601)), "bob": closed(others, Departure(), read(1201))}
    async with store.transaction() as tx:
        for each in ends.values():
            await tx.put_interval(each)

    def owners(start_s: float, end_s: float, owner: str | None = None) -> list[str]:
        window = Window(BASE + round(start_s * 1000), BASE + round(end_s * 1000))
        return sorted(row.owner for row in store.list_stays(window, owner))

    assert owners(0, 100) == ["alice", "bob"]
    assert owners(0, 100, "bob") == owners(700, 800) == ["bob"]
    assert owners(0, 1) == owners(1300, 1400) == []
    assert owners(1, 1.001) == ["alice", "bob"], "the first minute commences there"
    assert owners(601, 602) == ["alice", "bob"]
    rows = list(store.list_stays(ALWAYS, "alice"))
    assert rows == [stay(ends["alice"], read(0))]


async def test_leases_are_found_by_window_and_end_with_now(store: SqliteStore) -> None:
    await seed(store, running(granted_at=after(10), gpus=("GPU-0", "GPU-1")))
    now = BASE + 60_000
    expected = [Tenure(RUN_ID, gpu, BASE + 10_000, now) for gpu in ("GPU-0", "GPU-1")]
    assert sorted(store.list_open_tenures(None, now)) == store.list_run_tenures(RUN_ID, now) == expected
    assert sorted(store.list_open_tenures("alice", now)) == expected
    assert store.list_open_tenures("bob", now) == []
    assert list(store.list_ended_tenures(ALWAYS, None)) == []
    async with store.transaction() as tx:
        await tx.put_run(
            running(version=1, place=1, granted_at=after(10), gpus=("GPU-0", "GPU-1"), released_at=after(40))
        )
    assert store.list_open_tenures(None, now) == []
    for owner, count in ((None, 2), ("alice", 2), ("bob", 0)):
        ends = [row.released_ms for row in store.list_ended_tenures(ALWAYS, owner)]
        assert ends == [BASE + 40_000] * count
    assert list(store.list_ended_tenures(Window(0, BASE + 10_000), None)) == []
    assert list(store.list_ended_tenures(Window(BASE + 40_000, BASE + 50_000), None)) == []


async def test_sums_that_are_doubted_are_not_gone_by_and_made_again_at_the_next_start(path: Path) -> None:
    async with SqliteStore.open(path, NOW, ballast_bytes=4096) as store:
        ended = closed(await seed(store), Departure(), read(91))
        async with store.transaction() as tx:
            await tx.put_interval(ended)
        assert store.sum_totals() == store.walk_totals() == Totals(2, 0, 0, 0)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE interval SET length = 600000")  # by hand
    async with SqliteStore.open(path, NOW, ballast_bytes=4096) as store:
        assert store.keeps_sums()
        assert (store.sum_totals().minutes, store.walk_totals().minutes) == (2, 10)
        async with store.transaction() as tx:
            await tx.doubt_sums()
        assert not store.keeps_sums()
    async with SqliteStore.open(path, NOW, ballast_bytes=4096) as store:
        assert store.keeps_sums()
        assert store.sum_totals() == store.walk_totals() == Totals(10, 0, 0, 0)


async def test_the_meter_finds_sums_that_are_wrong(store: SqliteStore, path: Path) -> None:
    ended = closed(await seed(store), Departure(), read(91))
    async with store.transaction() as tx:
        await tx.put_interval(ended)
    meter = Meter(store, FakeClock(), lambda: Rules(tariff=TARIFF))
    await meter.check_sums()
    assert store.keeps_sums()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE usage_day SET once = once + 1")
    await meter.check_sums()
    assert not store.keeps_sums()


async def test_a_change_that_fails_leaves_the_sums_as_they_were(store: SqliteStore) -> None:
    ended = closed(await seed(store), Departure(), read(91))

    async def fail() -> None:
        async with store.transaction() as tx:
            await tx.put_interval(ended)
            assert store.sum_totals().minutes == 2
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert store.sum_totals() == store.walk_totals() == Totals(0, 0, 0, 0)


async def test_the_use_of_a_gpu_is_added_up_by_the_hour(store: SqliteStore) -> None:
    await seed(store)
    use = GpuUse(sampled_s=60, busy_s=30, peak_utilisation=0.5, peak_memory_bytes=100, energy_j=10)
    more = GpuUse(sampled_s=60, busy_s=60, peak_utilisation=0.9, peak_memory_bytes=50, energy_j=5.5)
    async with store.transaction() as tx:
        await tx.add_gpu_use(RUN_ID, "GPU-0", BASE, use)
        await tx.add_gpu_use(RUN_ID, "GPU-0", BASE + HOUR - 1, more)
        await tx.add_gpu_use(RUN_ID, "GPU-0", BASE + HOUR, use)
    who = (RUN_ID, "GPU-0")
    assert list(store.list_use(ALWAYS, None)) == [
        HourOfUse(*who, BASE, use.plus(more)),
        HourOfUse(*who, BASE + HOUR, use),
    ]
    assert list(store.list_use(Window(BASE + 1, BASE + HOUR), None)) == []
    assert store.list_run_use(RUN_ID) == {"GPU-0": use.plus(more).plus(use)}


async def test_a_report_reads_one_state_in_a_thread_and_cannot_write(store: SqliteStore) -> None:
    interval = await seed(store)
    loop = asyncio.get_running_loop()

    def look(reader: Any) -> tuple[int, int]:
        before = len(list(reader.list_open_intervals(None)))
        asyncio.run_coroutine_threadsafe(end(), loop).result(10)
        return before, len(list(reader.list_open_intervals(None)))

    async def end() -> None:
        async with store.transaction() as tx:
            await tx.put_interval(closed(interval, Departure(), read(9)))

    assert await store.report(look) == (1, 1)
    assert store.list_open_intervals(None) == []
    with pytest.raises(StoreUnavailable, match="readonly"):
        await store.report(lambda reader: reader._rows("put_meta", {"key": "k", "value": "v"}))


async def test_a_database_without_accounts_gets_the_bills_of_its_runs(path: Path) -> None:
    older = schema.load_migrations()[:2]
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for number, script in enumerate(older, start=1):
            connection.executescript(script)
            connection.execute(f"PRAGMA user_version = {number}")
        connection.execute(
            "INSERT INTO notebook (id, owner, name, wanted, created_at, updated_at, version, body) "
            "VALUES ('n', 'alice', 'mine', 'running', 0, 0, 1, '{}')"
        )
        connection.execute(
            "INSERT INTO run (id, notebook_id, number, state, queued_at, version, body) "
            """VALUES ('r', 'n', 1, 'DONE', 0, 1, '{"resources": {"flavor": "h100-1-gpu", "units": 2, "gpu": true}}')"""
        )
    async with SqliteStore.open(path, NOW, ballast_bytes=4096) as store:
        (bill,) = store.list_bills(NotebookId("n"))
        assert (bill.owner, bill.name, bill.flavor, bill.units, bill.gpu) == ("alice", "mine", "h100-1-gpu", 2, True)
        assert store.list_intervals(RunId("r")) == []


class FullStore(SqliteStore):
    """A store that cannot write while ``full``."""

    full = False

    def transaction(self) -> AbstractAsyncContextManager[SqliteTransaction]:
        """See :meth:`SqliteStore.transaction`."""
        if self.full:
            raise StoreUnavailable("cannot write the database: database or disk is full")
        return super().transaction()


async def test_a_meter_starts_on_a_full_disk_and_notes_later_what_befell_the_clocks(path: Path) -> None:
    clock = FakeClock()
    async with FullStore.open(path, NOW, ballast_bytes=4096) as store:
        await Meter(store, clock, lambda: Rules(tariff=TARIFF)).adopt()
        clock.step_wall(-600)
        store.full = True
        meter = Meter(store, clock, lambda: Rules(tariff=TARIFF))
        await meter.adopt()
        assert store.last_event_id() == 0
        store.full = False
        await meter.adopt()
        await meter.adopt()
        (event,) = store.list_events(after=0, limit=9, notebook_id=None, owner=None)
        assert (event.type, event.data) == ("clock.stepped", {"seconds": -600.0})
