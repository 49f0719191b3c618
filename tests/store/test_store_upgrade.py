# SPDX-License-Identifier: Apache-2.0
"""Databases of every release, as their own code wrote them, brought up to date."""

from __future__ import annotations

import os
import re
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from notebookd.adapters.sqlite import SqliteStore, records, schema
from notebookd.domain.run import RunState
from notebookd.ports.store import NotebookFilter
from notebookd.testing.house import make_world, open_house
from tests.data.freeze import CHECKSUMS, HERE, checksums
from tests.values import NOW

ROOT = Path(__file__).parents[2]
DUMPS = sorted(HERE.glob("schema-*.sql"))
NEWEST = len(schema.load_migrations())
KEPT_AS_THEY_ARE = ("notebook", "event", "answer")

Rows = dict[str, list[tuple[object, ...]]]


def load(dump: Path, path: Path) -> None:
    """The database that the dump is of."""
    with closing(sqlite3.connect(path)) as database:
        database.executescript(dump.read_text())


def rows_of(path: Path) -> Rows:
    """Everything in those tables whose shape did not change, and the runs' ids and states."""
    with closing(sqlite3.connect(path)) as database:
        kept: Rows = {table: sorted(database.execute(f"SELECT * FROM {table}")) for table in KEPT_AS_THEY_ARE}
        kept["meta"] = sorted(database.execute("SELECT * FROM meta WHERE key != 'sums'"))
        kept["lease"] = sorted(database.execute("SELECT gpu_uuid, run_id, granted_at, released_at FROM lease"))
        kept["run"] = sorted(database.execute("SELECT id, notebook_id, number, state, queued_at, version FROM run"))
    return kept


def version_of(path: Path) -> int:
    with closing(sqlite3.connect(path)) as database:
        return int(database.execute("PRAGMA user_version").fetchone()[0])


@pytest.fixture(params=DUMPS, ids=lambda dump: dump.stem)
def frozen(request: pytest.FixtureRequest) -> Path:
    dump: Path = request.param
    return dump


async def test_every_row_comes_through_and_can_be_read(frozen: Path, path: Path) -> None:
    load(frozen, path)
    before, old = rows_of(path), version_of(path)
    assert before["notebook"]
    async with SqliteStore.open(path, NOW, ballast_bytes=1):
        assert version_of(path) == NEWEST
    assert rows_of(path) == before
    with closing(sqlite3.connect(path)) as database:
        for body, version in database.execute("SELECT body, version FROM notebook"):
            assert records.notebook(body, version).version == version
        runs = {row[0]: records.run(row[1], row[2]) for row in database.execute("SELECT id, body, version FROM run")}
        for row in database.execute("SELECT id, body FROM event"):
            assert records.event(row).id == row[0]
        assert {str(run.state) for run in runs.values()} == {str(state) for state in RunState}
        assert [
            row for row in database.execute("SELECT id, state, place FROM run") if runs[row[0]].place != row[2]
        ] == []
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert database.execute("PRAGMA foreign_key_check").fetchall() == []
        assert schema.schema_of(database) == schema_from_scratch()
    if old < NEWEST:
        (copy,) = path.parent.glob(f"notebookd.db.v{old}-*")
        assert (version_of(copy), rows_of(copy)) == (old, before)
        assert copy.stat().st_mode & 0o777 == 0o600


def schema_from_scratch() -> frozenset[tuple[str, str]]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as database:
        schema.migrate(database, Path("unused"), NOW)
        return schema.schema_of(database)


