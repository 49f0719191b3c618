# SPDX-License-Identifier: Apache-2.0
"""Atomic against kill -9, against other tasks, against cancellation, and against other processes."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from notebookd.adapters.sqlite import SqliteStore
from notebookd.domain.event import Event
from notebookd.domain.ids import NotebookId
from notebookd.errors import StoreUnavailable
from tests.store.slow import held
from tests.values import NOTEBOOK_ID, NOW, RUN_ID, notebook, run

ROOT = Path(__file__).parents[2]
OTHER = NotebookId("99999999-1111-4111-8111-111111111111")


def event(kind: str = "x") -> Event:
    return Event(type=kind, at=NOW)


@contextmanager
def writer(what: str, path: Path) -> Iterator[None]:
    """A process that said that it is so far; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.store.writer", what, path], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().strip() == what
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()


async def test_a_kill_in_mid_transaction_leaves_nothing(path: Path) -> None:
    with writer("half", path):
        pass
    async with SqliteStore.open(path, NOW, ballast_bytes=1) as store:
        assert store.find_entry(NOTEBOOK_ID) is None
        assert (store.list_leases(), store.last_event_id()) == ([], 0)
        async with store.transaction() as tx:
            await tx.append(event())


async def test_a_kill_after_commit_loses_nothing(path: Path) -> None:
    with writer("whole", path):
        pass
    async with SqliteStore.open(path, NOW, ballast_bytes=1) as store:
        entry = store.find_entry(NOTEBOOK_ID)
        assert entry is not None
        assert entry.run.gpus == ("GPU-0",)
        assert [row.run_id for row in store.list_leases()] == [RUN_ID]
        assert store.last_event_id() == 1


async def test_a_reader_sees_nothing_before_the_commit_and_the_transaction_sees_its_own(store: SqliteStore) -> None:
    async def write() -> None:
        async with store.transaction() as tx:
            await tx.put_notebook(notebook())
            await tx.put_run(run())
            assert [entry.notebook.id for entry in store.list_unsettled()] == [NOTEBOOK_ID]
            assert store.find_entry(NOTEBOOK_ID) is not None

    with held(store):
        task = asyncio.get_running_loop().create_task(write())
        await asyncio.sleep(0.05)
        assert not task.done()
        assert store.find_entry(NOTEBOOK_ID) is None
        assert store.list_unsettled() == []
    await task
    assert store.find_entry(NOTEBOOK_ID) is not None
    assert [entry.notebook.id for entry in store.list_unsettled()] == [NOTEBOOK_ID]


async def test_what_is_committed_is_listed_before_its_caller_hears_of_it(store: SqliteStore) -> None:
    async def write() -> None:
        async with store.transaction() as tx:
            await tx.put_notebook(notebook())
            await tx.put_run(run())

    assert store.list_unsettled() == []
    task = asyncio.get_running_loop().create_task(write())
    while not store._committed.in_flight:
        await asyncio.sleep(0)
    assert store.list_unsettled() == [] or store.find_entry(NOTEBOOK_ID) is not None
    while store.find_entry(NOTEBOOK_ID) is None:  # without a turn of the loop
        time.sleep(0.001)
    assert not task.done()
    assert [entry.notebook.id for entry in store.list_unsettled()] == [NOTEBOOK_ID]
    await task
    assert [entry.notebook.id for entry in store.list_unsettled()] == [NOTEBOOK_ID]


async def test_an_error_inside_takes_everything_back(store: SqliteStore) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - leaving the transaction raises
        async with store.transaction() as tx:
            await tx.put_notebook(notebook())
            await tx.append(event())
            raise ZeroDivisionError
    assert store.count_notebooks("alice") == 0
    assert store.last_event_id() == 0


async def test_transactions_of_two_tasks_do_not_mix(store: SqliteStore) -> None:
    async def add(name: str, *, fail: bool) -> None:
        async with store.transaction() as tx:
            for _ in range(5):
                await tx.append(event(name))
            if fail:
                raise ValueError(name)

    results = await asyncio.gather(
        *(add(f"t{index}", fail=index % 2 == 1) for index in range(8)), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), ValueError] * 4
    kinds = [each.type for each in store.list_events(after=0, limit=99, notebook_id=None, owner=None)]
    assert kinds == [name for name in ("t0", "t2", "t4", "t6") for _ in range(5)], "in the order in which they came"


async def test_a_transaction_that_lets_others_run_fails_and_so_do_those_in_its_group(store: SqliteStore) -> None:
    async def add(name: str, *, wait: bool) -> None:
        async with store.transaction() as tx:
            await tx.append(event(name))
            if wait:
                await asyncio.sleep(0.01)

    results = await asyncio.gather(add("waits", wait=True), add("quick", wait=False), return_exceptions=True)
    assert [type(result) for result in results] == [RuntimeError, RuntimeError]
    assert store.last_event_id() == 0
    await add("after", wait=False)
    assert store.last_event_id() == 1


