# SPDX-License-Identifier: Apache-2.0
"""What all movers do, tried in memory and on a real engine (marker ``engine``)."""

from __future__ import annotations

import io
import os
import tarfile
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from notebookd.domain.attached import Attached, Place
from notebookd.domain.ids import NotebookId
from notebookd.domain.syncing import Report
from notebookd.domain.volumes import parse_volume
from notebookd.errors import EngineUnavailable, VolumeFault
from notebookd.ports.movers import Pull, Push, RestoreSnapshot, TakeSnapshot, Work
from tests.contract.mover_worlds import FakeWorld, MoverWorld
from tests.contract.real_movers import read_files, real_world

NOTEBOOK = NotebookId("5a1c7e1e-0000-4000-8000-000000000001")
FORK = NotebookId("5a1c7e1e-0000-4000-8000-000000000002")
FILES = {"a.txt": b"one", "below/b b.txt": b"two"}


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.engine)])
async def world(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[MoverWorld]:
    if request.param == "fake":
        yield FakeWorld(tmp_path)
        return
    socket = os.environ.get("NOTEBOOKD_ENGINE")
    if not socket:
        pytest.skip("NOTEBOOKD_ENGINE names no engine")
    async with real_world(Path(socket)) as real:
        yield real


def pull(text: str = "team@lab:/data:rwd") -> Pull:
    return Pull(notebook_id=NOTEBOOK, volume_id="v1", volume=parse_volume(text))


def push(text: str = "team@lab:/data:rwd") -> Push:
    return Push(notebook_id=NOTEBOOK, volume_id="v1", volume=parse_volume(text))


def data(world: MoverWorld) -> Path:
    return world.config.paths.copy(NOTEBOOK, "v1") / "data"


def workspace(world: MoverWorld, notebook_id: NotebookId = NOTEBOOK) -> Path:
    return world.config.paths.workspaces / notebook_id


async def done(world: MoverWorld, work: Work) -> Report:
    mover_id = str(uuid.uuid4())
    await world.movers.launch(mover_id, work, owner="alice")
    report = await world.over(mover_id)
    assert report is not None
    await world.movers.clear(mover_id)
    assert await world.movers.look(mover_id) is None
    assert mover_id not in await world.movers.list_movers()
    return report


async def joined(tar: AsyncIterator[bytes]) -> bytes:
    return b"".join([chunk async for chunk in tar])


async def chunks(content: bytes) -> AsyncIterator[bytes]:
    for begin in range(0, len(content), 100_000):
        yield content[begin : begin + 100_000]


def packed(files: dict[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return made.getvalue()


# transfers


async def test_what_is_pulled_is_there_and_what_is_pushed_goes_back(world: MoverWorld) -> None:
    world.put(FILES)
    report = await done(world, pull())
    assert (report.ok, report.code, report.facts and report.facts["bytes"]) == (True, "DATASYNC_DONE", 6)
    assert (report.progress.total, report.progress.completed, report.progress.failed) == (2, 2, 0)
    assert read_files(data(world)) == FILES
    world.write(data(world), {"new": b"three"})
    (data(world) / "a.txt").unlink()
    report = await done(world, push())
    assert report.ok
    assert (report.progress.completed, report.progress.deleted) == (1, 1)
    assert world.there() == {"below/b b.txt": b"two", "new": b"three"}


async def test_shared_copy_has_a_version(world: MoverWorld) -> None:
    world.put(FILES)
    work = pull("team@lab:/data:ro:cache")
    report = await done(world, work)
    assert report.facts
    version = str(report.facts["version"])
    copy = world.config.paths.shared("team@lab") / "versions" / version
    assert read_files(copy) == FILES
    assert (await done(world, work)).facts == report.facts


async def test_reset_gives_up_what_was_changed_here(world: MoverWorld) -> None:
    world.put(FILES)
    await done(world, pull())
    world.write(data(world), {"a.txt": b"mine", "new": b"three"})
    work = pull()
    report = await done(world, work)
    assert (report.progress.skipped > 0, read_files(data(world))["a.txt"]) == (True, b"mine")
    await done(world, Pull(notebook_id=NOTEBOOK, volume_id="v1", volume=work.volume, reset=True))
    assert read_files(data(world)) == FILES


async def test_place_that_is_not_there_is_told_by_the_mover(world: MoverWorld) -> None:
    report = await done(world, pull("nobody@lab:/data"))
    assert (report.ok, report.code) == (False, "DATASYNC_SOURCE_NOT_FOUND")
    assert report.message


async def test_datastore_that_is_gone_begins_nothing(world: MoverWorld) -> None:
    for work in (pull("team@gone:/data"), push("team@gone:/data")):
        with pytest.raises(VolumeFault) as caught:
            await world.movers.launch("m1", work, owner="alice")
        assert caught.value.info_code == "DATASYNC_INVALID_SOURCE"
    assert await world.movers.look("m1") is None
    assert await world.movers.list_movers() == set()


async def test_launch_leaves_alone_what_has_ended_and_was_not_cleared(world: MoverWorld) -> None:
    world.put(FILES)
    await world.movers.launch("m1", pull(), owner="alice")
    report = await world.over("m1")
    world.put({"later": b"x"})
    await world.movers.launch("m1", pull(), owner="alice")
    assert await world.movers.look("m1") == report
    assert "later" not in read_files(data(world))
    assert await world.movers.list_movers() == {"m1"}


async def test_mover_at_work_says_so_until_it_is_interrupted(world: MoverWorld) -> None:
    work = await world.launch_slow("m1", NOTEBOOK)
    report = await world.movers.look("m1")
    assert report is not None
    assert not report.over
    await world.movers.launch("m1", work, owner="alice")  # changes nothing
    assert await world.movers.list_movers() == {"m1"}
    await world.movers.interrupt("m1")
    await world.movers.interrupt("m1")
    assert await world.movers.look("m1") is None
    folder = world.config.paths.copy(NOTEBOOK, "slow") / "data"
    assert not folder.exists() or read_files(folder) == {}  # whole files only
    await world.movers.clear("m1")
    assert await world.movers.list_movers() == set()


async def test_mover_that_died_is_none_and_is_begun_again(world: MoverWorld) -> None:
    await world.launch_slow("m1", NOTEBOOK)
    await world.kill("m1")
    assert await world.movers.look("m1") is None
    assert await world.movers.list_movers() == {"m1"}
    world.put(FILES)
    await world.movers.launch("m1", pull("team@lab/below:/data"), owner="alice")
    report = await world.over("m1")
    assert report is not None
    assert report.ok
    assert read_files(data(world)) == {"b b.txt": b"two"}


async def test_mover_at_work_is_cleared_with_all_that_is_of_it(world: MoverWorld) -> None:
    await world.launch_slow("m1", NOTEBOOK)
    await world.movers.clear("m1")
    await world.movers.clear("m1")
    assert await world.movers.look("m1") is None
    assert await world.movers.list_movers() == set()


# snapshots


async def test_snapshot_is_restored_into_another_workspace(world: MoverWorld) -> None:
    world.write(workspace(world), FILES)
    report = await done(world, TakeSnapshot(notebook_id=NOTEBOOK))
    assert report.ok
    assert report.facts
    snapshot = str(report.facts["snapshot"])
    assert str(report.facts["kept"]).split() == [snapshot]
    assert report.facts["files"] == 2
    assert int(report.facts["bytes"]) >= 6, "what they take on the disk"
    assert "no errors" in await world.movers.check_snapshots(NOTEBOOK)
    restored = await done(world, RestoreSnapshot(notebook_id=FORK, origin=NOTEBOOK, snapshot=snapshot))
    assert restored.ok
    assert read_files(workspace(world, FORK)) == FILES
    await world.movers.forget_snapshots(NOTEBOOK)
    await world.movers.forget_snapshots(NOTEBOOK)
    with pytest.raises(VolumeFault):
        await world.movers.check_snapshots(NOTEBOOK)


# questions


async def test_datastore_is_listed_one_level_deep(world: MoverWorld) -> None:
    world.put(FILES)
    found = await world.movers.list_objects("lab", "team", "")
    assert {(each.path, each.size_bytes, each.is_folder) for each in found} == {("a.txt", 3, False), ("below", 0, True)}
    assert [each.path for each in await world.movers.list_objects("lab", "", "")] == ["team"]
    for alias, container in (("lab", "nobody"), ("gone", "team")):
        with pytest.raises(VolumeFault):
            await world.movers.list_objects(alias, container, "")
    assert await world.movers.list_movers() == set()


async def test_workspace_is_measured(world: MoverWorld) -> None:
    world.write(workspace(world), {"big": bytes(1_000_000)})
    assert 1_000_000 <= await world.movers.measure(NOTEBOOK) < 1_100_000
    with pytest.raises(VolumeFault):
        await world.movers.measure(FORK)


# archives


async def test_files_go_in_and_out_as_a_tar(world: MoverWorld) -> None:
    workspace(world).mkdir(parents=True)
    assert await world.movers.write_archive(NOTEBOOK, "sub", chunks(packed(FILES | {"big": bytes(500_000)}))) == 3
    assert read_files(workspace(world) / "sub") == FILES | {"big": bytes(500_000)}
    with tarfile.open(fileobj=io.BytesIO(await joined(world.movers.read_archive(NOTEBOOK, "sub/a.txt")))) as tar:
        assert [(each.name, each.size) for each in tar] == [("a.txt", 3)]
    with pytest.raises(VolumeFault) as caught:
        await joined(world.movers.read_archive(NOTEBOOK, "nothing"))
    assert caught.value.info_code == "DATASYNC_SOURCE_NOT_FOUND"
    with pytest.raises(VolumeFault):
        await world.movers.write_archive(NOTEBOOK, "sub", chunks(b"this is no tar" * 1000))
    assert await world.movers.list_movers() == set()


async def test_files_come_out_of_a_volumes_own_copy(world: MoverWorld) -> None:
    workspace(world).mkdir(parents=True)
    volume = Attached(id="v1", volume=parse_volume("team@lab:/mnt/data:rw"), place=Place.COPY)
    with pytest.raises(VolumeFault) as caught:
        await joined(world.movers.read_archive(NOTEBOOK, "", volume=volume))
    assert caught.value.info_code == "DATASYNC_SOURCE_NOT_FOUND"
    world.write(data(world).parent, {"data/a.txt": b"one", "beside": b"a mover's"})
    whole = await joined(world.movers.read_archive(NOTEBOOK, "", volume=volume))
    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        assert [(each.name, each.size) for each in tar] == [("data", 0), ("data/a.txt", 3)]
    one = await joined(world.movers.read_archive(NOTEBOOK, "a.txt", volume=volume))
    with tarfile.open(fileobj=io.BytesIO(one)) as tar:
        assert tar.getnames() == ["a.txt"]
    with pytest.raises(VolumeFault) as caught:
        await joined(world.movers.read_archive(NOTEBOOK, "beside", volume=volume))
    assert caught.value.info_code == "DATASYNC_SOURCE_NOT_FOUND"
    assert await world.movers.list_movers() == set()


async def test_reader_who_goes_away_leaves_no_mover(world: MoverWorld) -> None:
    world.write(workspace(world), {"big": bytes(4_000_000)})
    async with aclosing(world.movers.read_archive(NOTEBOOK, "")) as tar:  # type: ignore[type-var]
        assert await anext(tar)
    assert await world.movers.list_movers() == set()


# an engine that is not there


async def test_unreachable_engine_is_unknown(world: MoverWorld) -> None:
    workspace(world).mkdir(parents=True)
    for call in (
        world.nowhere.launch("m1", pull(), owner="alice"),
        world.nowhere.look("m1"),
        world.nowhere.interrupt("m1"),
        world.nowhere.clear("m1"),
        world.nowhere.list_movers(),
        world.nowhere.measure(NOTEBOOK),
        joined(world.nowhere.read_archive(NOTEBOOK, "")),
    ):
        with pytest.raises(EngineUnavailable):
            await call
