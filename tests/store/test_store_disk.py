# SPDX-License-Identifier: Apache-2.0
"""Full disks, read-only ones, and databases of another time."""

from __future__ import annotations

import errno
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from notebookd.adapters.sqlite import SqliteStore, schema
from notebookd.adapters.sqlite.ballast import Ballast
from notebookd.domain.event import Event
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.run import Run, RunState, end
from notebookd.errors import StoreUnavailable
from tests.values import NOTEBOOK_ID, NOW, STOPPED_BY_ALICE, after, notebook, run

ROOT = Path(__file__).parents[2]
BALLAST = 512 * 1024


def fill(folder: Path) -> None:
    """Leave no byte."""
    with (folder / "filler").open("wb", buffering=0) as sink:
        for size in (65536, 4096, 1):
            try:
                while True:
                    sink.write(b"x" * size)
            except OSError as fault:
                if fault.errno != errno.ENOSPC:
                    raise


async def running(store: SqliteStore) -> Run:
    async with store.transaction() as tx:
        await tx.put_notebook(notebook())
        return await tx.put_run(run(RunState.RUNNING))


async def test_on_a_full_disk_the_ballast_goes_and_a_stop_commits(small_disk: Path) -> None:
    async with SqliteStore.open(small_disk / "notebookd.db", NOW, ballast_bytes=BALLAST) as store:
        runs = await running(store)
        assert (small_disk / "ballast").stat().st_size == BALLAST
        fill(small_disk)
        assert (await store.disk_use()).free_bytes == 0
        async with store.transaction() as tx:
            stopping = await tx.put_run(end(runs, STOPPED_BY_ALICE, after(60)))
            await tx.append(Event(type="notebook.state", at=NOW))
        assert not (small_disk / "ballast").exists()
        entry = store.find_entry(NOTEBOOK_ID)
        assert entry is not None
        assert entry.run == stopping
        assert (await store.disk_use()).free_bytes < 2 * BALLAST, "little enough for the service to refuse a start"


async def test_a_disk_that_fills_under_a_transaction_is_unavailable_once(small_disk: Path) -> None:
    async with SqliteStore.open(small_disk / "notebookd.db", NOW, ballast_bytes=BALLAST) as store:
        runs = await running(store)
        with pytest.raises(StoreUnavailable, match="full") as caught:  # noqa: PT012 - leaving the transaction raises
            async with store.transaction() as tx:
                fill(small_disk)
                for _ in range(100):
                    await tx.append(Event(type="x" * 10_000, at=NOW))
        assert "the reserve was given up" in (caught.value.hint or "")
        assert store.last_event_id() == 0
        async with store.transaction() as tx:
            await tx.put_run(end(runs, STOPPED_BY_ALICE, after(60)))


async def test_when_even_the_ballast_is_gone_nothing_is_half_written_and_room_cures_it(small_disk: Path) -> None:
    async with SqliteStore.open(small_disk / "notebookd.db", NOW, ballast_bytes=1) as store:
        runs = await running(store)
        fill(small_disk)
        with pytest.raises(StoreUnavailable):  # noqa: PT012 - leaving the transaction raises
            for index in range(100):
                async with store.transaction() as tx:
                    made = notebook(id=NotebookId(f"{index:08}-0000-4000-8000-000000000000"), labels={"k": "v" * 9000})
                    await tx.put_notebook(made)
                    await tx.put_run(run(id=RunId(f"r{index}"), notebook_id=made.id))
        entry = store.find_entry(NOTEBOOK_ID)
        assert entry is not None
        assert entry.run == runs
        (small_disk / "filler").unlink()
        async with store.transaction() as tx:
            await tx.put_run(end(runs, STOPPED_BY_ALICE, after(60)))
    async with SqliteStore.open(small_disk / "notebookd.db", NOW, ballast_bytes=1) as again:
        assert again.find_entry(NOTEBOOK_ID) is not None


async def test_the_ballast_comes_back_with_the_room(small_disk: Path) -> None:
    async with SqliteStore.open(small_disk / "notebookd.db", NOW, ballast_bytes=BALLAST) as store:
        fill(small_disk)
        async with store.transaction() as tx:
            await tx.put_meta("k", "v")
        assert not (small_disk / "ballast").exists()
        (small_disk / "filler").unlink()
        async with store.transaction() as tx:
            await tx.put_meta("k", "w")
        assert (small_disk / "ballast").stat().st_size == BALLAST


