# SPDX-License-Identifier: Apache-2.0
"""Data in, data out, over a whole life: what is where at the end, whatever happened in between."""

from __future__ import annotations

import io
import tarfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from notebookd.domain.ids import NotebookId
from notebookd.domain.run import RunState
from notebookd.domain.spec import ResourceWish, SpecWish
from notebookd.domain.syncing import Progress, SyncKind, SyncState
from notebookd.domain.volumes import parse_volume
from notebookd.errors import Conflict, InvalidRequest, NotFound, QuotaExceeded
from notebookd.testing.house import House, World, make_world, open_house
from notebookd.testing.movers import read_files, write_files
from tests.scenario.play import (
    ADMIN,
    ALICE,
    BOB,
    container_of,
    events,
    history,
    look_around,
    outcome,
    patch,
    run_of,
    state,
)

URL = "https://git.example/team/code.git"
FILES = {"lab/in/a.txt": b"a", "lab/in/b.txt": b"b", "lab/other.txt": b"other"}


def data_world(folder: Path, **settings: Any) -> World:
    """A machine with a remote, a folder of data and a repository."""
    shared = folder / "shared"
    write_files(shared / "sets", {"mnist": b"digits"})
    stores = [
        {"alias": "S3", "type": "rclone", "remote": "s3", "config": str(folder / "rclone.conf"), "read": ["alice"],
         "write": ["alice"]},
        {"alias": "DIR", "type": "directory", "path": str(shared), "read": ["*"], "write": ["alice"]},
    ]  # fmt: skip
    world = make_world(folder, settings={"datastore": stores, **settings})
    world.movers.remotes["S3"] = dict(FILES)
    world.movers.repositories[URL] = {"main.py": b"print()"}
    return world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return data_world(tmp_path)


async def ask(house: House, *volumes: str, actor: Any = ALICE) -> NotebookId:
    wish = SpecWish(
        editor="jupyterlab",
        framework="conda",
        resources=ResourceWish(cpu=1),
        volumes=tuple(map(parse_volume, volumes)),
    )
    made = await house.notebooks.create(actor, house.notebooks.check(wish), named=wish.name is not None)
    await house.quiet()
    return made.notebook.id


def copy_of(house: House, notebook: NotebookId, mount_path: str) -> Path:
    """Where a volume's files are while the notebook runs."""
    (volume,) = (each for each in run_of(house, notebook).volumes if each.volume.mount_path == mount_path)
    (mount,) = (each for each in mounts(house, notebook) if each.target == mount_path)
    assert volume.volume.mount_path == mount.target
    return Path(mount.source)


def mounts(house: House, notebook: NotebookId) -> Sequence[Any]:
    return container_of(house.world, notebook).spec.mounts


def kinds(house: House, notebook: NotebookId) -> list[str]:
    return [f"{each.kind} {each.state}" for each in reversed(house.store.list_syncs(notebook))]


async def stop(house: House, notebook: NotebookId) -> None:
    await house.notebooks.stop(ALICE, notebook)
    await house.quiet()


async def test_each_permission_gives_back_what_it_promises(world: World) -> None:
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3/in:/ro", "lab@S3/in:/rw:rw", "lab@S3/in:/rwd:rwd", "standalone:/tmp/s")
        assert state(house, notebook) == "RUNNING"
        for mount in ("/ro", "/rw", "/rwd"):
            folder = copy_of(house, notebook, mount)
            assert read_files(folder) == {"a.txt": b"a", "b.txt": b"b"}
        rw, rwd = copy_of(house, notebook, "/rw"), copy_of(house, notebook, "/rwd")
        write_files(rw, {"new-rw.txt": b"1"})
        (rw / "b.txt").unlink()
        write_files(rwd, {"new-rwd.txt": b"2"})
        (rwd / "a.txt").unlink()
        assert [each.read_only for each in mounts(house, notebook)[2:]] == [True, False, False, False]
        await stop(house, notebook)
        assert world.movers.remotes["S3"] == {
            "lab/in/b.txt": b"b",
            "lab/in/new-rw.txt": b"1",
            "lab/in/new-rwd.txt": b"2",
            "lab/other.txt": b"other",
        }
        assert history(house, notebook) == [
            "QUEUED", "INITIALIZING", "PENDING", "RUNNING", "INTERRUPTING", "FINALIZING", "INTERRUPTED",
        ]  # fmt: skip


