# SPDX-License-Identifier: Apache-2.0
"""Remotes that never come to an end are given up with the reason, and fill neither disk nor memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.mover.endless_dav import Endless, endless
from tests.mover.lab import Folder, Lab

MANY = 1_000_000
MOST_ON_DISK = 80 * 1024**2
"""Twice the ten bytes that the server speaks of, 64 MiB, and what is in the pipes."""


@contextmanager
def at(kind: Endless, folder: Path) -> Iterator[Lab]:
    with endless(kind) as port:
        config = f"[dav]\ntype = webdav\nurl = http://127.0.0.1:{port}\nvendor = other\n"
        yield Lab(folder, config, "dav", "box", Folder(folder / "nowhere"))


def refused(said: dict[str, Any], code: str) -> str:
    assert (said["ok"], said["code"]) == (False, f"DATASYNC_{code}"), said
    return str(said["message"])


@pytest.mark.parametrize("cache", [False, True])
def test_a_folder_that_is_in_itself_is_given_up(tmp_path: Path, *, cache: bool) -> None:
    with at(Endless.DEPTH, tmp_path) as lab:
        message = refused(lab.pull(max_files=MANY, cache=cache), "TOO_LARGE")
    assert message.startswith(
        "the folders at the remote go more than 256 deep: does one lead back into itself? 'again/"
    )
    assert len(message) < 200


def test_a_folder_that_came_to_be_in_itself_keeps_no_push(tmp_path: Path) -> None:
    with at(Endless.DEPTH, tmp_path) as lab:
        lab.data.mkdir()
        (lab.volume / "manifest.json").write_text('{"format": 1, "files": {}}')
        refused(lab.push(max_files=MANY), "TOO_LARGE")


def test_more_files_than_may_be_are_given_up(tmp_path: Path) -> None:
    with at(Endless.WIDTH, tmp_path) as lab:
        message = refused(lab.pull(max_files=50_000), "TOO_LARGE")
    assert message == (
        "there are more than 50,000 files at the remote: name a folder with less in it, "
        "or have an admin raise max_files of [transfers]"
    )
    assert lab.local_files() == {}


def test_a_file_that_is_sent_without_an_end_does_not_fill_the_disk(tmp_path: Path) -> None:
    largest, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.is_set():
            sizes = [each.stat().st_blocks * 512 for each in (tmp_path / "volume").rglob("x.txt*") if each.is_file()]
            largest.append(sum(sizes))
            time.sleep(0.005)

    watcher = threading.Thread(target=watch)
    with at(Endless.BODY, tmp_path) as lab:
        watcher.start()
        try:
            message = refused(lab.pull(), "CHANGED")
        finally:
            stop.set()
            watcher.join()
    assert "x.txt" in message
    assert 0 < max(largest) < MOST_ON_DISK
    assert lab.local_files() == {}
    assert list((lab.volume / "staging").iterdir()) == []
