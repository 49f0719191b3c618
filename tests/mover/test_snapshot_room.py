# SPDX-License-Identifier: Apache-2.0
"""What a snapshot takes and leaves out by its room: files that are mostly holes, and caches."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from tests.mover.program import Mover
from tests.mover.test_snapshots import HERE, make_mover

TAG = "Signature: 8a477f597d28d172789f06886806bc55\n# made by a test\n"
MIB = 1024 * 1024


@pytest.fixture
def mover(tmp_path: Path) -> Mover:
    return make_mover(tmp_path / "first")


def sparse(path: Path, size: int, *, data: bytes = b"") -> None:
    with path.open("wb") as file:
        file.write(data)
        file.truncate(size)


def blocks_below(folder: Path) -> int:
    there = [folder, *folder.rglob("*")]
    return sum(each.lstat().st_blocks for each in there) * 512


def restored(mover: Mover, snapshot: object, root: Path) -> Path:
    fork = make_mover(root).with_places(repository=mover.places.repository)
    assert fork.run("restore", repository=HERE, snapshot=snapshot).ok
    return fork.places.workspace


def test_a_file_of_two_tebibytes_of_holes_is_left_out_and_named(mover: Mover, tmp_path: Path) -> None:
    workspace = mover.places.workspace
    for name in ("big [1]*.bin", "a\nb $HOME ", os.fsdecode(b"latin\xff")):
        sparse(workspace / name, 2 << 40, data=b"beginning")
    (workspace / "big 1.bin").write_text("small")
    (workspace / "a b xHOME ").write_text("small")

    began = time.monotonic()
    ending = mover.run("snapshot", repository=HERE, keep=2, notebook="n1")

    assert time.monotonic() - began < 30
    assert ending.ok, ending
    assert "3 files are mostly holes (6.0 TiB) and are not in it" in ending.message
    assert "big [1]*.bin" in ending.message
    fork = restored(mover, ending.facts["snapshot"], tmp_path / "fork")
    assert {each.name for each in fork.iterdir()} == {"big 1.bin", "a b xHOME "}


def test_smaller_holes_are_in_it_and_are_holes_again_in_a_fork(mover: Mover, tmp_path: Path) -> None:
    workspace = mover.places.workspace
    sparse(workspace / "map.db", 300 * MIB, data=b"x" * 5000)
    (workspace / "map.db").chmod(0o444)
    os.utime(workspace / "map.db", ns=(1_600_000_000_123_456_789, 1_600_000_000_123_456_789))

    ending = mover.run("snapshot", repository=HERE, keep=2, notebook="n1")

    assert ending.ok, ending
    assert ending.message == ""
    assert ending.facts["bytes"] == ending.facts["used"] == blocks_below(workspace) < MIB
    fork = restored(mover, ending.facts["snapshot"], tmp_path / "fork")
    status = (fork / "map.db").stat()
    assert status.st_size == 300 * MIB
    assert status.st_mode & 0o777 == 0o444
    assert status.st_mtime_ns == 1_600_000_000_123_456_789
    assert (fork / "map.db").read_bytes()[:5001] == b"x" * 5000 + b"\0"
    assert blocks_below(fork) < 2 * MIB


def test_a_snapshot_and_a_look_measure_alike(mover: Mover) -> None:
    workspace = mover.places.workspace
    (workspace / "folder").mkdir()
    for number in range(50):
        (workspace / f"folder/{number}").write_text("x")
    os.link(workspace / "folder/1", workspace / "again")
    sparse(workspace / "map.db", 300 * MIB, data=b"x" * 5000)

    taken = mover.run("snapshot", repository=HERE, keep=2, notebook="n1")
    seen = mover.run("measure")

    assert taken.facts["used"] == seen.facts["bytes"] == blocks_below(workspace) - 8 * 512


@pytest.fixture
def with_cache(mover: Mover) -> Mover:
    cache = mover.places.workspace / ".cache/wheels"
    cache.mkdir(parents=True)
    (cache / "CACHEDIR.TAG").write_text(TAG)
    (cache / "wheel").write_bytes(os.urandom(3 * MIB))
    (mover.places.workspace / "kept").mkdir()
    (mover.places.workspace / "kept/CACHEDIR.TAG").write_text("no such signature")
    (mover.places.workspace / "kept/file").write_bytes(os.urandom(MIB))
    return mover


def test_caches_are_left_out_but_for_their_tag(with_cache: Mover, tmp_path: Path) -> None:
    ending = with_cache.run("snapshot", repository=HERE, keep=2, notebook="n1", exclude_caches=True)

    assert ending.ok, ending
    assert MIB < int(ending.facts["bytes"]) < 2 * MIB
    assert 4 * MIB < int(ending.facts["used"]) == blocks_below(with_cache.places.workspace)
    assert ending.facts["added"] < 2 * MIB
    fork = restored(with_cache, ending.facts["snapshot"], tmp_path / "fork")
    assert {each.name for each in (fork / ".cache/wheels").iterdir()} == {"CACHEDIR.TAG"}
    assert {each.name for each in (fork / "kept").iterdir()} == {"CACHEDIR.TAG", "file"}


def test_caches_are_kept_where_the_key_says_so(with_cache: Mover, tmp_path: Path) -> None:
    ending = with_cache.run("snapshot", repository=HERE, keep=2, notebook="n1", exclude_caches=False)

    assert ending.facts["bytes"] == ending.facts["used"]
    fork = restored(with_cache, ending.facts["snapshot"], tmp_path / "fork")
    assert (fork / ".cache/wheels/wheel").stat().st_size == 3 * MIB


def test_a_tag_on_the_workspace_itself_does_not_empty_the_snapshot(with_cache: Mover, tmp_path: Path) -> None:
    (with_cache.places.workspace / "CACHEDIR.TAG").write_text(TAG)
    ending = with_cache.run("snapshot", repository=HERE, keep=2, notebook="n1", exclude_caches=True)
    fork = restored(with_cache, ending.facts["snapshot"], tmp_path / "fork")
    assert (fork / "kept/file").stat().st_size == MIB