async def test_a_folder_of_the_host_is_there_without_a_copy(world: World) -> None:
    async with open_house(world) as house:
        notebook = await ask(house, "sets@DIR:/data:rw", "standalone:/s")
        assert history(house, notebook) == ["PENDING", "RUNNING"]
        folder = copy_of(house, notebook, "/data")
        assert read_files(folder) == {"mnist": b"digits"}
        scratch = copy_of(house, notebook, "/s")
        write_files(scratch, {"x": b"x"})
        await stop(house, notebook)
        assert not scratch.exists()
        assert folder.exists()


async def test_nothing_is_leased_while_data_moves(world: World) -> None:
    world.movers.held = True
    async with open_house(world) as house:
        wish = SpecWish(editor="jupyterlab", framework="conda", volumes=(parse_volume("lab@S3/in:/rw:rw"),))
        notebook = (
            await house.notebooks.create(ALICE, house.notebooks.check(wish), named=wish.name is not None)
        ).notebook.id
        await house.quiet()
        assert state(house, notebook) == "STARTING"
        assert house.store.list_leases() == []
        await finish_movers(house)
        assert state(house, notebook) == "RUNNING"
        assert len(house.store.list_leases()) == 1
        await stop(house, notebook)
        assert state(house, notebook) == "STOPPING"
        assert house.store.list_leases() == []
        await finish_movers(house)
        assert state(house, notebook) == "STOPPED"


async def finish_movers(house: House) -> None:
    for mover_id, mover in list(house.world.movers.movers.items()):
        if mover.report is not None and not mover.report.over:
            house.world.movers.finish(mover_id)
    await house.quiet()


async def test_no_more_movers_are_at_work_than_may_be(tmp_path: Path) -> None:
    world = data_world(tmp_path, transfers={"at_once": 2})
    world.movers.held = True
    async with open_house(world) as house:
        notebooks = [await ask(house, "lab@S3/in:/a", "lab@S3:/b") for _ in range(2)]
        assert len(world.movers.movers) == 2
        for _ in range(4):
            await finish_movers(house)
            assert len(world.movers.movers) <= 2
        assert [state(house, each) for each in notebooks] == ["RUNNING", "RUNNING"]


@pytest.mark.parametrize(
    ("volume", "field"),
    [
        ("lab@NONE:/a", "dataStore.alias"),
        ("lab@S3:/etc/x", "mountPath"),
        ("https://u:p@git.example/x.git:/g", "publicGit.url"),
        ("file:///etc:/g", "publicGit.url"),
        ("lab@S3:/a:rw:cache", "cache"),
    ],
)
async def test_a_volume_that_cannot_be_is_refused_with_its_path(world: World, volume: str, field: str) -> None:
    async with open_house(world) as house:
        with pytest.raises(InvalidRequest) as refusal:
            await ask(house, volume)
        assert [each["path"] for each in refusal.value.details["faults"]] == [f"$.volumes[0].{field}"]


async def test_a_datastore_is_for_those_it_names(world: World) -> None:
    async with open_house(world) as house:
        with pytest.raises(InvalidRequest, match="there is no datastore S3"):
            await ask(house, "lab@S3:/a", actor=BOB)
        with pytest.raises(InvalidRequest, match="may be read and not written"):
            await ask(house, "sets@DIR:/a:rw", actor=BOB)
        assert await ask(house, "sets@DIR:/a", actor=BOB)
        assert await ask(house, "lab@S3:/a:rw", actor=ADMIN)


async def test_a_right_that_was_taken_away_holds_at_the_next_start(world: World) -> None:
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3:/a:rw")
        await stop(house, notebook)
        stores = tuple(
            replace(each, read=(), write=()) if each.alias == "S3" else each for each in world.config.datastores
        )
        house.reload(replace(world.config, datastores=stores))
        with pytest.raises(Conflict, match="there is no datastore S3"):
            await house.notebooks.start(ALICE, notebook)


