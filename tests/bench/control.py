# SPDX-License-Identifier: Apache-2.0
"""What a figure is measured beside where nobody else does the same: a loop of plain Python, and a bare SQLite commit.

The loop is the run's control, too: it is timed before and after every part.
"""

from __future__ import annotations

import gc
import json
import os
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from tests.bench.figures import Figure, ratio

PULSE = 9
"""Loops of one look at the machine."""
SYNCS = 25
Clock = Callable[[], float]


def loop_s(clock: Clock = time.perf_counter) -> float:
    """How long the loop takes: small objects, dictionaries, sorting and JSON, always the same. About 10 ms."""
    collecting = gc.isenabled()
    gc.disable()  # what this process holds besides is not the loop's
    try:
        begun = clock()
        _loop()
        return clock() - begun
    finally:
        if collecting:
            gc.enable()


def _loop() -> None:
    rows = [{"id": f"run-{number}", "gpus": number % 5, "owner": f"user-{number % 20}"} for number in range(2500)]
    by_owner: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        by_owner.setdefault(row["owner"], []).append(row)
    for owned in by_owner.values():
        owned.sort(key=lambda row: (row["gpus"], row["id"]))
    assert json.loads(json.dumps(by_owner)) == by_owner


def pulse_ms() -> float:
    """The machine's control: the median of a few loops."""
    return statistics.median(loop_s() for _ in range(PULSE)) * 1000


def beside_loop(
    name: str, work: Callable[[], Any], *, rounds: int, target: float | None, digits: int = 2
) -> list[Figure]:
    """How much CPU ``work`` takes, and how many loops that is; the two take turns."""
    loops, taken = [], []
    for _ in range(rounds):
        loops.append(loop_s(time.process_time))
        begun = time.process_time()
        work()
        taken.append(time.process_time() - begun)
    return in_loops(name, taken, loops, target=target, digits=digits)


async def beside_loop_async(
    name: str, work: Callable[[], Awaitable[Any]], *, rounds: int, target: float | None, digits: int = 2
) -> list[Figure]:
    """How long what is awaited takes, and how many loops that is; the two take turns."""
    loops, taken = [], []
    for _ in range(rounds):
        loops.append(loop_s())
        begun = time.perf_counter()
        await work()
        taken.append(time.perf_counter() - begun)
    return in_loops(name, taken, loops, target=target, digits=digits)


def in_loops(
    name: str, taken_s: Sequence[float], loops_s: Sequence[float], *, target: float | None = None, digits: int = 2
) -> list[Figure]:
    """Seconds that were taken, shown in ms, and as a number of loops; ``target`` is of these."""
    ours = _ms(name, taken_s, digits)
    return [ours, ratio("  in calibrated loops", ours, _ms("the loop", loops_s, digits), target=target)]


def _ms(name: str, taken_s: Sequence[float], digits: int = 2) -> Figure:
    return Figure(name=name, values=tuple(each * 1000 for each in taken_s), unit="ms", digits=digits)


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder on a disk, and not in memory as ``/tmp`` may be: NOTEBOOKD_BENCH_DIR says where, else ``/var/tmp``."""
    where = os.environ.get("NOTEBOOKD_BENCH_DIR", "/var/tmp")
    with tempfile.TemporaryDirectory(prefix="notebookd-bench-", dir=where) as folder:
        yield Path(folder)


def commits_s(folder: Path, count: int, statements: int = 1) -> list[float]:
    """So many synced commits of plain sqlite3, one after another, each of so many rows of 1 KB, under the pragmas of
    notebookd's store: what each took."""
    path, body, taken = folder / "bare.db", "x" * 1024, []
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE IF NOT EXISTS bare (id INTEGER PRIMARY KEY, body TEXT)")
        for number in range(count):
            begun = time.perf_counter()
            connection.execute("BEGIN IMMEDIATE")
            for row in range(statements):
                place = (number * statements + row) % 1000
                connection.execute("INSERT OR REPLACE INTO bare (id, body) VALUES (?, ?)", (place, body))
            connection.execute("COMMIT")
            taken.append(time.perf_counter() - begun)
    for each in (path, *folder.glob("bare.db-*")):
        each.unlink(missing_ok=True)
    return taken


def sync_ms(folder: Path) -> float:
    """How long the disk takes to write 4 KiB and say that they are there: a median."""
    taken = []
    path = folder / "synced"
    with path.open("wb") as file:
        for _ in range(SYNCS):
            file.write(os.urandom(4096))
            file.flush()
            begun = time.perf_counter()
            os.fsync(file.fileno())
            taken.append(time.perf_counter() - begun)
    path.unlink()
    return statistics.median(taken) * 1000
