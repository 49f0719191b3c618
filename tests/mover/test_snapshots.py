# SPDX-License-Identifier: Apache-2.0
"""Snapshots as restic itself makes, keeps and gives them back."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebookd.mover.restic import RepositoryMissing, fault_of
from tests.mover.program import Ending, Mover, kill_tree
from tests.mover.repository import PASSWORD, lay_out_repository

HERE = "/repository"
ODD_NAMES = ["with space", "new\nline", "ünïcode", "-rf", os.fsdecode(b"latin\xff1")]


def make_mover(root: Path) -> Mover:
    """A mover with an empty repository."""
    mover = Mover(root)
    (mover.places.secrets / "restic-password").write_text(f"{PASSWORD}\n")
    lay_out_repository(mover.places.repository)
    return mover


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> tuple[Mover, Ending]:
    """A workspace of all sorts, and a first snapshot of it."""
    mover = make_mover(tmp_path_factory.mktemp("taken"))
    workspace = mover.places.workspace
    (workspace / ".workspace.initialized").touch()
    (workspace / "NOTICE.notebookd.timeout.txt").write_text("seven days were up")
    for name in ODD_NAMES:
        (workspace / name).write_text(name.encode(errors="surrogateescape").hex())
    (workspace / "folder/below").mkdir(parents=True)
    (workspace / "folder/below/run.sh").write_text("true")
    (workspace / "folder/below/run.sh").chmod(0o755)
    (workspace / "folder/link").symlink_to("/etc/passwd")
    (workspace / "read-only").mkdir()
    (workspace / "read-only/file").touch()
    (workspace / "read-only").chmod(0o555)
    (workspace / "private").write_text("not to be read")
    (workspace / "private").chmod(0)
    (workspace / "shut").mkdir(mode=0)
    os.mkfifo(workspace / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(workspace / "socket"))
    return mover, mover.run_apart("snapshot", repository=HERE, keep=2, notebook="n1")


@pytest.fixture
def copied(taken: tuple[Mover, Ending], tmp_path: Path) -> tuple[Mover, str]:
    """A mover with a copy of that repository, an empty workspace, and the snapshot's id."""
    mover = make_mover(tmp_path)
    shutil.copytree(taken[0].places.repository, mover.places.repository, dirs_exist_ok=True)
    return mover, str(taken[1].facts["snapshot"])


def test_a_snapshot_says_what_is_in_it_and_what_is_not(taken: tuple[Mover, Ending]) -> None:
    _, ending = taken
    assert ending.ok
    assert ending.code == "DATASYNC_DONE"
    assert ending.facts["kept"] == ending.facts["snapshot"]
    assert len(str(ending.facts["snapshot"])) == 64
    assert ending.facts["files"] == len(ODD_NAMES) + 4  # two in folders, the marker and the notice
    assert ending.progress["skipped"] == 2
    assert ending.progress["processed"] == ending.progress["total"]
    assert "private" in ending.message
    assert "shut" in ending.message


def test_a_fork_gets_everything_but_what_was_the_origins_alone(copied: tuple[Mover, str]) -> None:
    mover, snapshot = copied
    workspace = mover.places.workspace
    (workspace / ".workspace.initialized").write_text("the fork's own")

    ending = mover.run_apart("restore", repository=HERE, snapshot=snapshot)

    assert ending.ok, ending
    assert (workspace / ".workspace.initialized").read_text() == "the fork's own"
    expected = {".workspace.initialized", "folder", "read-only", "fifo", *ODD_NAMES}
    assert {each.name for each in workspace.iterdir()} == expected
    for name in ODD_NAMES:
        assert (workspace / name).read_text() == name.encode(errors="surrogateescape").hex()
    assert (workspace / "folder/below/run.sh").stat().st_mode & 0o777 == 0o755
    assert (workspace / "folder/link").readlink() == Path("/etc/passwd")
    assert (workspace / "read-only").stat().st_mode & 0o777 == 0o555
    assert ending.progress["completed"] == ending.progress["total"] > 0