async def test_a_source_that_is_not_there_fails_the_run(world: World) -> None:
    async with open_house(world) as house:
        notebook = await ask(house, "nowhere@S3:/a")
        assert state(house, notebook) == "FAILED"
        assert outcome(house, notebook) == ("FAILED", "DATASYNC_SOURCE_NOT_FOUND")


async def test_a_push_that_fails_keeps_the_copy_until_one_succeeds(world: World) -> None:
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3/in:/rw:rw")
        copy = copy_of(house, notebook, "/rw")
        write_files(copy, {"new": b"!"})
        world.movers.held = True
        await stop(house, notebook)
        world.movers.fail(world.movers.launches[-1], "DATASYNC_ACCESS_DENIED", "the key is wrong")
        await house.quiet()
        assert state(house, notebook) == "SYNC_FAILED"
        assert "the key is wrong" in " ".join(house.services.reasons.sentences(entry_of(house, notebook)))
        with pytest.raises(Conflict, match="SYNC_FAILED"):
            await house.notebooks.start(ALICE, notebook)
        with pytest.raises(Conflict):
            await house.notebooks.delete(ALICE, notebook, force=False)
        with pytest.raises(Conflict):
            await patch(house, notebook, volumes=())
        assert read_files(copy)["new"] == b"!"
        await house.services.syncs.request(ALICE, notebook, "push", None)
        await house.quiet()
        await finish_movers(house)
        assert state(house, notebook) == "STOPPED"
        assert outcome(house, notebook) == ("INTERRUPTED", "JOB_INTERRUPTED")
        assert world.movers.remotes["S3"]["lab/in/new"] == b"!"


def entry_of(house: House, notebook: NotebookId) -> Any:
    found = house.store.find_entry(notebook)
    assert found is not None
    return found


async def test_what_was_not_pushed_can_be_given_up(world: World) -> None:
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3/in:/rw:rw")
        write_files(copy_of(house, notebook, "/rw"), {"new": b"!"})
        world.movers.held = True
        await stop(house, notebook)
        world.movers.fail(world.movers.launches[-1], "DATASYNC_UNREACHABLE")
        await house.quiet()
        world.movers.held = False
        await house.notebooks.start(ALICE, notebook, discard=True)
        await house.quiet()
        assert state(house, notebook) == "RUNNING"
        assert read_files(copy_of(house, notebook, "/rw")) == {"a.txt": b"a", "b.txt": b"b"}
        assert "lab/in/new" not in world.movers.remotes["S3"]


async def test_who_asks_for_a_folder_that_is_not_there_is_not_sent_for_a_bug_report(world: World) -> None:
    async with open_house(world) as house:
        notebook = await ask(house, "absent@DIR:/d")
        assert outcome(house, notebook) == ("FAILED", "DATASYNC_SOURCE_NOT_FOUND")
        ended = run_of(house, notebook).outcome
        assert ended is not None
        assert ended.message.endswith("No such file or directory")


async def test_whatever_ends_a_run_its_changes_go_out(world: World) -> None:
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3/in:/rw:rw")
        write_files(copy_of(house, notebook, "/rw"), {"new": b"!"})
        world.engine.end(container_of(world, notebook).spec.name, 1)
        await house.quiet()
        assert state(house, notebook) == "FAILED"
        assert world.movers.remotes["S3"]["lab/in/new"] == b"!"


async def test_a_reboot_loses_no_change_and_brings_the_notebook_back(world: World) -> None:
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3/in:/rw:rw")
        write_files(copy_of(house, notebook, "/rw"), {"new": b"!"})
    world.engine.reboot()
    world.clock.reboot()
    async with open_house(world) as house:
        await house.quiet()
        assert world.movers.remotes["S3"]["lab/in/new"] == b"!"
        assert state(house, notebook) == "RUNNING"
        assert run_of(house, notebook).number == 2
        assert read_files(copy_of(house, notebook, "/rw"))["new"] == b"!"


async def test_a_stop_in_the_middle_of_a_pull_pushes_nothing(world: World) -> None:
    world.movers.held = True
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3/in:/rwd:rwd")
        await stop(house, notebook)
        assert state(house, notebook) == "STOPPED"
        await look_around(house)
        assert world.movers.movers == {}
        assert kinds(house, notebook) == ["pull INTERRUPTED"]
        assert world.movers.remotes["S3"] == FILES


