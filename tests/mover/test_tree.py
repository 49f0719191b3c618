# SPDX-License-Identifier: Apache-2.0
"""Names, and trees that somebody else may be rewriting."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebookd.mover.names import conflict_name, is_temporary, local_name, remote_name
from notebookd.mover.tree import DEEPEST, Tree

odd = st.text(
    st.one_of(st.sampled_from("\x01\n\x1f\x7f\u201b␊␡␀\uff0f\uff0e. ab"), st.characters(codec="utf-8")), min_size=1
)


@given(odd.filter(lambda name: "/" not in name and "\0" not in name and name not in {".", ".."}))
def test_a_name_comes_back_as_it_was_or_has_none(name: str) -> None:
    there = remote_name(name)
    if there is not None and len(name.encode()) <= 255:
        assert local_name(there) == name
        assert "\n" not in there


@pytest.mark.parametrize("name", ["../x", "a//b", "/etc/passwd", "", ".", "a/..", "x" * 256, "a/" + "ü" * 128])
def test_a_name_that_is_no_place_below_is_none(name: str) -> None:
    assert local_name(name) is None


def test_surrogates_have_no_name_at_a_remote() -> None:
    assert remote_name(os.fsdecode(b"bad\xff")) is None


def test_the_temporary_folder_is_known_anywhere() -> None:
    assert is_temporary(".notebookd-0123abcd.part/x")
    assert is_temporary("a/.notebookd-0123abcd.part")
    assert not is_temporary("notebookd-0123abcd.part")
    assert not is_temporary(".notebookd-notes")


def test_a_conflict_keeps_folder_and_suffix() -> None:
    assert conflict_name("d/a.tar.gz", "12345678-t") == "d/a.tar.conflict-12345678-t.gz"
    assert conflict_name(".bashrc", "m") == ".bashrc.conflict-m"


def test_a_walk_sees_files_and_follows_nothing(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("f")
    (tmp_path / "link").symlink_to("/etc")
    (tmp_path / "d" / "loop").symlink_to(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with Tree(tmp_path) as tree:
        walk = tree.walk()
    assert walk.files.keys() == {"d/f"}
    assert walk.others == {"link", "d/loop", "fifo"}
    assert walk.hides("link/passwd")
    assert not walk.hides("d/g")


def test_what_lies_too_deep_is_not_looked_at_and_not_taken_for_gone(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(DEEPEST + 50):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    with Tree(tmp_path) as tree:
        walk = tree.walk()
        assert walk.files == {}
        assert walk.hides("d/" * (DEEPEST + 50) + "file")
        tree.clear()
    assert list(tmp_path.iterdir()) == []


def test_a_link_is_never_linked_out_or_taken_in_through(tmp_path: Path) -> None:
    for name in ("data", "private", "secret"):
        (tmp_path / name).mkdir()
    (tmp_path / "secret" / "key").write_text("key")
    (tmp_path / "private" / "d").mkdir()
    (tmp_path / "private" / "d" / "new").write_text("new")
    (tmp_path / "data" / "key").symlink_to(tmp_path / "secret" / "key")
    (tmp_path / "data" / "d").symlink_to(tmp_path / "secret")
    with Tree(tmp_path / "data") as data, Tree(tmp_path / "private") as private:
        for name in ("key", "d/key"):
            with pytest.raises(OSError):
                data.link_out(name, private, "out")
            assert data.look(name) is None
            with pytest.raises(OSError):
                data.digest(name, "md5")
        with pytest.raises(OSError):
            data.take_in(private, "d/new", None)
    assert [each.name for each in (tmp_path / "secret").iterdir()] == ["key"]


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    for name in ("data", "private"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name)
    with Tree(tmp_path / "data") as data, Tree(tmp_path / "private") as private:
        with pytest.raises(FileExistsError):
            data.take_in(private, "f", None)
        old = data.look("f")
        (tmp_path / "data" / "f").write_text("edited")
        with pytest.raises(FileExistsError):
            data.take_in(private, "f", old)
        data.take_in(private, "f", data.look("f"))
    assert (tmp_path / "data" / "f").read_text() == "private"


def test_clearing_takes_folders_without_rights_and_spares_what_links_point_at(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "f").write_text("f")
    ground = tmp_path / "ground"
    (ground / "locked" / "in").mkdir(parents=True)
    (ground / "locked" / "in" / "f").write_text("x")
    (ground / "link").symlink_to(kept)
    (ground / "locked").chmod(0o000)
    with Tree(ground) as tree:
        tree.clear()
    assert list(ground.iterdir()) == []
    assert (kept / "f").read_text() == "f"
