# SPDX-License-Identifier: Apache-2.0
"""The real program, the real rclone, a real S3 and a folder: SIGKILL for both at any moment of a pull and of a push."""

from __future__ import annotations

import random
import time

import pytest

from tests.mover.conftest import MakeLab
from tests.mover.lab import MARK, Lab, kill_session

FILES = 30
SIZE = 60_000


def content(name: str, version: int) -> bytes:
    return f"{name} {version} ".encode() * (SIZE // 20)


def names() -> list[str]:
    return [f"d{number % 3}/f {number}" for number in range(FILES)]


def kill_some_time(lab: Lab, chance: random.Random, task: str, **fields: str) -> bool:
    """Whether it was killed before it was done."""
    running = lab.start(task, **fields)
    time.sleep(chance.uniform(0.02, 1.2))
    done = running.poll() is not None
    kill_session(running)
    return not done


def killed_transfers(lab: Lab, seed: int) -> None:
    chance = random.Random(seed)
    lab.put({name: content(name, 0) for name in names()})
    whole = {(name, content(name, version)) for name in names() for version in range(3)}
    for _ in range(3):
        kill_some_time(lab, chance, "pull")
        assert set(lab.local_files().items()) <= whole, "half a file came in"
    assert lab.pull()["ok"]
    assert lab.local_files() == {name: content(name, 0) for name in names()}
    assert not lab.push("RWD")["progress"]["completed"], "what came in is not taken for edits"

    changed, gone, theirs = names()[:10], names()[10:15], names()[15:17]
    for name in changed:
        lab.edit(name, content(name, 1))
    for name in gone:
        (lab.data / name).unlink()
    lab.put({name: content(name, 2) for name in theirs})
    for _ in range(3):
        kill_some_time(lab, chance, "push", permission="RWD", notebook="n")
        there = {name: text for name, text in lab.remote_files().items() if not name.startswith(".notebookd-")}
        assert set(there.items()) <= whole, "half a file is there"
        assert set(names()) - set(there) <= set(gone), "something else was deleted"
    said = lab.push("RWD")
    assert said["ok"], said
    expected = {name: content(name, 1 if name in changed else 0) for name in names() if name not in gone}
    expected |= {name: content(name, 2) for name in theirs}
    assert lab.remote_files() == expected
    assert not any(MARK in name for name in expected)
    assert lab.pull()["ok"]
    assert lab.local_files() == expected


def test_six_kills_at_any_moment(lab: Lab) -> None:
    killed_transfers(lab, 1)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("remote", ["s3", "disk", "dav", "sftp"])
def test_thirty_kills_at_any_moment(make_lab: MakeLab, remote: str) -> None:
    for seed in range(100, 105):
        killed_transfers(make_lab(remote, names=f"volume{seed}"), seed)


@pytest.mark.long
@pytest.mark.timeout(600)
def test_ten_thousand_small_files(lab: Lab) -> None:
    lab.pull()
    for number in range(10_000):
        lab.edit(f"d{number % 100}/f{number}", f"{number}" * 800)
    assert lab.push()["progress"]["completed"] == 10_000
    other = lab.another()
    assert other.pull()["facts"]["files"] == 10_000
    assert other.local_files() == lab.local_files()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_sparse_file_of_four_gigabytes(disk_lab: Lab) -> None:
    size = 4 * 1024**3 + 5
    disk_lab.pull()
    with (disk_lab.data / "huge").open("wb") as file:
        file.truncate(size)
        file.seek(size - 5)
        file.write(b"end.\n")
    assert disk_lab.push()["ok"]
    other = disk_lab.another()
    assert other.pull()["facts"]["bytes"] == size
    with (other.data / "huge").open("rb") as file:
        file.seek(size - 5)
        assert file.read() == b"end.\n"