async def test_a_daemon_that_comes_back_finds_its_movers_at_work(world: World) -> None:
    world.movers.held = True
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3/in:/rw:rw")
        launched = list(world.movers.launches)
    async with open_house(world) as house:
        await house.quiet()
        await finish_movers(house)
        assert state(house, notebook) == "RUNNING"
        assert world.movers.launches == launched


async def test_a_mover_that_dies_is_sent_again(world: World) -> None:
    world.movers.held = True
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3/in:/rw:rw")
        world.movers.die(world.movers.launches[-1])
        await house.quiet()
        assert len(world.movers.launches) == 2
        await finish_movers(house)
        assert state(house, notebook) == "RUNNING"


async def test_pull_and_push_on_demand(world: World) -> None:
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3/in:/rw:rw", "lab@S3:/ro")
        world.movers.remotes["S3"]["lab/in/late"] = b"late"
        pulled = await house.services.syncs.request(ALICE, notebook, "pull", "/rw")
        await house.quiet()
        copy = copy_of(house, notebook, "/rw")
        assert read_files(copy)["late"] == b"late"
        write_files(copy, {"mine": b"mine"})
        await house.services.syncs.request(ALICE, notebook, "push", None)
        await house.quiet()
        assert world.movers.remotes["S3"]["lab/in/mine"] == b"mine"
        assert house.store.find_sync(pulled.id).state is SyncState.DONE  # type: ignore[union-attr]
        with pytest.raises(InvalidRequest, match="it has no volume /nope"):
            await house.services.syncs.request(ALICE, notebook, "push", "/nope")
        with pytest.raises(InvalidRequest, match="nothing of"):
            await house.services.syncs.request(ALICE, notebook, "push", "/ro")
        await stop(house, notebook)
        with pytest.raises(Conflict, match="STOPPED"):
            await house.services.syncs.request(ALICE, notebook, "pull", None)


async def test_progress_is_told_while_it_moves(world: World) -> None:
    world.movers.held = True
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3/in:/rw:rw")
        world.movers.progress(world.movers.launches[-1], Progress(total=10, processed=3, transferred_bytes=1000))
        await house.pass_time(2)
        (sync,) = house.services.syncs.list(notebook)
        assert sync.state is SyncState.RUNNING
        assert sync.transfers[0].progress.processed == 3
        assert "3 of 10 files" in " ".join(house.services.reasons.sentences(entry_of(house, notebook)))


async def test_a_shared_copy_is_one_for_all_and_goes_when_nobody_used_it(world: World) -> None:
    async with open_house(world) as house:
        first, second = [await ask(house, "lab@S3/in:/d:cache") for _ in range(2)]
        assert copy_of(house, first, "/d") == copy_of(house, second, "/d")
        copy = copy_of(house, first, "/d")
        await stop(house, first)
        await house.pass_time(80 * 3600)
        await look_around(house)
        assert copy.exists(), "one is in use"
        await stop(house, second)
        await house.pass_time(80 * 3600)
        await look_around(house)
        assert not copy.exists()


async def test_a_snapshot_is_taken_at_each_stop_and_a_fork_begins_with_it(tmp_path: Path) -> None:
    world = data_world(tmp_path, snapshots={"at_stop": True})
    async with open_house(world) as house:
        notebook = await ask(house)
        workspace = world.config.paths.workspaces / notebook
        write_files(workspace, {"model.pt": b"weights"})
        await stop(house, notebook)
        (snapshot,) = house.services.snapshots.list(ALICE, notebook)
        assert snapshot.files >= 1
        (workspace / "model.pt").unlink()
        fork = (await house.services.snapshots.fork(ALICE, notebook, snapshot.id)).notebook.id
        await house.quiet()
        assert state(house, fork) == "RUNNING"
        assert (world.config.paths.workspaces / fork / "model.pt").read_bytes() == b"weights"
        assert not (workspace / "model.pt").exists()
        with pytest.raises(NotFound):
            house.services.snapshots.get(ALICE, fork, snapshot.id)


