# SPDX-License-Identifier: Apache-2.0
"""What grows with history is found by an index, by every query that is asked all day."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from notebookd.adapters.sqlite import schema
from tests.values import NOW

GROWING = {
    "event",
    "run",
    "notebook",
    "interval",
    "lease",
    "gpu_use",
    "usage_day",
    "usage_price",
    "data_sync",
    "answer",
}
"""Tables, by the names that queries give them."""
ALIASES = {"r": "run", "n": "notebook", "i": "interval", "l": "lease", "d": "usage_day", "u": "gpu_use"}
BOUNDED = {"interval_open", "run_active", "notebook_deleting", "data_sync_open"}
"""Indexes of what goes on now; and those of the notebooks that there are:"""
PRESENT = {"notebook_by_owner", "notebook_by_creation"}
LOOKS_THROUGH_ALL = {
    "rename_tombstones": "a name stands for another account, which an admin or a new account brings about",
    "summed_days": "the window of a report spans more than ten years",
    "walked_totals": "once a day, in a thread",
    "walked_days": "the sums are made anew, before the daemon serves",
    "forget_each_day": "the same",
    "forget_each_price": "the same",
    "uses_of_owner": "a part of a day at the end of a report's window, in a thread; of one owner's leases",
    "forget_events": "from the oldest on, as far as its limit",
}


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    """A new one, without rows: plans are made by the schema alone."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        schema.migrate(connection, Path("unused"), NOW)
        yield connection


def scans(database: sqlite3.Connection, sql: str) -> list[str]:
    """The steps of its plan that read a growing table from one end to the other."""
    named = dict.fromkeys(re.findall(r":(\w+)", sql))
    values = named or (None,) * sql.count("?")
    steps = [str(row[3]) for row in database.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
    return [step for step in steps if step.startswith("SCAN ") and grows(step)]


def grows(step: str) -> bool:
    table, index = step.split()[1], step.rpartition(" INDEX ")[2]
    return ALIASES.get(table, table) in GROWING and index not in BOUNDED | PRESENT


@pytest.mark.parametrize("name", sorted(schema.load_queries()))
def test_a_query_reads_no_more_than_it_needs(database: sqlite3.Connection, name: str) -> None:
    found = scans(database, schema.load_queries()[name])
    assert not found or name in LOOKS_THROUGH_ALL, f"{name}: {found}"


def test_a_look_through_everything_would_be_seen(database: sqlite3.Connection) -> None:
    assert scans(database, "SELECT * FROM event WHERE at < :now") == ["SCAN event"]
    assert scans(database, "SELECT sum(l.released_at) FROM lease l")
    assert scans(database, "SELECT * FROM event WHERE id > :after LIMIT 5") == []