def test_a_ballast_is_taken_whole_or_not_at_all(small_disk: Path) -> None:
    reserve = Ballast(small_disk / "ballast", BALLAST)
    assert reserve.take()
    assert reserve.take()
    assert reserve.drop()
    assert not reserve.drop()
    fill(small_disk)
    assert not reserve.take()
    assert not (small_disk / "ballast").exists()


def test_a_read_only_disk_is_refused_in_words(small_disk: Path) -> None:
    path = small_disk / "notebookd.db"
    command = [sys.executable, "-m", "tests.store.writer", "open", path]
    subprocess.run(command, cwd=ROOT, check=True)
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    there = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (there.returncode, there.stdout) == (1, "")
    assert "cannot open the database" in there.stderr
    assert "must be a writable folder of the service's" in there.stderr
    command[-1] = small_disk / "new.db"
    absent = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert absent.returncode == 1
    assert "cannot open the database" in absent.stderr
    assert "Traceback" not in there.stderr + absent.stderr


async def test_a_folder_that_is_not_there_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="cannot open the database"):
        async with SqliteStore.open(tmp_path / "no" / "notebookd.db", NOW):
            raise AssertionError("not reached")


async def test_what_is_no_database_is_refused_in_words(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(StoreUnavailable, match=r"cannot open the database .*not a database"):
        async with SqliteStore.open(path, NOW):
            raise AssertionError("not reached")
    assert path.read_bytes().startswith(b"Dear diary, "), "nothing was touched"


async def test_a_database_of_a_newer_notebookd_is_refused_and_left_alone(path: Path) -> None:
    newest = len(schema.load_migrations())
    async with SqliteStore.open(path, NOW, ballast_bytes=1) as store:
        await running(store)
    with closing(sqlite3.connect(path)) as newer:
        newer.execute(f"PRAGMA user_version = {newest + 1}")
    with pytest.raises(StoreUnavailable, match=f"newer notebookd .schema {newest + 1}, this one knows up to {newest}"):
        async with SqliteStore.open(path, NOW, ballast_bytes=1):
            raise AssertionError("not reached")
    with closing(sqlite3.connect(path)) as look:
        assert look.execute("PRAGMA user_version").fetchone() == (newest + 1,)


def test_an_older_database_is_copied_and_brought_up_to_date(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        schema.migrate(connection, path, NOW)
        connection.execute("INSERT INTO meta VALUES ('k', 'v')")
        old = len(schema.load_migrations())
        scripts = [*schema.load_migrations(), "CREATE TABLE second (x) STRICT;".replace("(x)", "(x TEXT)")]
        monkeypatch.setattr(schema, "load_migrations", lambda: scripts)
        schema.migrate(connection, path, NOW)
        assert connection.execute("PRAGMA user_version").fetchone() == (old + 1,)
        assert connection.execute("SELECT * FROM second").fetchall() == []
    copy = path.with_name(f"notebookd.db.v{old}-20260302T090000")
    with closing(sqlite3.connect(copy)) as look:
        assert look.execute("PRAGMA user_version").fetchone() == (old,)
        assert look.execute("SELECT value FROM meta").fetchall() == [("v",)]


def test_a_migration_that_fails_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        schema.migrate(connection, path, NOW)
        old = len(schema.load_migrations())
        broken = "CREATE TABLE second (x TEXT);\nINSERT INTO nowhere VALUES (1);\n"
        monkeypatch.setattr(schema, "load_migrations", lambda: [*[""] * old, broken])
        with pytest.raises(sqlite3.OperationalError, match="nowhere"):
            schema.migrate(connection, path, NOW)
        assert connection.execute("PRAGMA user_version").fetchone() == (old,)
        assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'second'").fetchall() == []


async def test_opening_again_changes_nothing(path: Path) -> None:
    for _ in range(2):
        async with SqliteStore.open(path, NOW, ballast_bytes=1) as store, store.transaction() as tx:
            await tx.put_meta("k", "v")
    assert sorted(file.name for file in path.parent.iterdir()) in (
        ["ballast", "ballast.inodes", "notebookd.db"],
        ["ballast.inodes", "notebookd.db"],
    )