def test_a_killed_restoration_is_completed_by_the_next(copied: tuple[Mover, str]) -> None:
    mover, snapshot = copied
    workspace = mover.places.workspace
    half = workspace / ".notebookd-restore.partial" / "half"
    half.mkdir(parents=True)
    half.chmod(0o555)
    assert mover.run("restore", repository=HERE, snapshot=snapshot).ok
    assert not list(workspace.glob(".notebookd*"))
    assert not list(workspace.rglob("half"))

    # ... and one that was killed while it moved things into place
    (workspace / ".notebookd-restore.whole").mkdir()
    (workspace / "folder").rename(workspace / ".notebookd-restore.whole" / "folder")
    assert mover.run("restore", repository=HERE, snapshot=snapshot).ok
    assert (workspace / "folder/below/run.sh").exists()
    assert not list(workspace.glob(".notebookd*"))


def test_only_the_latest_are_kept_and_an_empty_workspace_is_one_too(copied: tuple[Mover, str]) -> None:
    mover, first = copied
    second = mover.run("snapshot", repository=HERE, keep=2, notebook="n1").facts
    third = mover.run("snapshot", repository=HERE, keep=2, notebook="n1").facts
    assert str(second["kept"]).split() == [first, second["snapshot"]]
    assert str(third["kept"]).split() == [second["snapshot"], third["snapshot"]]
    assert third["files"] == 0
    assert mover.run("restore", repository=HERE, snapshot=first).code == "DATASYNC_SOURCE_NOT_FOUND"


def test_a_key_that_a_killed_init_left_is_not_the_next_ones(tmp_path: Path) -> None:
    mover = make_mover(tmp_path)
    (mover.places.repository / "config").unlink()
    assert mover.run("snapshot", repository=HERE, keep=7, notebook="n1").ok


@pytest.mark.long
def test_nor_is_it_at_a_remote(tmp_path: Path) -> None:
    mover, there = make_remote(tmp_path)
    (tmp_path / "store/notebooks/n1/config").unlink()
    assert mover.run("snapshot", repository=there, keep=7, notebook="n1").ok


def test_a_snapshot_killed_in_the_middle_leaves_a_repository_that_goes_on(copied: tuple[Mover, str]) -> None:
    mover, first = copied
    with mover.begin("snapshot", repository=HERE, keep=7, notebook="n1") as process:
        while not list(mover.places.repository.glob("locks/*")):
            assert process.poll() is None
        kill_tree(process.pid)
    assert list(mover.places.repository.glob("locks/*"))

    ending = mover.run("snapshot", repository=HERE, keep=1, notebook="n1")

    assert ending.ok, ending
    assert ending.facts["kept"] == ending.facts["snapshot"] != first
    assert not list(mover.places.repository.glob("locks/*"))


def test_a_damaged_repository_is_called_so(copied: tuple[Mover, str]) -> None:
    mover, _ = copied
    assert "no errors were found" in str(mover.run("check", repository=HERE).facts["said"])
    for pack in mover.places.repository.glob("data/*/*"):
        pack.chmod(0o600)
        pack.write_bytes(bytes(pack.stat().st_size))

    checked = mover.run("check", repository=HERE)
    assert (checked.ok, checked.code) == (False, "DATASYNC_DAMAGED")


def test_a_repository_without_its_configuration_is_not_made_anew(copied: tuple[Mover, str]) -> None:
    mover, _ = copied
    (mover.places.repository / "config").unlink()
    ending = mover.run("snapshot", repository=HERE, keep=7, notebook="n1")
    assert (ending.ok, ending.code) == (False, "DATASYNC_DAMAGED")
    assert list(mover.places.repository.glob("snapshots/*"))


def test_another_password_and_a_missing_repository_are_told_apart(copied: tuple[Mover, str], tmp_path: Path) -> None:
    mover, snapshot = copied
    (mover.places.secrets / "restic-password").write_text("another")
    assert mover.run("check", repository=HERE).code == "DATASYNC_ACCESS_DENIED"
    missing = make_mover(tmp_path / "none")
    shutil.rmtree(missing.places.repository)
    missing.places.repository.mkdir()
    assert missing.run("restore", repository=HERE, snapshot=snapshot).code == "DATASYNC_SOURCE_NOT_FOUND"
    assert missing.run("restore", repository=HERE, snapshot="--help").code == "DATASYNC_SOURCE_NOT_FOUND"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of two megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(folder)], check=False).returncode:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_called_so_and_costs_no_snapshot(copied: tuple[Mover, str], small_disk: Path) -> None:
    mover, snapshot = copied
    shutil.copytree(mover.places.repository, small_disk / "repository")
    on_disk = Mover(small_disk)
    shutil.copytree(mover.places.secrets, on_disk.places.secrets, dirs_exist_ok=True)
    big = mover.places.workspace / "big"
    big.write_bytes(os.urandom(4 * 2**20))
    packed = mover.with_places(repository=on_disk.places.repository)
    assert packed.run("snapshot", repository=HERE, keep=1, notebook="n1").code == "DATASYNC_DISK_FULL"

    assert packed.run("restore", repository=HERE, snapshot=snapshot).ok  # what was there is still there

    taken = mover.run("snapshot", repository=HERE, keep=1, notebook="n1")
    filled = mover.with_places(workspace=on_disk.places.workspace)
    refused = filled.run("restore", repository=HERE, snapshot=taken.facts["snapshot"])
    assert refused.code == "DATASYNC_DISK_FULL"
    assert not list(on_disk.places.workspace.iterdir())


