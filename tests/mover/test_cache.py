# SPDX-License-Identifier: Apache-2.0
"""Shared read-only copies, by version."""

from __future__ import annotations

from pathlib import Path

from tests.mover.lab import Lab, files_of


def version_folder(lab: Lab, said: dict) -> Path:  # type: ignore[type-arg]
    return lab.volume / "versions" / said["facts"]["version"]


def test_a_version_is_brought_in_once(lab: Lab) -> None:
    lab.put({"a": "1", "d/b": "22"})
    first = lab.pull(cache=True)
    assert first["facts"] == {"version": first["facts"]["version"], "bytes": 3, "files": 2}
    assert files_of(version_folder(lab, first)) == {"a": b"1", "d/b": b"22"}
    second = lab.pull(cache=True)
    assert second["facts"] == first["facts"]
    assert second["progress"]["transferredBytes"] == 0


def test_another_version_shares_what_did_not_change(lab: Lab) -> None:
    lab.put({"a": "1", "d/b": "22", "gone": "x"})
    first = version_folder(lab, lab.pull(cache=True))
    lab.put({"a": "changed"})
    lab.take_away("gone")
    said = lab.pull(cache=True)
    second = version_folder(lab, said)
    assert files_of(first) == {"a": b"1", "d/b": b"22", "gone": b"x"}, "whoever uses it keeps it as it was"
    assert files_of(second) == {"a": b"changed", "d/b": b"22"}
    assert (first / "d/b").stat().st_ino == (second / "d/b").stat().st_ino
    assert said["progress"]["transferredBytes"] == len("changed")


def test_a_version_that_was_collected_comes_back(lab: Lab) -> None:
    lab.put({"a": "1"})
    folder = version_folder(lab, lab.pull(cache=True))
    (folder / "a").unlink()
    folder.rmdir()
    assert files_of(version_folder(lab, lab.pull(cache=True))) == {"a": b"1"}


def test_nothing_is_a_version_too(lab: Lab) -> None:
    assert version_folder(lab, lab.pull(cache=True)).is_dir()