@pytest.mark.parametrize("turns", range(14))
async def test_a_task_cancelled_anywhere_leaves_no_transaction_open(store: SqliteStore, turns: int) -> None:
    async def write() -> None:
        async with store.transaction() as tx:
            await tx.put_notebook(notebook())
            await tx.put_run(run())
            await tx.append(event())

    task = asyncio.get_running_loop().create_task(write())
    for _ in range(turns):
        await asyncio.sleep(0.0003)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task  # cancelled, or through already
    async with store.transaction() as tx:
        await tx.append(event("after"))
    entry = store.find_entry(NOTEBOOK_ID)
    kinds = [each.type for each in store.list_events(after=0, limit=9, notebook_id=None, owner=None)]
    assert kinds == (["x", "after"] if entry else ["after"])


async def test_a_task_cancelled_before_its_turn_writes_nothing(store: SqliteStore) -> None:
    async def write(kind: str) -> None:
        async with store.transaction() as tx:
            await tx.append(event(kind))

    loop = asyncio.get_running_loop()
    with held(store):
        first = loop.create_task(write("first"))
        await asyncio.sleep(0.01)
        waiting = [loop.create_task(write(name)) for name in ("cancelled", "second")]
        await asyncio.sleep(0.01)
        waiting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        assert not first.done()
    await asyncio.gather(first, waiting[1])
    assert [each.type for each in store.list_events(after=0, limit=9, notebook_id=None, owner=None)] == [
        "first",
        "second",
    ]


@pytest.mark.parametrize("cancelled", range(5))
async def test_a_task_cancelled_as_it_is_admitted_keeps_nobody_waiting(store: SqliteStore, cancelled: int) -> None:
    """Whoever it is: who leads, who follows, and who will lead next."""
    loop = asyncio.get_running_loop()
    done: list[int] = []

    async def write(number: int) -> None:
        async with store.transaction() as tx:
            if number == 0:
                loop.call_soon(tasks[cancelled].cancel)
            await tx.append(event(str(number)))
        done.append(number)

    with held(store):
        blocker = loop.create_task(write(9))
        await asyncio.sleep(0.01)
        tasks = [loop.create_task(write(number)) for number in range(5)]
        await asyncio.sleep(0.01)
    await asyncio.gather(blocker, *tasks, return_exceptions=True)
    await write(7)
    kinds = [each.type for each in store.list_events(after=0, limit=99, notebook_id=None, owner=None)]
    assert set(done) | {cancelled} == {9, 0, 1, 2, 3, 4, 7}
    assert {str(number) for number in done} <= set(kinds)
    assert len(kinds) == len(set(kinds))


async def test_a_task_cancelled_while_its_changes_are_written_goes_when_they_are(store: SqliteStore) -> None:
    async def write() -> None:
        async with store.transaction() as tx:
            await tx.put_notebook(notebook())
            await tx.put_run(run())
            await tx.append(event("x"))

    with held(store):
        task = asyncio.get_running_loop().create_task(write())
        await asyncio.sleep(0.01)
        task.cancel()
        _, pending = await asyncio.wait({task}, timeout=0.05)
        assert pending
        assert store.find_entry(NOTEBOOK_ID) is None
    with pytest.raises(asyncio.CancelledError):
        await task
    assert store.find_entry(NOTEBOOK_ID) is not None, "who comes next reads what was written"


async def test_a_task_cancelled_while_it_commits_is_cancelled_and_the_store_goes_on(store: SqliteStore) -> None:
    async def write() -> None:
        async with store.transaction() as tx:
            await tx.append(event("x"))
            loop.call_soon(task.cancel)

    loop = asyncio.get_running_loop()
    task = loop.create_task(write())
    with pytest.raises(asyncio.CancelledError):
        await task
    async with store.transaction() as tx:
        await tx.append(event("after"))
    kinds = [each.type for each in store.list_events(after=0, limit=9, notebook_id=None, owner=None)]
    assert kinds in (["after"], ["x", "after"])


async def test_a_database_locked_by_another_process_is_unavailable_until_it_is_not(
    store: SqliteStore, path: Path
) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as stranger:
        stranger.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            async with store.transaction() as tx:
                await tx.append(event())
        assert store.last_event_id() == 0, "reads go on"
        stranger.execute("ROLLBACK")
    async with store.transaction() as tx:
        await tx.append(event())
    assert store.last_event_id() == 1


async def test_news_wakes_those_who_wait_for_it(store: SqliteStore) -> None:
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(store.next_event(0))
        await asyncio.sleep(0)
        async with store.transaction() as tx:
            await tx.put_meta("k", "v")
        await asyncio.sleep(0.01)
        assert not waiting.done()
        async with store.transaction() as tx:
            await tx.append(event())
        async with asyncio.timeout(5):
            await waiting
    await store.next_event(0)


async def test_a_transaction_taken_back_is_no_news(store: SqliteStore) -> None:
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(store.next_event(0))
        with suppress(ZeroDivisionError):
            async with store.transaction() as tx:
                await tx.append(event())
                raise ZeroDivisionError
        await asyncio.sleep(0.01)
        assert not waiting.done()
        waiting.cancel()
