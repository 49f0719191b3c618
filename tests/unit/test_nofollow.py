# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import socket
import stat
from contextlib import closing
from pathlib import Path

import pytest

from notebookd import nofollow


def _listen(path: Path) -> socket.socket:
    """A listening socket at a path that may be longer than sun_path allows."""
    listener = socket.socket(socket.AF_UNIX)
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        listener.bind(f"/proc/self/fd/{fd}/{path.name}")
    finally:
        os.close(fd)
    listener.listen()
    return listener


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_socket_is_reached_through_the_pinned_descriptor(tmp_path: Path) -> None:
    (tmp_path / "id").mkdir()
    before = _open_descriptors()
    with (
        closing(_listen(tmp_path / "id" / "editor.sock")) as listener,
        nofollow.open_socket(tmp_path, "id", "editor.sock") as fd,
        closing(socket.socket(socket.AF_UNIX)) as client,
    ):
        (tmp_path / "id" / "editor.sock").unlink()  # swapped after the check: the pinned one is still meant
        client.connect(nofollow.socket_path(fd))
        peer, _ = listener.accept()
        peer.close()
    assert _open_descriptors() == before


def test_socket_path_may_be_longer_than_108_bytes(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    deep.mkdir(parents=True)
    with closing(_listen(deep / "editor.sock")) as listener, closing(socket.socket(socket.AF_UNIX)) as client:
        with nofollow.open_socket(deep, "editor.sock") as fd:
            client.connect(nofollow.socket_path(fd))
        listener.accept()[0].close()


@pytest.mark.parametrize("kind", ["link-to-socket", "file", "fifo", "directory", "dangling-link"])
def test_what_is_no_socket_is_refused(tmp_path: Path, kind: str) -> None:
    name = tmp_path / "editor.sock"
    with closing(_listen(tmp_path / "other.sock")):
        match kind:
            case "link-to-socket":
                name.symlink_to(tmp_path / "other.sock")
            case "file":
                name.write_text("")
            case "fifo":
                os.mkfifo(name)
            case "directory":
                name.mkdir()
            case _:
                name.symlink_to("nowhere")
        before = _open_descriptors()
        with pytest.raises(nofollow.UnexpectedKind), nofollow.open_socket(tmp_path, "editor.sock"):
            pass
        assert _open_descriptors() == before


def test_folder_replaced_by_a_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "id").symlink_to("real")
    with (
        closing(_listen(tmp_path / "real" / "editor.sock")),
        pytest.raises(nofollow.UnexpectedKind),
        nofollow.open_socket(tmp_path, "id", "editor.sock"),
    ):
        pass
    with pytest.raises(nofollow.UnexpectedKind), nofollow.open_directory(tmp_path, "id"):
        pass
    with pytest.raises(nofollow.UnexpectedKind), nofollow.open_directory(tmp_path / "id"):
        pass


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "a\0b"])
def test_only_single_names_are_taken(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="single path component"), nofollow.open_directory(tmp_path, name):
        pass
    with nofollow.open_directory(tmp_path) as fd:
        for call in (nofollow.read_file, nofollow.create_file, nofollow.remove_file):
            with pytest.raises(ValueError, match="single path component"):
                call(fd, name)


def test_a_callers_descriptor_stays_open(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with nofollow.open_directory(tmp_path) as fd:
        with nofollow.open_directory(fd, "a") as below:
            assert os.fstat(below).st_ino == (tmp_path / "a").stat().st_ino
        with nofollow.open_directory(fd) as again:
            assert os.fstat(again).st_ino == os.fstat(fd).st_ino


def test_file_is_created_once_and_read_back(tmp_path: Path) -> None:
    with nofollow.open_directory(tmp_path) as fd:
        nofollow.create_file(fd, "marker", b"one", mode=0o600)
        assert nofollow.read_file(fd, "marker") == b"one"
        assert nofollow.read_file(fd, "marker", limit=2) == b"on"
        with pytest.raises(FileExistsError):
            nofollow.create_file(fd, "marker", b"two")
        assert stat.S_IMODE((tmp_path / "marker").stat().st_mode) == 0o600
        assert nofollow.remove_file(fd, "marker")
        assert not nofollow.remove_file(fd, "marker")
        with pytest.raises(FileNotFoundError):
            nofollow.read_file(fd, "marker")


def test_reading_does_not_follow_or_block(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    (tmp_path / "link").symlink_to("secret")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "fifo")
    with closing(_listen(tmp_path / "socket")), nofollow.open_directory(tmp_path) as fd:
        for name in ("link", "folder", "fifo", "socket"):
            with pytest.raises(nofollow.UnexpectedKind):
                nofollow.read_file(fd, name)


def test_writing_replaces_a_link_and_not_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("untouched")
    (tmp_path / "link").symlink_to("target")
    os.mkfifo(tmp_path / "fifo")
    with nofollow.open_directory(tmp_path) as fd:
        with pytest.raises(FileExistsError):
            nofollow.create_file(fd, "link", b"x")
        nofollow.replace_file(fd, "link", b"x")
        nofollow.replace_file(fd, "fifo", b"y")
    assert (tmp_path / "target").read_text() == "untouched"
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "fifo").read_bytes() == b"y"


def test_failed_replacement_leaves_no_draft(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with nofollow.open_directory(tmp_path) as fd, pytest.raises(OSError, match="directory"):
        nofollow.replace_file(fd, "folder", b"x")
    assert [entry.name for entry in tmp_path.iterdir()] == ["folder"]


def test_identity_is_that_of_the_thing_itself_whatever_may_be_read(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    folder.mkdir(parents=True)
    (tmp_path / "a").chmod(0o100)
    (tmp_path / "link").symlink_to("a")
    seen = folder.stat()
    assert nofollow.identity_of(tmp_path, "a", "b") == nofollow.identity_of(folder) == (seen.st_dev, seen.st_ino)
    assert nofollow.identity_of(tmp_path, "link") != nofollow.identity_of(tmp_path, "a")
    with pytest.raises(nofollow.UnexpectedKind):
        nofollow.identity_of(tmp_path, "link", "b")


def test_tree_of_any_making_is_removed_and_nothing_else(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("stays")
    doomed = tmp_path / "doomed"
    (doomed / "shut" / "inner").mkdir(parents=True)
    (doomed / "to kept").symlink_to(kept)
    (doomed / "shut" / "inner" / "up").symlink_to("../../..")
    os.mkfifo(doomed / "fifo")
    (doomed / os.fsdecode(b"\xff\n")).write_text("odd")
    (doomed / "shut" / "inner").chmod(0)
    (doomed / "shut").chmod(0)
    assert nofollow.remove_tree(tmp_path, "doomed")
    assert not doomed.exists()
    assert (kept / "file").read_text() == "stays"
    assert not nofollow.remove_tree(tmp_path, "doomed")


def test_tree_deeper_than_any_stack_is_removed(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(1500):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    before = _open_descriptors()
    assert nofollow.remove_tree(tmp_path, "d")
    assert list(tmp_path.iterdir()) == []
    assert _open_descriptors() == before


def test_link_in_place_of_a_tree_is_removed_itself(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "link").symlink_to("kept")
    assert nofollow.remove_tree(tmp_path, "link")
    assert [each.name for each in tmp_path.iterdir()] == ["kept"]