async def test_a_fork_is_no_way_round_the_quota(tmp_path: Path) -> None:
    world = data_world(tmp_path, snapshots={"at_stop": True}, workspace={"quota": "64KiB"})
    async with open_house(world) as house:
        notebook = await ask(house)
        workspace = world.config.paths.workspaces / notebook
        write_files(workspace, {"small": b"x" * 1000})
        await stop(house, notebook)
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        write_files(workspace, {"large": b"x" * 100_000})
        await stop(house, notebook)
        small, large = sorted(house.services.snapshots.list(ALICE, notebook), key=lambda each: each.size_bytes)
        for refused in (
            house.notebooks.start(ALICE, notebook),
            house.services.snapshots.fork(ALICE, notebook, large.id),
        ):
            with pytest.raises(QuotaExceeded, match=r"more than the 64\.0 KiB that are allowed"):
                await refused
        fork = (await house.services.snapshots.fork(ALICE, notebook, small.id)).notebook.id
        await house.quiet()
        assert state(house, fork) == "RUNNING"


async def test_a_stop_that_takes_long_is_ended_by_asking_for_it(tmp_path: Path) -> None:
    world = data_world(tmp_path, snapshots={"at_stop": True})
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3/in:/rw:rw")
        write_files(copy_of(house, notebook, "/rw"), {"mine": b"not carried back yet"})
        world.movers.held = True
        await stop(house, notebook)
        await house.pass_time(3600)
        assert state(house, notebook) == "STOPPING"
        entry = house.store.find_entry(notebook)
        assert entry is not None
        assert any("`notebookctl stop --now`" in each for each in house.services.reasons.sentences(entry))

        for _ in range(2):  # the second has nothing more to say
            await house.notebooks.stop(ALICE, notebook, at_once=True)
            await house.pass_time(5)

        assert state(house, notebook) == "SYNC_FAILED"
        assert kinds(house, notebook) == ["pull DONE", "push INTERRUPTED", "snapshot INTERRUPTED"]
        assert [each.actor for each in events(house, notebook) if each.type == "notebook.hurried"] == ["alice"]
        assert not world.movers.movers
        world.movers.held = False
        await house.services.syncs.request(ALICE, notebook, "push", None)
        await house.quiet()
        assert state(house, notebook) == "STOPPED"
        assert world.movers.remotes["S3"]["lab/in/mine"] == b"not carried back yet"


async def test_a_running_notebook_is_stopped_at_once_without_a_snapshot(tmp_path: Path) -> None:
    world = data_world(tmp_path, snapshots={"at_stop": True})
    async with open_house(world) as house:
        notebook = await ask(house)
        await house.notebooks.stop(ALICE, notebook, at_once=True)
        await house.quiet()
        assert state(house, notebook) == "STOPPED"
        assert kinds(house, notebook) == []
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        await stop(house, notebook)
        assert kinds(house, notebook) == ["snapshot DONE"]


async def test_a_snapshot_that_fails_loses_nothing_and_is_told(tmp_path: Path) -> None:
    world = data_world(tmp_path, snapshots={"at_stop": True})
    world.movers.held = True
    async with open_house(world) as house:
        notebook = await ask(house)
        await stop(house, notebook)
        world.movers.fail(world.movers.launches[-1], "DATASYNC_DISK_FULL", "no room")
        await house.quiet()
        assert state(house, notebook) == "STOPPED"
        assert (world.config.paths.workspaces / notebook).exists()
        assert kinds(house, notebook) == ["snapshot FAILED"]
        told = [each for each in events(house, notebook) if each.type == "data.sync" and each.after == "FAILED"]
        assert [each.data["message"] for each in told] == ["no room"]


async def test_a_deleted_notebook_leaves_no_data_and_pushes_none(tmp_path: Path) -> None:
    world = data_world(tmp_path, snapshots={"at_stop": True})
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3/in:/rw:rw")
        await stop(house, notebook)
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        write_files(copy_of(house, notebook, "/rw"), {"new": b"!"})
        await house.notebooks.delete(ALICE, notebook, force=True)
        await house.quiet()
        assert house.store.find_entry(notebook) is None
        assert "lab/in/new" not in world.movers.remotes["S3"]
        assert not (world.config.paths.volumes / notebook).exists()
        assert notebook not in world.movers.snapshots