def make_remote(tmp_path: Path) -> tuple[Mover, str]:
    """A mover, and its empty repository behind rclone."""
    mover = make_mover(tmp_path)
    (tmp_path / "store/notebooks").mkdir(parents=True)
    mover.places.repository.rename(tmp_path / "store/notebooks/n1")
    mover.places.repository.mkdir()
    (mover.places.secrets / "rclone.conf").write_text("[far]\ntype = local\n")
    return mover, f"rclone:far:{tmp_path}/store/notebooks/n1"


def test_a_repository_behind_rclone_is_used_and_purged(tmp_path: Path) -> None:
    mover, there = make_remote(tmp_path)
    (mover.places.workspace / "file").write_text("content")
    snapshot = mover.run("snapshot", repository=there, keep=7, notebook="n1")
    assert snapshot.ok, snapshot
    (mover.places.workspace / "file").unlink()
    assert mover.run("restore", repository=there, snapshot=snapshot.facts["snapshot"]).ok
    assert (mover.places.workspace / "file").read_text() == "content"

    folder = there.removeprefix("rclone:far:")
    Path(folder).with_name("n2").mkdir()
    for _ in range(2):  # once more is as good as once
        assert mover.run("purge", remote="far", path=folder).ok
    assert [each.name for each in Path(folder).parent.iterdir()] == ["n2"]
    for path in ("", "/", f"{folder}/..", "a//b"):
        assert mover.run("purge", remote="far", path=path).code == "DATASYNC_INVALID_SOURCE"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (
            'rclone: Failed to create file system for "far:n1": dial tcp 192.0.2.1:1: connect: connection refused',
            "UNREACHABLE",
        ),
        ('rclone: Failed to create file system for "far:n1": didn\'t find section in config file', "INVALID_SOURCE"),
        ("unable to open config file: <config/> returned HTTP 403 Forbidden", "ACCESS_DENIED"),
        ("Save(<data/8259b13edf>) returned error: 507 Insufficient Storage", "REMOTE_FULL"),
        ("panic: runtime error: slice bounds out of range [16:2]", "DAMAGED"),
        ("tree ff9bed96 not found in repository", "DAMAGED"),
        ("unable to open repository at rclone:far:n1: error talking HTTP to rclone: context canceled", "UNREACHABLE"),
        ("something else", "ERROR"),
    ],
)
def test_what_restic_says_is_understood(line: str, code: str) -> None:
    said = [line, "Is there a repository at the following location?", "rclone:far:n1"]
    fault = fault_of(said, status=1, is_remote=True, what="use")
    assert fault.code == f"DATASYNC_{code}"
    assert not isinstance(fault, RepositoryMissing)


@pytest.mark.long
def test_a_store_that_is_away_is_no_missing_repository(tmp_path: Path) -> None:
    mover = make_mover(tmp_path)
    (mover.places.secrets / "rclone.conf").write_text("[far]\ntype = webdav\nurl = http://127.0.0.1:1/\n")
    ending = mover.run("check", repository="rclone:far:notebooks/n1")
    assert (ending.ok, ending.code) == (False, "DATASYNC_UNREACHABLE")


@pytest.mark.long
def test_an_unchanged_gibibyte_costs_nearly_nothing_the_second_time(tmp_path: Path) -> None:
    mover = make_mover(tmp_path)
    for number in range(16):
        (mover.places.workspace / f"part-{number}").write_bytes(os.urandom(64 * 2**20))

    def cost() -> int:
        assert mover.run("snapshot", repository=HERE, keep=7, notebook="n1").ok
        return sum(each.stat().st_blocks * 512 for each in mover.places.repository.rglob("*"))

    first = cost()
    assert first > 2**30
    assert cost() - first < first / 100
