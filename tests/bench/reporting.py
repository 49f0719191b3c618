# SPDX-License-Identifier: Apache-2.0
"""A month's report over a large machine's store: no daemon, the real SQLite in a thread as the daemon has it."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from notebookd.adapters.sqlite import SqliteStore
from notebookd.domain.actor import Actor, Role
from notebookd.domain.clocks import wall_ms
from notebookd.domain.rules import Rules
from notebookd.domain.usage import GroupKey, Window, month_of
from notebookd.record.meter import Meter
from notebookd.service.usage import Usage
from notebookd.testing.clock import FakeClock
from tests.bench.control import scratch
from tests.bench.figures import Figure, ratio

INTERVALS = 100_000
NOTEBOOKS = 1_000
OWNERS = 40
ROUNDS = 7
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
MOST_READS = 4.0


def measure_reports() -> list[Figure]:
    """100,000 stays of one or two GPUs in one month, each with its leases, and as many in the eleven months before."""
    with scratch() as folder:
        return asyncio.run(_measure(folder / "notebookd.db"))


async def _measure(path: Path) -> list[Figure]:
    clock = FakeClock(NOW)
    async with SqliteStore.open(path, NOW, ballast_bytes=4096) as store:
        month = month_of(wall_ms(NOW))
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            _fill(connection, month)
        usage = Usage(store, Meter(store, clock, Rules))
        figures: list[Figure] = []
        for keys in ((GroupKey.USER,), (GroupKey.NOTEBOOK, GroupKey.DAY), (GroupKey.USER, GroupKey.GPU)):
            bare, taken = [], []
            for _ in range(ROUNDS):
                bare.append(await asyncio.to_thread(_read_s, path, month))
                taken.append(await _once(usage, month, keys))
            name = f"usage of a month by {' and '.join(keys)}: {INTERVALS:,} intervals"
            report = Figure(name=name, values=tuple(taken), unit="s", digits=2)
            read = Figure(name="  plain sqlite3 reads the same rows", values=tuple(bare), unit="s", digits=2)
            figures += [report, read, ratio("  report over reading", report, read, target=MOST_READS)]
        return figures


def _read_s(path: Path, month: Window) -> float:
    """The least that a full walk costs: each interval of the month, and its leases, as Python values."""
    begun = time.perf_counter()
    with closing(sqlite3.connect(path)) as connection:
        within = (month.start_ms, month.end_ms)
        rows = connection.execute("SELECT * FROM interval WHERE started_at >= ? AND started_at < ?", within).fetchall()
        leases = connection.execute("SELECT * FROM lease WHERE granted_at >= ? AND granted_at < ?", within).fetchall()
    assert len(rows) == INTERVALS <= len(leases) + 1000
    return time.perf_counter() - begun


async def _once(usage: Usage, month: Window, keys: Sequence[GroupKey]) -> float:
    begun = time.perf_counter()
    report = await usage.report(Actor(name="root", role=Role.ADMIN), month, keys)
    taken = time.perf_counter() - begun
    assert report.total.minutes > INTERVALS
    return taken


def _fill(connection: sqlite3.Connection, month: Window) -> None:
    """The rows, in the order in which they would have come."""
    chance = random.Random(1)
    year_ms = 11 * (month.end_ms - month.start_ms)
    before = [month.start_ms - chance.randrange(year_ms) for _ in range(INTERVALS)]
    within = [chance.randrange(month.start_ms, wall_ms(NOW)) for _ in range(INTERVALS)]
    body = '{"resources": {"flavor": "h100-1-gpu", "units": 1, "gpu": true}, "rest": "' + "x" * 1200 + '"}'
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO notebook (id, owner, name, wanted, created_at, updated_at, version, body) "
        "VALUES (?, ?, ?, 'stopped', 0, 0, 1, '{}')",
        [(f"notebook-{number:027}", f"user-{number % OWNERS}", f"name-{number}") for number in range(NOTEBOOKS)],
    )
    for place, started_ms in enumerate(sorted([*before, *within])):
        number, run_id = place % NOTEBOOKS, f"{chance.getrandbits(128):032x}"
        length = min(int(chance.expovariate(1 / 14_400_000)), wall_ms(NOW) - started_ms)
        gpus = [f"GPU-{(place + step) % 8:036}" for step in range(1 + place % 2)]
        connection.execute(
            "INSERT INTO run (id, notebook_id, number, state, queued_at, place, version, body) "
            "VALUES (?, ?, ?, 'DONE', ?, ?, 1, ?)",
            (run_id, f"notebook-{number:027}", place // NOTEBOOKS + 1, started_ms, place, body),
        )
        connection.execute(
            "INSERT INTO interval (notebook_id, name, owner, flavor, run_id, units, gpu, gpus, started_at, length, "
            "rate, currency, position, state, boot_id, started_boot, seen_at, seen_boot) "
            "VALUES (?, ?, ?, 'h100-1-gpu', ?, ?, 1, ?, ?, ?, 2800000, 'EUR', 1, 'RUNNING', 'boot', 0, 0, 0)",
            (
                f"notebook-{number:027}",
                f"name-{number}",
                f"user-{number % OWNERS}",
                run_id,
                len(gpus),
                " ".join(gpus),
                started_ms,
                length,
            ),
        )
        connection.executemany(
            "INSERT INTO lease (gpu_uuid, run_id, granted_at, released_at) VALUES (?, ?, ?, ?)",
            [(gpu, run_id, started_ms - 2_000, started_ms + length + 1_000) for gpu in gpus],
        )
    connection.execute("COMMIT")