async def tar_of(**files: bytes) -> AsyncIterator[bytes]:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    yield packed.getvalue()


async def test_a_full_workspace_is_told_and_not_started_again(tmp_path: Path) -> None:
    world = data_world(tmp_path, workspace={"quota": "1KiB", "measure_every": "1m"})
    async with open_house(world) as house:
        notebook = await ask(house)
        write_files(world.config.paths.workspaces / notebook, {"big": b"x" * 4096})
        await house.pass_time(61)
        warned = [each for each in events(house, notebook) if each.type == "notebook.warning"]
        assert [each.data["reason"] for each in warned] == ["workspace-quota"]
        await stop(house, notebook)
        with pytest.raises(QuotaExceeded, match=r"its workspace takes 4\.0 KiB, more than the 1\.0 KiB that are"):
            await house.notebooks.start(ALICE, notebook)
        entry = house.store.find_entry(notebook)
        assert entry is not None
        assert any("does not start while that is so" in each for each in house.services.reasons.sentences(entry))
        await house.services.archives.write(ALICE, notebook, "", tar_of(big=b""))
        await house.notebooks.start(ALICE, notebook)


async def test_thousands_of_small_files_over_the_quota_go_at_once(tmp_path: Path) -> None:
    world = data_world(tmp_path, workspace={"quota": "1KiB", "measure_every": "1m"})
    async with open_house(world) as house:
        notebook = await ask(house)
        small = {f"many/{number % 7}/{number}": b"x" * 10 for number in range(2000)}
        write_files(world.config.paths.workspaces / notebook, small)
        await house.pass_time(61)
        await stop(house, notebook)
        with pytest.raises(QuotaExceeded) as refused:
            await house.notebooks.start(ALICE, notebook)
        assert "`notebookctl rm NOTEBOOK:PATH`" in str(refused.value.hint)
        world.movers.reachable = False  # it takes nobody: what is gone is gone
        await house.services.archives.remove(ALICE, notebook, "many/0")
        world.movers.reachable = True
        await house.services.archives.remove(ALICE, notebook, "many")
        await house.notebooks.start(ALICE, notebook)
        removed = [each.data for each in events(house, notebook) if each.type == "notebook.files"]
        assert removed == [{"path": "many/0", "removed": True}, {"path": "many", "removed": True}]


async def test_an_engine_that_is_away_changes_nothing_of_a_transfer(world: World) -> None:
    world.movers.held = True
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3/in:/rw:rw")
        world.movers.reachable = False
        await house.pass_time(30)
        assert run_of(house, notebook).state is RunState.INITIALIZING
        assert house.store.list_open_syncs(notebook)[0].kind is SyncKind.PULL
        world.movers.reachable = True
        await finish_movers(house)
        await house.pass_time(5)
        assert state(house, notebook) == "RUNNING"


async def test_nobody_works_on_a_repository_that_somebody_works_on(tmp_path: Path) -> None:
    world = data_world(tmp_path, snapshots={"at_stop": True})
    async with open_house(world) as house:
        notebook = await ask(house)
        await stop(house, notebook)
        (snapshot,) = house.services.snapshots.list(ALICE, notebook)
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        world.movers.held = True
        await stop(house, notebook)
        fork = (await house.services.snapshots.fork(ALICE, notebook, snapshot.id)).notebook.id
        await house.quiet()
        assert [type(each.work).__name__ for each in world.movers.movers.values()] == ["TakeSnapshot"]
        await finish_movers(house)
        assert [type(each.work).__name__ for each in world.movers.movers.values()] == ["RestoreSnapshot"]
        await finish_movers(house)
        assert (state(house, notebook), state(house, fork)) == ("STOPPED", "RUNNING")


async def test_what_a_push_says_of_what_stays_here_is_on_record(world: World) -> None:
    async with open_house(world) as house:
        notebook = await ask(house, "lab@S3/in:/rw:rw")
        world.movers.held = True
        await house.services.syncs.request(ALICE, notebook, "push", None)
        await house.quiet()
        world.movers.finish(world.movers.launches[-1], "2 files are not executable there")
        await house.quiet()
        said = [each.data.get("message") for each in events(house, notebook) if each.type == "data.sync"]
        assert said[-1] == "2 files are not executable there"