async def test_the_store_says_of_it_what_the_old_one_knew(frozen: Path, path: Path) -> None:
    load(frozen, path)
    async with SqliteStore.open(path, NOW, ballast_bytes=1) as store:
        entries, total = store.list_entries(NotebookFilter(size=1000))
        names = {each.notebook.spec.name: each for each in entries}
        assert total == len(names) == 19
        assert "gone" not in names
        assert names["keyed"].notebook.spec.labels == {"team": "vision"}
        assert names["keyed"].notebook.spec.timeout_auto_restart
        running = names["running"].run
        assert (running.state, len(running.gpus)) == (RunState.RUNNING, 1)
        assert [each.gpu_uuid for each in store.list_leases() if each.run_id == running.id] == list(running.gpus)
        assert [each.number for each in store.list_runs(names["twice"].notebook.id)] == [1, 2]
        assert [uuid for uuid, marks in store.list_gpu_marks().items() if marks.drained] == [
            "GPU-00000000-0000-0000-0000-000000000002"
        ]
        queued = [each.notebook.spec.name for each in store.list_unsettled() if each.notebook.owner != "carol"]
        assert queued == ["running", "twice", "waiting", "keyed"], "the queue is in the order it was in"


async def test_the_copy_is_on_the_disk_under_its_name_before_anything_is_changed(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(DUMPS[0], path)
    old = version_of(path)
    copy = path.with_name(f"{path.name}.v{old}-{NOW:%Y%m%dT%H%M%S}")
    synced: list[tuple[bool, bool, int]] = []
    sync = os.fsync

    def watched(handle: int) -> None:
        sync(handle)
        synced.append((stat.S_ISDIR(os.fstat(handle).st_mode), copy.exists(), version_of(path)))

    monkeypatch.setattr(os, "fsync", watched)
    async with SqliteStore.open(path, NOW, ballast_bytes=1):
        assert synced[:2] == [(False, False, old), (True, True, old)]


async def test_a_daemon_goes_on_from_it(frozen: Path, tmp_path: Path) -> None:
    """Nothing stands behind its rows here: what ran ends, in words; what waits is served; nobody is stuck."""
    world = make_world(tmp_path, gpus=3)
    load(frozen, world.config.paths.database)
    before = rows_of(world.config.paths.database)["event"]
    async with open_house(world) as house:
        for _ in range(30):
            await house.pass_time(60)
        entries, total = house.store.list_entries(NotebookFilter(size=1000))
        assert total == 19
        stuck = [
            (each.notebook.spec.name, str(each.run.state))
            for each in entries
            if each.run.active and not each.run.waiting and each.run.state is not RunState.RUNNING
        ]
        assert stuck == []
        for each in entries:
            assert each.run.active or each.run.outcome is not None
        after = house.store.list_events(after=0, limit=10_000, notebook_id=None, owner=None)
        assert [each.id for each in after][: len(before)] == [row[0] for row in before]
        here = [unit.uuid for unit in house.inventory.units if not unit.drained]
        assert sorted(lease.gpu_uuid for lease in house.store.list_leases()) == here, "who waited was served"


@pytest.mark.parametrize(
    "dump", [each for each in DUMPS if each.stem != f"schema-{NEWEST}"], ids=lambda each: each.stem
)
def test_a_migration_killed_in_the_middle_leaves_the_version_before_it(dump: Path, path: Path) -> None:
    load(dump, path)
    before = rows_of(path)
    with subprocess.Popen(
        [sys.executable, "-m", "tests.store.half_migration", path], cwd=ROOT, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"half\n"
        child.kill()
    assert version_of(path) == NEWEST - 1, "the ones before are done, each for itself"
    assert rows_of(path) == before
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        schema.migrate(database, path, NOW)
    assert (version_of(path), rows_of(path)) == (NEWEST, before)


def test_a_migration_that_was_released_is_never_edited() -> None:
    released = dict(reversed(line.split("  ")) for line in CHECKSUMS.read_text().splitlines())
    now = checksums()
    assert {name: now.get(name) for name in released} == released, "put it right with a new migration instead"
    assert [*now][: len(released)] == [*released], "a new migration comes after the released ones"


def test_each_database_that_was_released_is_frozen() -> None:
    released = len(CHECKSUMS.read_text().splitlines())
    frozen = {int(re.sub(r"\D", "", dump.stem)) for dump in DUMPS}
    assert {1, released} <= frozen
