# SPDX-License-Identifier: Apache-2.0
"""Atomic against kill -9, against other tasks, against cancellation, and against other processes."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from notebookd.adapters.sqlite import SqliteStore
from notebookd.domain.event import Event
from notebookd.domain.run import NotebookId
from notebookd.errors import StoreUnavailable
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


async def test_a_reader_sees_nothing_of_an_open_transaction(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.put_notebook(notebook())
        await tx.put_run(run())
        assert store.find_entry(NOTEBOOK_ID) is None
    assert store.find_entry(NOTEBOOK_ID) is not None


async def test_an_error_inside_takes_everything_back(store: SqliteStore) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - leaving the transaction raises
        async with store.transaction() as tx:
            await tx.put_notebook(notebook())
            await tx.append(event())
            raise ZeroDivisionError
    assert store.count_notebooks("alice") == 0
    assert store.last_event_id() == 0


async def test_transactions_of_two_tasks_do_not_mix(store: SqliteStore) -> None:
    inside: list[str] = []

    async def add(name: str, *, fail: bool) -> None:
        async with store.transaction() as tx:
            inside.append(name)
            for _ in range(5):
                await tx.append(event(name))
                await asyncio.sleep(0)
            assert inside == [name]
            inside.remove(name)
            if fail:
                raise ValueError(name)

    results = await asyncio.gather(
        *(add(f"t{index}", fail=index % 2 == 1) for index in range(8)), return_exceptions=True
    )
    assert [type(result) for result in results] == [type(None), ValueError] * 4
    kinds = [each.type for each in store.list_events(after=0, limit=99, notebook_id=None, owner=None)]
    assert sorted(kinds) == sorted(["t0", "t2", "t4", "t6"] * 5)
    assert all(len(set(kinds[start : start + 5])) == 1 for start in range(0, 20, 5))


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
    async def write() -> None:
        async with store.transaction():
            raise AssertionError("cancelled before")

    async with store.transaction() as tx:
        task = asyncio.get_running_loop().create_task(write())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await tx.append(event("after"))
    assert store.last_event_id() == 1


async def test_a_task_cancelled_while_its_changes_are_written_goes_when_they_are(store: SqliteStore) -> None:
    async def write() -> None:
        async with store.transaction() as tx:
            await tx.put_notebook(notebook())
            await tx.put_run(run())
            await tx.append(event("x"))

    writing, on = threading.Event(), threading.Event()

    def halt() -> None:
        writing.set()
        assert on.wait(10)

    await store._writes.create_function("halt", 0, halt)
    await store._writes.execute("CREATE TEMP TRIGGER halting BEFORE INSERT ON event BEGIN SELECT halt(); END")
    task = asyncio.get_running_loop().create_task(write())
    await asyncio.to_thread(writing.wait, 10)
    task.cancel()
    _, pending = await asyncio.wait({task}, timeout=0.05)
    assert pending
    assert store.find_entry(NOTEBOOK_ID) is None
    on.set()
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
