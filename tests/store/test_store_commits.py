# SPDX-License-Identifier: Apache-2.0
"""Transactions that share a commit: how many syncs they cost, and what a kill leaves of them."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections import defaultdict
from contextlib import closing
from pathlib import Path

import pytest

from notebookd.adapters.sqlite import SqliteStore
from notebookd.domain.event import Event
from notebookd.errors import Conflict, StoreUnavailable
from tests.figures import Rows
from tests.store.slow import held
from tests.values import NOW

ROOT = Path(__file__).parents[2]
WRITERS, MOST_SYNCS = 500, 40


@pytest.fixture(scope="module")
def counter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("gcc") is None:
        pytest.skip("there is no compiler for the library that counts")
    library = tmp_path_factory.mktemp("syncs") / "syncs.so"
    source = Path(__file__).with_name("syncs.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return library


def syncs(what: str, database: Path, counter: Path) -> int:
    """How often a process of :mod:`tests.store.writer` asked the disk to be done."""
    log = database.with_suffix(".syncs")
    log.unlink(missing_ok=True)
    environment = {**os.environ, "LD_PRELOAD": str(counter), "SYNCS": str(log)}
    command = [sys.executable, "-m", "tests.store.writer", what, database]
    subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, check=True)
    return log.stat().st_size if log.exists() else 0


def test_writers_who_wait_share_their_commits(path: Path, counter: Path, figures: dict[str, Rows]) -> None:
    syncs("open", path, counter)  # makes the database
    at_rest = syncs("open", path, counter)
    counted = syncs("count", path, counter) - at_rest
    with closing(sqlite3.connect(path)) as database:
        (written,) = database.execute("SELECT count(*) FROM meta WHERE key GLOB '[ab]*' AND value = '1'").fetchone()
    assert written == 2 * WRITERS
    figures.setdefault("syncs of the store", {})[f"{WRITERS} writers at once"] = counted
    assert 0 < counted < MOST_SYNCS


@pytest.mark.parametrize(
    "kills", [4, pytest.param(60, marks=[pytest.mark.long, pytest.mark.timeout(600)])], ids=["few", "many"]
)
def test_a_kill_loses_nothing_that_was_answered_and_leaves_no_half(path: Path, kills: int) -> None:
    """Forty tasks write two facts at a time, and every third time fail after the first."""
    chance = random.Random(kills)
    answered: dict[int, int] = defaultdict(int)
    for _ in range(kills):
        command = [sys.executable, "-m", "tests.store.writer", "many", path]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            latest: dict[int, int] = {}
            for _ in range(chance.randrange(1, 3000)):
                task, number = map(int, process.stdout.readline().split())
                latest[task] = number
            process.kill()
            for line in process.stdout:  # what it had said before it died
                if line.endswith("\n"):
                    task, number = map(int, line.split())
                    latest[task] = number
        with closing(sqlite3.connect(path)) as database:
            facts = dict(database.execute("SELECT key, value FROM meta WHERE key GLOB '[ab][0-9]*'"))
        assert {key[1:] for key in facts if key[0] == "a"} == {key[1:] for key in facts if key[0] == "b"}
        for task, number in latest.items():
            there = int(facts[f"a{task}"])
            assert facts[f"b{task}"] == str(there), "both or neither"
            assert there >= number, "what was answered is there"
            assert there % 3 != 0, "what failed is not"
            answered[task] += 1
    assert len(answered) > 30


async def test_one_that_fails_takes_back_its_own_changes_alone(store: SqliteStore) -> None:
    async def write(name: str, fault: Exception | None = None) -> None:
        async with store.transaction() as tx:
            seen = store.find_meta("log") or ""
            await tx.put_meta("log", f"{seen}{name}")
            await tx.append(Event(type=name, at=NOW))
            if fault is not None:
                raise fault

    with held(store):
        first = asyncio.create_task(write("a"))
        await asyncio.sleep(0.01)
        group = [write("b"), write("c", Conflict("no")), write("d"), write("e", ZeroDivisionError()), write("f")]
        tasks = [asyncio.create_task(each) for each in group]
        await asyncio.sleep(0.01)
        assert store.find_meta("log") is None
    results = await asyncio.gather(first, *tasks, return_exceptions=True)
    assert [type(each) for each in results[1:]] == [type(None), Conflict, type(None), ZeroDivisionError, type(None)]
    assert store.find_meta("log") == "abdf", "each read what those before it wrote"
    events = store.list_events(after=0, limit=99, notebook_id=None, owner=None)
    assert [(each.id, each.type) for each in events] == [(1, "a"), (2, "b"), (3, "d"), (4, "f")]


async def test_a_commit_that_fails_fails_all_of_its_group(store: SqliteStore) -> None:
    async def write(name: str) -> None:
        async with store.transaction() as tx:
            await tx.put_meta(name, "x")

    async def look() -> str | None:
        async with store.transaction():
            return store.find_meta("b")

    def spoil() -> None:
        store._writes.connection.execute("ROLLBACK")

    with held(store):
        first = asyncio.create_task(write("a"))
        await asyncio.sleep(0.01)
        store._writes._tx.put_nowait((None, lambda: None))
        tasks = [asyncio.create_task(each) for each in (write("b"), look(), write("c"))]
        await asyncio.sleep(0.01)
    await first
    while not store._turns._committed:  # the group decides; its commit is not on its way yet
        await asyncio.sleep(0)
    store._writes._tx.put_nowait((None, spoil))
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in results] == [StoreUnavailable] * 3, "also whoever only looked: it saw what is not"
    assert store.find_meta("b") is None
    await write("d")
    assert store.find_meta("d") == "x"


async def test_many_are_told_in_the_order_in_which_they_came(store: SqliteStore) -> None:
    done: list[int] = []

    async def write(number: int) -> None:
        async with store.transaction() as tx:
            await tx.append(Event(type=str(number), at=NOW))
        done.append(number)

    await asyncio.gather(*(write(number) for number in range(700)))
    events = store.list_events(after=0, limit=999, notebook_id=None, owner=None)
    assert [int(each.type) for each in events] == done == list(range(700))
