# SPDX-License-Identifier: Apache-2.0
"""A notebook's folders: made once, never made anew, and taken away whatever a container left in them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from notebookd.adapters.files import LocalFiles
from notebookd.config import Paths
from notebookd.domain.ids import RunId
from notebookd.errors import WorkspaceFault
from notebookd.ports.engine import LogLine
from notebookd.ports.files import MARKER
from tests.values import NOTEBOOK_ID, RUN_ID, after

ROOT = Path(__file__).parents[2]


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    made = Paths(state=tmp_path / "state", runtime=tmp_path / "runtime")
    made.editors.mkdir(parents=True)
    made.state.mkdir()
    return made


@pytest.fixture
def files(paths: Paths) -> LocalFiles:
    return LocalFiles(paths, keep_workspaces=False)


async def lines(*contents: str) -> AsyncIterator[LogLine]:
    for index, content in enumerate(contents):
        yield LogLine(at=after(index), stream="stdout" if index % 2 == 0 else "stderr", content=content)


async def test_the_first_start_makes_a_marked_workspace_and_an_editor_folder(files: LocalFiles) -> None:
    folders = await files.prepare(NOTEBOOK_ID, made=False)
    assert stat.S_IMODE(folders.workspace.stat().st_mode) == 0o700
    assert (folders.workspace / MARKER).is_file()
    assert stat.S_IMODE(folders.editor.stat().st_mode) == 0o2770
    assert folders == files.folders(NOTEBOOK_ID)


def links(workspace: Path) -> dict[str, str]:
    return {each.name: str(each.readlink()) for each in workspace.iterdir() if each.is_symlink()}


async def test_a_volume_outside_the_workspace_has_a_link_in_it(files: LocalFiles) -> None:
    workspace = (await files.prepare(NOTEBOOK_ID, made=False)).workspace
    mine = workspace / "mine"
    mine.symlink_to("/usr/share/data")
    for _again in range(2):
        await files.link_volumes(NOTEBOOK_ID, ["/data", "/srv/sets", "/workspace/code"])
        assert links(workspace) == {"data": "/data", "sets": "/srv/sets", "mine": "/usr/share/data"}
    await files.link_volumes(NOTEBOOK_ID, [])
    assert links(workspace) == {"mine": "/usr/share/data"}


async def test_a_persons_own_link_is_not_taken_for_one_to_a_volume(files: LocalFiles) -> None:
    workspace = (await files.prepare(NOTEBOOK_ID, made=False)).workspace
    theirs = {"mine": "/usr/share/data/.", "data": "/srv/sets/.", "up": "/.", "here": "/workspace/."}
    for name, target in theirs.items():
        (workspace / name).symlink_to(target)
    await files.link_volumes(NOTEBOOK_ID, [])
    assert {each.name: os.readlink(each) for each in workspace.iterdir() if each.is_symlink()} == theirs  # noqa: PTH115 - with its /.


async def test_a_link_takes_no_name_that_is_in_use(files: LocalFiles) -> None:
    workspace = (await files.prepare(NOTEBOOK_ID, made=False)).workspace
    (workspace / "data").write_text("its user's")
    await files.link_volumes(NOTEBOOK_ID, ["/data", "/srv/data", "/srv/code", "/workspace/code/main"])
    assert links(workspace) == {"srv-data": "/srv/data", "srv-code": "/srv/code"}
    assert (workspace / "data").read_text() == "its user's"


async def test_a_link_makes_way_for_what_is_mounted_in_its_place(files: LocalFiles) -> None:
    workspace = (await files.prepare(NOTEBOOK_ID, made=False)).workspace
    await files.link_volumes(NOTEBOOK_ID, ["/data"])
    await files.link_volumes(NOTEBOOK_ID, ["/workspace/data"])
    assert not (workspace / "data").is_symlink()


async def test_a_workspace_that_takes_no_link_keeps_no_notebook_from_starting(files: LocalFiles) -> None:
    workspace = (await files.prepare(NOTEBOOK_ID, made=False)).workspace
    workspace.joinpath("data").mkdir()
    await files.link_volumes(NOTEBOOK_ID, ["/data"])
    assert workspace.joinpath("data").is_dir()


async def test_later_starts_keep_the_workspace_and_renew_the_editor_folder(files: LocalFiles) -> None:
    folders = await files.prepare(NOTEBOOK_ID, made=False)
    (folders.workspace / "thesis.ipynb").write_text("{}")
    (folders.editor / "editor.sock").symlink_to("/run/engine.sock")
    for made in (False, True):
        await files.prepare(NOTEBOOK_ID, made=made)
        assert (folders.workspace / "thesis.ipynb").read_text() == "{}"
        assert list(folders.editor.iterdir()) == []


def swap_for_an_empty_folder(workspace: Path) -> None:
    """As where a disk is not mounted: the folder is another one."""
    workspace.rename(workspace.with_name("elsewhere"))
    workspace.mkdir(mode=0o700)


async def test_whoever_removes_the_marker_with_all_else_goes_on_working(files: LocalFiles) -> None:
    workspace = (await files.prepare(NOTEBOOK_ID, made=False)).workspace
    (workspace / MARKER).unlink()
    await files.prepare(NOTEBOOK_ID, made=True)
    assert (workspace / MARKER).is_file(), "it is there again for a backup to take along"
    (workspace / MARKER).unlink()
    (workspace / MARKER).symlink_to("/etc/passwd")
    await files.prepare(NOTEBOOK_ID, made=True)
    assert (workspace / MARKER).is_symlink(), "what else has its name is its user's"


async def test_a_workspace_that_came_back_from_a_backup_is_known_by_its_marker(files: LocalFiles, paths: Paths) -> None:
    workspace = (await files.prepare(NOTEBOOK_ID, made=False)).workspace
    swap_for_an_empty_folder(workspace)
    (workspace / MARKER).touch()
    await files.prepare(NOTEBOOK_ID, made=True)
    (workspace / MARKER).unlink()
    await files.prepare(NOTEBOOK_ID, made=True)
    assert (workspace / MARKER).is_file(), "and then as itself"


async def test_nothing_is_left_beside_a_workspace_that_is_removed(files: LocalFiles, paths: Paths) -> None:
    await files.prepare(NOTEBOOK_ID, made=False)
    assert len(list(paths.workspaces.iterdir())) == 2
    await files.remove(NOTEBOOK_ID)
    assert list(paths.workspaces.iterdir()) == []


async def test_a_workspace_without_its_marker_is_a_fault_and_is_not_touched(files: LocalFiles) -> None:
    folders = await files.prepare(NOTEBOOK_ID, made=False)
    swap_for_an_empty_folder(folders.workspace)
    with pytest.raises(WorkspaceFault, match=r"its marker .* is missing") as caught:
        await files.prepare(NOTEBOOK_ID, made=True)
    assert "nothing was touched" in (caught.value.hint or "")
    assert list(folders.workspace.iterdir()) == []


async def test_a_workspace_that_is_gone_is_a_fault_and_is_not_made_anew(files: LocalFiles) -> None:
    with pytest.raises(WorkspaceFault, match="missing"):
        await files.prepare(NOTEBOOK_ID, made=True)
    assert not files.folders(NOTEBOOK_ID).workspace.exists()


async def test_a_marker_that_a_container_replaced_is_no_marker(files: LocalFiles, tmp_path: Path) -> None:
    marker = (await files.prepare(NOTEBOOK_ID, made=False)).workspace / MARKER
    swap_for_an_empty_folder(marker.parent)
    marker.symlink_to("/etc/passwd")
    with pytest.raises(WorkspaceFault, match=r"its marker \.workspace\.initialized is not a regular file") as caught:
        await files.prepare(NOTEBOOK_ID, made=True)
    assert "put an empty file in its place" in (caught.value.hint or "")
    marker.unlink()
    os.mkfifo(marker)
    with pytest.raises(WorkspaceFault, match="not a regular file"):
        await files.prepare(NOTEBOOK_ID, made=True)


async def test_nothing_is_made_through_a_link_in_place_of_the_marker(files: LocalFiles, tmp_path: Path) -> None:
    workspace = files.folders(NOTEBOOK_ID).workspace
    workspace.mkdir(parents=True)
    (workspace / MARKER).symlink_to(tmp_path / "outside")
    for made in (False, True):
        await files.prepare(NOTEBOOK_ID, made=made)
        assert not (tmp_path / "outside").exists()


async def test_removing_takes_everything_and_nothing_beyond_links(files: LocalFiles, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    folders = await files.prepare(NOTEBOOK_ID, made=False)
    (folders.workspace / "out").symlink_to(outside)
    (folders.workspace / "loop").symlink_to(".")
    os.mkfifo(folders.workspace / "fifo")
    (folders.workspace / "deep" / "er").mkdir(parents=True)
    await files.keep_log(NOTEBOOK_ID, RUN_ID, lines("x"))
    for _ in range(2):
        await files.remove(NOTEBOOK_ID)
        assert not folders.workspace.exists()
        assert not folders.editor.exists()
        assert [line async for line in files.read_log(NOTEBOOK_ID, RUN_ID)] == []
        assert (outside / "kept").exists()
    assert await files.usage([NOTEBOOK_ID]) == {}


async def test_workspace_deeper_than_any_stack_is_removed(files: LocalFiles) -> None:
    folders = await files.prepare(NOTEBOOK_ID, made=False)
    here = os.open(folders.workspace, os.O_RDONLY)
    for _ in range(1100):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    await files.remove(NOTEBOOK_ID)
    assert not folders.workspace.exists()


async def test_an_administrator_may_keep_workspaces(paths: Paths) -> None:
    files = LocalFiles(paths, keep_workspaces=True)
    folders = await files.prepare(NOTEBOOK_ID, made=False)
    await files.remove(NOTEBOOK_ID)
    assert (folders.workspace / MARKER).exists()
    assert not folders.editor.exists()


async def test_the_trash_of_an_earlier_life_is_emptied(files: LocalFiles, paths: Paths) -> None:
    (paths.trash / NOTEBOOK_ID / "half").mkdir(parents=True)
    folders = await files.prepare(NOTEBOOK_ID, made=False)
    await files.remove(NOTEBOOK_ID)
    assert list(paths.trash.iterdir()) == []
    (paths.trash / "other").mkdir()
    await files.sweep()
    await files.sweep()
    assert list(paths.trash.iterdir()) == [], "its folder stays: to make one takes an inode"
    assert not folders.workspace.exists()


async def test_the_editor_folder_can_be_cleared_twice(files: LocalFiles) -> None:
    folders = await files.prepare(NOTEBOOK_ID, made=False)
    await files.clear_editor(NOTEBOOK_ID)
    await files.clear_editor(NOTEBOOK_ID)
    assert not folders.editor.exists()
    assert folders.workspace.exists()


LOCKED = """
import asyncio, os, pathlib, sys
from notebookd.adapters.files import LocalFiles
from notebookd.config import Paths
from notebookd.errors import WorkspaceFault

