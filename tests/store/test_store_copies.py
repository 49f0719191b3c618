# SPDX-License-Identifier: Apache-2.0
"""Copies of the database: taken beside its writer, refused where they are not to be trusted, put in place whole."""

from __future__ import annotations

import asyncio
import io
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from notebookd.adapters.sqlite import SqliteStore, copies, schema
from notebookd.adapters.sqlite.copies import examine_copy, restore_copy
from notebookd.domain.event import Event
from notebookd.errors import RestoreRefused, StoreUnavailable
from tests.store.slow import held
from tests.store.test_store_disk import fill
from tests.values import NOTEBOOK_ID, NOW, notebook, run

NEWEST = len(schema.load_migrations())
KEPT = "notebookd.db.before-restore-20260302T090000"


def leftovers(folder: Path) -> list[str]:
    """What lies beside a database that is open, its own files left out."""
    own = {"notebookd.db", "notebookd.db-wal", "notebookd.db-shm", "ballast", "ballast.inodes"}
    return sorted(each.name for each in folder.iterdir() if each.name not in own)


async def make(path: Path, *, instance: str = "one", events: int = 3) -> bytes:
    """A database with a notebook and some events, and a backup of it."""
    async with SqliteStore.open(path, NOW, ballast_bytes=1) as store:
        async with store.transaction() as tx:
            await tx.put_meta("instance", instance)
            await tx.put_notebook(notebook())
            await tx.put_run(run())
            for number in range(events):
                await tx.append(Event(type=f"t{number}", at=NOW))
        async with store.backup() as copy:
            return copy.read()


async def test_a_backup_is_whole_while_others_write(store: SqliteStore, tmp_path: Path) -> None:
    async with store.transaction() as tx:
        kept = await tx.put_notebook(notebook())
        await tx.put_run(run())
    async with store.backup() as copy:
        async with store.transaction() as tx:
            await tx.put_notebook(replace(kept, token="later"))
        (tmp_path / "copy.db").write_bytes(copy.read())
    async with SqliteStore.open(tmp_path / "copy.db", NOW, ballast_bytes=1) as restored:
        entry = restored.find_entry(NOTEBOOK_ID)
        assert entry is not None
        assert entry.notebook == kept


async def test_a_backup_has_no_name_and_is_its_owners_alone(store: SqliteStore, tmp_path: Path) -> None:
    async with store.backup() as copy:
        assert leftovers(tmp_path) == []
        assert os.fstat(copy.fileno()).st_mode & 0o777 == 0o600


async def test_a_backup_waits_for_no_writer_and_holds_none_up(store: SqliteStore) -> None:
    with held(store):
        writing = asyncio.create_task(put(store, "open"))
        async with store.backup() as copy:
            assert not writing.done()
            assert copy.read(15) == b"SQLite format 3"
    await writing
    async with store.backup() as copy:
        await put(store, "changed")
        assert copy.read(15) == b"SQLite format 3"


async def put(store: SqliteStore, value: str) -> None:
    async with store.transaction() as tx:
        await tx.put_meta("k", value)


async def test_a_backup_that_nobody_waits_for_any_more_leaves_nothing(store: SqliteStore, tmp_path: Path) -> None:
    for turns in range(6):
        asking = asyncio.create_task(_take(store))
        for _ in range(turns):
            await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    await asyncio.get_running_loop().shutdown_default_executor()
    assert leftovers(tmp_path) == []


async def _take(store: SqliteStore) -> None:
    async with store.backup():
        await asyncio.Event().wait()


async def test_a_backup_that_the_disk_does_not_take_is_refused_and_leaves_nothing(small_disk: Path) -> None:
    async with SqliteStore.open(small_disk / "notebookd.db", NOW, ballast_bytes=1) as store:
        fill(small_disk)
        with pytest.raises(StoreUnavailable, match="cannot copy the database: 0 B of its disk are free"):
            async with store.backup():
                raise AssertionError("not reached")
        assert leftovers(small_disk) == ["filler"]


