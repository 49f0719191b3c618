# SPDX-License-Identifier: Apache-2.0
"""File systems on which no file more can be made."""

from __future__ import annotations

import errno
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebookd.adapters.files import LocalFiles
from notebookd.adapters.sqlite import SqliteStore
from notebookd.adapters.sqlite.spares import COUNT, Spares, free_inodes
from notebookd.config import Paths
from notebookd.domain.ids import RunId
from notebookd.domain.run import RunState, end
from notebookd.errors import StoreUnavailable
from notebookd.ports.engine import LogLine
from tests.values import NOTEBOOK_ID, NOW, STOPPED_BY_ALICE, after, notebook, run


def use_up(folder: Path) -> None:
    """Leave no inode, as somebody's program does whenever there is one."""
    try:
        while True:
            (folder / f"filler{uuid.uuid4()}").touch(exist_ok=False)
    except OSError as fault:
        if fault.errno != errno.ENOSPC:
            raise


@pytest.fixture
def few_of_ext4(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB and few inodes of the usual kind, on a loop device."""
    image, folder = tmp_path / "image", tmp_path / "ext4"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(4 * 1024 * 1024)
    try:
        subprocess.run(["/sbin/mkfs.ext4", "-q", "-m", "0", "-N", "256", image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, folder], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as fault:
        pytest.skip(f"this machine mounts no image: {fault}")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


async def test_without_an_inode_it_commits_and_opens_again_and_again(few_inodes: Path) -> None:
    path = few_inodes / "notebookd.db"
    async with SqliteStore.open(path, NOW, ballast_bytes=4096) as store:
        async with store.transaction() as tx:
            await tx.put_notebook(notebook())
            running = await tx.put_run(run(RunState.RUNNING))
        use_up(few_inodes)
        assert (await store.disk_use()).free_inodes == 0
        async with store.transaction() as tx:
            await tx.put_run(end(running, STOPPED_BY_ALICE, after(60)))
    for _ in range(3):
        use_up(few_inodes)  # what was free of a log that is not there any more
        assert free_inodes(few_inodes) == 0
        async with SqliteStore.open(path, NOW, ballast_bytes=4096) as store, store.transaction() as tx:
            await tx.put_meta("k", "v")


async def test_what_cannot_be_opened_for_want_of_inodes_says_so(few_inodes: Path) -> None:
    path = few_inodes / "notebookd.db"
    async with SqliteStore.open(path, NOW, ballast_bytes=4096):
        pass
    Spares(few_inodes / "ballast.inodes").drop()
    (few_inodes / "ballast").unlink(missing_ok=True)
    use_up(few_inodes)
    with pytest.raises(StoreUnavailable) as caught:
        async with SqliteStore.open(path, NOW, ballast_bytes=4096):
            raise AssertionError("not reached")
    assert "inodes of the file system are used up" in (caught.value.hint or "")


def test_the_inodes_come_back_with_the_room(few_inodes: Path) -> None:
    spares = Spares(few_inodes / "spares")
    spares.trim()
    assert spares.held() == COUNT
    assert spares.drop()
    assert not spares.drop()
    use_up(few_inodes)
    spares.trim()
    assert spares.held() == 0
    for each in few_inodes.glob("filler*"):
        each.unlink()
    spares.trim()
    assert spares.held() == COUNT


@pytest.mark.parametrize("trash", [True, False])
async def test_a_notebook_is_deleted_without_an_inode(few_inodes: Path, trash: bool) -> None:
    paths = Paths(state=few_inodes, runtime=few_inodes / "run")
    files = LocalFiles(paths, keep_workspaces=False)
    paths.editors.mkdir(parents=True)
    if trash:
        paths.trash.mkdir()
        (paths.trash / "half gone").mkdir()
        await files.sweep()
    folders = await files.prepare(NOTEBOOK_ID, made=False)
    (folders.workspace / "deep/er").mkdir(parents=True)
    use_up(folders.workspace / "deep/er")
    await files.remove(NOTEBOOK_ID)
    assert not folders.workspace.exists()
    assert not list(few_inodes.glob("trash/*"))
    assert (free_inodes(few_inodes) or 0) > 200


async def test_the_last_log_is_kept_in_what_the_reserve_held(few_inodes: Path) -> None:
    spares = Spares(few_inodes / "spares")
    spares.take()
    files = LocalFiles(
        Paths(state=few_inodes, runtime=few_inodes / "run"), keep_workspaces=False, give_up_reserve=spares.drop
    )
    use_up(few_inodes)

    async def lines():
        yield LogLine(at=NOW, stream="stdout", content="last words")

    await files.keep_log(NOTEBOOK_ID, RunId("r1"), lines())
    assert [each.content async for each in files.read_log(NOTEBOOK_ID, RunId("r1"))] == ["last words"]


@pytest.mark.parametrize("lack", ["inodes", "bytes"])
async def test_a_real_file_system_that_is_full_is_cleared(few_of_ext4: Path, lack: str) -> None:
    files = LocalFiles(Paths(state=few_of_ext4, runtime=few_of_ext4 / "run"), keep_workspaces=False)
    (few_of_ext4 / "run/editors").mkdir(parents=True)
    folders = await files.prepare(NOTEBOOK_ID, made=False)
    for number in range(60):
        (folders.workspace / f"{'a long name ' * 10}{number}/inner/most").mkdir(parents=True)
    if lack == "inodes":
        use_up(folders.workspace / f"{'a long name ' * 10}1")
    else:
        with pytest.raises(OSError, match="No space left"):
            (folders.workspace / "large").write_bytes(b"x" * 8_000_000)
    assert await files.remove_path(NOTEBOOK_ID, f"{'a long name ' * 10}2")
    await files.remove(NOTEBOOK_ID)
    assert not folders.workspace.exists()