base = pathlib.Path(sys.argv[1])
os.setgroups([]); os.setgid(65534); os.setuid(65534)
paths = Paths(state=base / "state", runtime=base / "runtime")
paths.editors.mkdir(parents=True)
files = LocalFiles(paths, keep_workspaces=False)
workspace = asyncio.run(files.prepare("n", made=False)).workspace
(workspace / "locked" / "deeper").mkdir(parents=True)
(workspace / "locked" / "deeper" / "file").touch()
for folder in ("locked/deeper", "locked"):
    (workspace / folder).chmod(0)
for _ in range(3):
    try:
        asyncio.run(files.remove("n"))
        break
    except WorkspaceFault as fault:
        print(fault)
print(sorted(str(left) for left in paths.trash.rglob("*")), workspace.exists())
"""


def test_folders_that_a_container_locked_go_as_well(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody who is not")
    base = Path(subprocess.run(["mktemp", "-d"], capture_output=True, text=True, check=True).stdout.strip())
    base.chmod(0o777)
    try:
        done = subprocess.run(
            [sys.executable, "-c", LOCKED, base], cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-1] == "[] False", done.stdout
    finally:
        subprocess.run(["rm", "-rf", base], check=True)


async def test_a_log_is_kept_once_and_comes_back(files: LocalFiles) -> None:
    said = ("hello", "", "two  words ", "ünï", "tab\tand\x0bmore\x85\u2028")
    await files.keep_log(NOTEBOOK_ID, RUN_ID, lines(*said))
    await files.keep_log(NOTEBOOK_ID, RUN_ID, lines("later"))
    kept = [line async for line in files.read_log(NOTEBOOK_ID, RUN_ID)]
    assert tuple(line.content for line in kept) == said
    assert [(line.at, line.stream) for line in kept][:2] == [(after(0), "stdout"), (after(1), "stderr")]


async def test_a_long_log_is_never_in_memory_as_a_whole(files: LocalFiles) -> None:
    async def many() -> AsyncIterator[LogLine]:
        for number in range(20_500):
            yield LogLine(at=after(0), stream="stdout", content=str(number))

    tracemalloc.start()
    try:
        await files.keep_log(NOTEBOOK_ID, RUN_ID, many())
        async with aclosing(files.read_log(NOTEBOOK_ID, RUN_ID)) as begun:
            assert (await anext(begun)).content == "0"
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2_000_000
    kept = [line.content async for line in files.read_log(NOTEBOOK_ID, RUN_ID)]
    assert kept == [str(number) for number in range(20_500)]


@pytest.mark.parametrize("content", ["10%\r20%\r100%", "done\r", "\r"])
async def test_a_progress_bar_comes_back_as_one_line(files: LocalFiles, content: str) -> None:
    await files.keep_log(NOTEBOOK_ID, RUN_ID, lines("before", content, "after"))
    assert [line.content async for line in files.read_log(NOTEBOOK_ID, RUN_ID)] == ["before", content, "after"]


async def test_a_log_that_broke_off_is_not_kept(files: LocalFiles) -> None:
    async def breaks() -> AsyncIterator[LogLine]:
        yield LogLine(at=after(0), stream="stdout", content="x")
        raise ConnectionError

    with pytest.raises(ConnectionError):
        await files.keep_log(NOTEBOOK_ID, RUN_ID, breaks())
    assert [line async for line in files.read_log(NOTEBOOK_ID, RUN_ID)] == []
    await files.keep_log(NOTEBOOK_ID, RUN_ID, lines("whole"))
    assert [line.content async for line in files.read_log(NOTEBOOK_ID, RUN_ID)] == ["whole"]


async def test_there_is_no_log_before_one_was_kept(files: LocalFiles) -> None:
    assert [line async for line in files.read_log(NOTEBOOK_ID, RunId("none"))] == []


async def test_free_space_is_known_of_a_workspace(files: LocalFiles) -> None:
    await files.prepare(NOTEBOOK_ID, made=False)
    usage = (await files.usage([NOTEBOOK_ID]))[NOTEBOOK_ID]
    assert usage is not None
    assert usage.free_bytes > 0