async def test_a_disk_that_fills_under_a_backup_is_refused_and_leaves_nothing(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SqliteStore.open(small_disk / "notebookd.db", NOW, ballast_bytes=1) as store:
        async with store.transaction() as tx:
            await tx.put_meta("k", "v" * 1_500_000)
        (small_disk / "filler").write_bytes(b"x" * 1_400_000)
        roomy = os.statvfs("/")
        monkeypatch.setattr(copies.os, "statvfs", lambda _: roomy)  # as if the room went after the look at it
        with pytest.raises(StoreUnavailable, match=r"cannot copy the database: .*full"):
            async with store.backup():
                raise AssertionError("not reached")
        assert leftovers(small_disk) == ["filler"]


async def test_what_a_killed_backup_left_is_swept_at_the_next_start(path: Path) -> None:
    for left in ("copy-00ff", "v1-20260302T090000.part", "part", "part-journal"):
        path.with_name(f"notebookd.db.{left}").write_bytes(b"half")
    kept = path.with_name("notebookd.db.v1-20260302T090000")
    kept.write_bytes(b"whole")
    async with SqliteStore.open(path, NOW, ballast_bytes=1):
        assert leftovers(path.parent) == [kept.name]


# Restoring


async def test_a_restored_database_is_that_of_the_backup_and_the_present_one_is_kept(path: Path) -> None:
    backup = await make(path)
    async with SqliteStore.open(path, NOW, ballast_bytes=1) as store, store.transaction() as tx:
        await tx.put_notebook(notebook(token="later"))
    done = restore_copy(io.BytesIO(backup), path, NOW, other_instance=False)
    assert (done.facts.instance, done.facts.schema, done.kept) == ("one", NEWEST, path.with_name(KEPT))
    assert path.stat().st_mode & 0o777 == 0o600
    assert leftovers(path.parent) == [KEPT]
    for database, token in ((path, "t" * 43), (done.kept, "later")):
        async with SqliteStore.open(database, NOW, ballast_bytes=1) as store:
            entry = store.find_entry(NOTEBOOK_ID)
            assert entry is not None
            assert entry.notebook.token == token


async def test_events_go_on_from_the_highest_that_either_knew(path: Path) -> None:
    backup = await make(path)
    async with SqliteStore.open(path, NOW, ballast_bytes=1) as store, store.transaction() as tx:
        for _ in range(4):
            await tx.append(Event(type="later", at=NOW))
    restore_copy(io.BytesIO(backup), path, NOW, other_instance=False)
    async with SqliteStore.open(path, NOW, ballast_bytes=1) as store:
        async with store.transaction() as tx:
            await tx.append(Event(type="after", at=NOW))
        found = store.list_events(after=0, limit=99, notebook_id=None, owner=None)
    assert [(each.id, each.type) for each in found] == [(1, "t0"), (2, "t1"), (3, "t2"), (8, "after")]


async def test_a_journal_that_a_kill_left_goes_with_the_database_it_belongs_to(path: Path, tmp_path: Path) -> None:
    backup = await make(path)
    killed = tmp_path / "killed"
    killed.mkdir()
    async with SqliteStore.open(path, NOW, ballast_bytes=1) as store:
        async with store.transaction() as tx:
            await tx.put_meta("k", "in the journal alone")
        for name in ("notebookd.db", "notebookd.db-wal"):
            (killed / name).write_bytes(path.with_name(name).read_bytes())
    assert b"in the journal alone" not in (killed / "notebookd.db").read_bytes()
    done = restore_copy(io.BytesIO(backup), killed / "notebookd.db", NOW, other_instance=False)
    assert done.kept is not None
    async with SqliteStore.open(killed / "notebookd.db", NOW, ballast_bytes=1) as store:
        assert store.find_meta("k") is None
    async with SqliteStore.open(done.kept, NOW, ballast_bytes=1) as store:
        assert store.find_meta("k") == "in the journal alone"


async def test_a_damaged_database_is_kept_with_its_journal_and_gives_way(path: Path) -> None:
    backup = await make(path)
    path.write_bytes(b"Dear diary, " * 1000)
    Path(f"{path}-wal").write_bytes(b"whatever was in it")
    restore_copy(io.BytesIO(backup), path, NOW, other_instance=False)
    assert leftovers(path.parent) == [KEPT, f"{KEPT}-wal"]
    assert path.with_name(f"{KEPT}-wal").read_bytes() == b"whatever was in it"
    async with SqliteStore.open(path, NOW, ballast_bytes=1) as store:
        assert store.find_entry(NOTEBOOK_ID) is not None


async def test_where_there_is_no_database_nothing_is_kept(path: Path, tmp_path: Path) -> None:
    backup = await make(path)
    (tmp_path / "new").mkdir()
    done = restore_copy(io.BytesIO(backup), tmp_path / "new" / "notebookd.db", NOW, other_instance=False)
    assert done.kept is None
    assert [each.name for each in (tmp_path / "new").iterdir()] == ["notebookd.db"]


async def test_another_instances_backup_wants_to_be_said_twice(path: Path, tmp_path: Path) -> None:
    await make(path, instance="here")
    backup = await make(tmp_path / "other.db", instance="there")
    before = path.read_bytes()
    with pytest.raises(RestoreRefused, match=r"of instance there, and .* is of here"):
        restore_copy(io.BytesIO(backup), path, NOW, other_instance=False)
    assert path.read_bytes() == before
    assert restore_copy(io.BytesIO(backup), path, NOW, other_instance=True).facts.instance == "there"


def newer(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA user_version = {NEWEST + 1}")


def not_ours(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA user_version = 0")


def with_a_trigger(connection: sqlite3.Connection) -> None:
    connection.execute("CREATE TRIGGER evil AFTER INSERT ON event BEGIN DELETE FROM lease; END")


def without_a_column(connection: sqlite3.Connection) -> None:
    connection.execute("ALTER TABLE event RENAME COLUMN owner TO somebody")


def with_gpus_leased_twice(connection: sqlite3.Connection) -> None:
    """The index that keeps a GPU one run's has its name, and keeps nothing."""
    connection.execute("DROP INDEX lease_active")
    connection.execute("CREATE INDEX lease_active ON lease (gpu_uuid)")


def nobodys(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM meta")


def orphaned(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM notebook")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (newer, rf"written by a newer notebookd \(schema {NEWEST + 1}, this one knows up to {NEWEST}\)"),
        (not_ours, "not a database of notebookd"),
        (with_a_trigger, "not a database of notebookd"),
        (without_a_column, "not a database of notebookd"),
        (with_gpus_leased_twice, "not a database of notebookd"),
        (nobodys, "names no instance"),
        (orphaned, "is damaged"),
    ],
)
async def test_what_is_not_ours_is_refused_and_nothing_is_touched(
    path: Path, tmp_path: Path, spoil: Callable[[sqlite3.Connection], None], why: str
) -> None:
    await make(path)
    await refused(path, await _spoilt(tmp_path / "copy.db", spoil), why)


async def _spoilt(copy: Path, spoil: Callable[[sqlite3.Connection], None]) -> bytes:
    copy.write_bytes(await make(copy))
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        spoil(connection)
    return copy.read_bytes()


async def refused(path: Path, content: bytes, why: str) -> None:
    before = path.read_bytes()
    with pytest.raises(RestoreRefused, match=why):
        restore_copy(io.BytesIO(content), path, NOW, other_instance=True)
    assert path.read_bytes() == before
    assert [name for name in leftovers(path.parent) if name.startswith("notebookd.db.")] == []


@pytest.mark.parametrize("content", [b"", b"Dear diary, " * 1000], ids=["empty", "diary"])
async def test_what_is_no_database_is_refused(path: Path, content: bytes) -> None:
    await make(path)
    await refused(path, content, "cannot restore the file")


async def test_half_a_copy_is_refused(path: Path) -> None:
    whole = await make(path, events=2000)
    await refused(path, whole[: len(whole) // 2], "cannot restore the file")


async def test_a_damaged_page_is_found(path: Path) -> None:
    whole = bytearray(await make(path, events=2000))
    middle = len(whole) // 2 // 4096 * 4096
    whole[middle : middle + 4096] = bytes(range(256)) * 16
    await refused(path, bytes(whole), "cannot restore the file")


async def test_a_disk_that_does_not_take_the_copy_leaves_the_present_database(small_disk: Path) -> None:
    path = small_disk / "notebookd.db"
    backup = await make(path)
    fill(small_disk)
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match=r"cannot restore .*No space left"):
        restore_copy(io.BytesIO(backup), path, NOW, other_instance=False)
    assert path.read_bytes() == before
    assert leftovers(small_disk) == ["filler"]


async def test_killed_between_any_two_steps_one_of_the_two_is_there_whole(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every call to the file system on the way dies once, before it does anything."""
    backup = await make(path)
    async with SqliteStore.open(path, NOW, ballast_bytes=1) as store, store.transaction() as tx:
        await tx.put_meta("k", "present")
    for step in ("link", "unlink", "replace", "fsync"):

        class Killed(BaseException):
            pass

        def die(*_args: object, **_kwargs: object) -> None:
            raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(*{"link": (os, "link"), "fsync": (os, "fsync")}.get(step, (Path, step)), die)
            with pytest.raises(Killed):
                restore_copy(io.BytesIO(backup), path, NOW, other_instance=False)
        async with SqliteStore.open(path, NOW, ballast_bytes=1) as store:
            assert store.find_meta("k") == "present", step
        assert leftovers(path.parent) == [], step
    restore_copy(io.BytesIO(backup), path, NOW, other_instance=False)
    assert examine_copy(path).instance == "one"
