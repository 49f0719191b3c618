# SPDX-License-Identifier: Apache-2.0
"""A year of a machine's life, written into its store as it would lie there: runs, stays, leases, events."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import NamedTuple

from notebookd.adapters.sqlite import records
from notebookd.domain.billing import Window
from notebookd.domain.clocks import moment
from notebookd.domain.event import Event
from notebookd.domain.ids import NotebookId
from notebookd.domain.run import RunState
from tests.values import NOTEBOOK_ID, RUN_ID, resources, run

FLAVOR = resources(1).flavor
RATE = 2_800_000
MEAN_STAY_MS = 14_400_000
GPUS = 8
BODY = records.body(run(RunState.INTERRUPTED))
AT_ONCE = 20_000
_NUMBERS = 1000
"""Runs of a notebook's past are numbered from here on: the notebook's present run is another."""


class Book(NamedTuple):
    """A notebook on record."""

    id: str
    owner: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stays:
    """So many stays that begin within a window, each of a run of its own, on one GPU or two."""

    count: int
    window: Window


def books_of(connection: sqlite3.Connection) -> list[Book]:
    """The notebooks that there are."""
    return [Book(*row) for row in connection.execute("SELECT id, owner, name FROM notebook")]


def add_books(connection: sqlite3.Connection, number: int, owners: int) -> None:
    """Notebooks without a present run."""
    connection.executemany(
        "INSERT INTO notebook (id, owner, name, wanted, created_at, updated_at, version, body) "
        "VALUES (?, ?, ?, 'stopped', 0, 0, 1, '{}')",
        [(f"notebook-{each:027}", f"user-{each % owners}", f"name-{each}") for each in range(number)],
    )


def add_stays(path: Path, books: Sequence[Book], *spans: Stays) -> None:
    """Put the stays on record, and doubt the sums: the next start of a store makes them."""
    chance = random.Random(1)
    begun = sorted(chance.randrange(*span.window) for span in spans for _ in range(span.count))
    end_ms = max(span.window.end_ms for span in spans)
    with closing(connected(path)) as connection:
        for first in range(0, len(begun), AT_ONCE):
            _add_runs(connection, books, chance, begun[first : first + AT_ONCE], first, end_ms)
            connection.commit()
        connection.execute("DELETE FROM meta WHERE key = 'sums'")
        connection.commit()


def _add_runs(
    connection: sqlite3.Connection,
    books: Sequence[Book],
    chance: random.Random,
    begun: Sequence[int],
    first: int,
    end_ms: int,
) -> None:
    runs, intervals, leases = [], [], []
    for place, started_ms in enumerate(begun, start=first):
        book, run_id = books[place % len(books)], f"{chance.getrandbits(128):032x}"
        length = min(int(chance.expovariate(1 / MEAN_STAY_MS)), end_ms - started_ms)
        body = BODY.replace(RUN_ID, run_id).replace(NOTEBOOK_ID, book.id)
        gpus = [f"GPU-{gpu:036}" for gpu in chance.sample(range(GPUS), 1 + place % 2)]
        runs.append((run_id, book.id, _NUMBERS + place // len(books), started_ms, place, body))
        held = (len(gpus), " ".join(gpus), started_ms, length, RATE)
        intervals.append((book.id, book.name, book.owner, FLAVOR, run_id, *held))
        leases += [(gpu, run_id, started_ms - 2_000, started_ms + length + 1_000, book.owner) for gpu in gpus]
    connection.executemany(
        "INSERT INTO run (id, notebook_id, number, state, queued_at, place, version, body) "
        "VALUES (?, ?, ?, 'DONE', ?, ?, 1, ?)",
        runs,
    )
    connection.executemany(
        "INSERT INTO interval (notebook_id, name, owner, flavor, run_id, units, gpus, started_at, length, rate, gpu, "
        "currency, position, state, boot_id, started_boot, seen_at, seen_boot) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 'EUR', 1, 'RUNNING', 'boot', 0, 0, 0)",
        intervals,
    )
    connection.executemany(
        "INSERT INTO lease (gpu_uuid, run_id, granted_at, released_at, owner) VALUES (?, ?, ?, ?, ?)", leases
    )


def add_events(path: Path, books: Sequence[Book], number: int, window: Window) -> None:
    """So many events of these notebooks, evenly over a window."""
    with closing(connected(path)) as connection:
        rows = _events(books, window, (window.end_ms - window.start_ms) / number)
        for _ in range(0, number, AT_ONCE):
            connection.executemany(
                "INSERT INTO event (at, notebook_id, owner, body) VALUES (?, ?, ?, ?)",
                [next(rows) for _ in range(AT_ONCE)],
            )
            connection.commit()


def _events(books: Sequence[Book], window: Window, step_ms: float) -> Iterator[tuple[int, str, str, str]]:
    bodies = {
        book: records.body(
            Event(
                type="notebook.state",
                at=moment(window.start_ms) + timedelta(milliseconds=1),
                actor=book.owner,
                notebook_id=NotebookId(book.id),
                owner=book.owner,
                before="STARTING",
                after="RUNNING",
                data={"runState": "RUNNING"},
            )
        )
        for book in books
    }
    for number in count():
        book = books[number % len(books)]
        yield window.start_ms + int(number * step_ms), book.id, book.owner, bodies[book]


def connected(path: Path) -> sqlite3.Connection:
    """A connection for millions of rows, to be used while nobody else is there: nobody waits for the disk, and the
    pages that ids at random are written to stay in memory."""
    connection = sqlite3.connect(path)
    for pragma in ("journal_mode = OFF", "synchronous = OFF", "cache_size = -1000000"):
        connection.execute(f"PRAGMA {pragma}")
    return connection
