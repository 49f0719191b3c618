# SPDX-License-Identifier: Apache-2.0
"""Files out of and into a workspace as a tar stream, with either end hostile."""

from __future__ import annotations

import io
import json
import os
import socket
import stat
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from notebookd.mover.tree import DEEPEST
from tests.mover.program import Ending, Mover

Fill = Callable[[tarfile.TarFile], None]


@pytest.fixture
def mover(tmp_path: Path) -> Mover:
    return Mover(tmp_path)


def connect(mover: Mover) -> socket.socket:
    """The daemon's end of the stream, once there is one."""
    peer = socket.socket(socket.AF_UNIX)
    here = os.open(mover.places.job, os.O_PATH)
    try:
        for _ in range(10_000):
            try:
                peer.connect(f"/proc/self/fd/{here}/stream.sock")
            except FileNotFoundError:
                threading.Event().wait(0.001)
            else:
                return peer
    finally:
        os.close(here)
    raise AssertionError("there is no stream")


def read(mover: Mover, path: str) -> tuple[bytes, Ending]:
    """What is sent of ``path``, and how it ended."""
    working = threading.Thread(target=mover.run, args=("archive-read",), kwargs={"path": path})
    working.start()
    with connect(mover) as peer, peer.makefile("rb") as stream:
        sent = stream.read()
    working.join()
    return sent, mover.ending()


def open_tar(content: bytes) -> tarfile.TarFile:
    return tarfile.TarFile(fileobj=io.BytesIO(content), errors="surrogateescape")


def read_tar(mover: Mover, path: str) -> tuple[dict[str, tarfile.TarInfo], tarfile.TarFile]:
    """The entries of what is sent."""
    sent, ending = read(mover, path)
    assert sent[:1] == b"\0", ending
    tar = open_tar(sent[1:])
    return {each.name: each for each in tar}, tar


def write(mover: Mover, path: str, tar: bytes, **fields: object) -> dict[str, object]:
    """What is answered to a tar, which must be what the result says, too."""
    working = threading.Thread(target=mover.run, args=("archive-write",), kwargs={"path": path, **fields})
    working.start()
    with connect(mover) as peer:
        try:
            peer.sendall(tar)
            peer.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        with peer.makefile("rb") as stream:
            answer: dict[str, object] = json.loads(stream.read())
    working.join()
    assert mover.ending().ok == answer["ok"]
    assert mover.ending().code == answer["code"]
    return answer


def tar_of(*entries: tarfile.TarInfo | tuple[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """A tar of files (name and content) and of whatever else."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form, errors="surrogateescape") as tar:
        for each in entries:
            if isinstance(each, tarfile.TarInfo):
                tar.addfile(each)
            else:
                info = tarfile.TarInfo(each[0])
                info.size = len(each[1])
                tar.addfile(info, io.BytesIO(each[1]))
    return stream.getvalue()


def entry(name: str, kind: bytes, linkname: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, linkname, mode
    return info


def tree(folder: Path) -> set[str]:
    return {str(each.relative_to(folder)) for each in folder.rglob("*")}


def test_a_folder_is_sent_below_its_own_name_with_links_as_links(mover: Mover) -> None:
    folder = mover.places.workspace / "deep/folder"
    (folder / "empty").mkdir(parents=True)
    (folder / "file").write_text("content")
    (folder / "file").chmod(0o4750)
    os.link(folder / "file", folder / "second name")
    (folder / "link").symlink_to("/etc/passwd")
    os.mkfifo(folder / "fifo")
    odd = os.fsdecode(b"new\nline \xff -x")
    (folder / odd).touch()

    entries, tar = read_tar(mover, "deep/folder")

    names = {"folder", "folder/empty", "folder/file", "folder/second name", "folder/link", f"folder/{odd}"}
    assert set(entries) == names
    assert entries["folder/link"].linkname == "/etc/passwd"
    assert entries["folder/second name"].islnk()
    assert entries["folder/file"].mode == 0o750
    content = tar.extractfile("folder/second name")
    assert content is not None
    assert content.read() == b"content"
    assert mover.ending().progress["skipped"] == 1


def test_one_file_one_link_and_all_of_the_workspace(mover: Mover) -> None:
    (mover.places.workspace / "file").write_text("content")
    (mover.places.workspace / "link").symlink_to("file")
    assert list(read_tar(mover, "file")[0]) == ["file"]
    assert read_tar(mover, "link")[0]["link"].issym()
    assert set(read_tar(mover, "")[0]) == {"workspace", "workspace/file", "workspace/link"}


@pytest.mark.parametrize("path", ["none", "link/below", "file/below", "../outside", "/etc", "a/../../b"])
def test_what_is_not_there_or_behind_a_link_is_refused_before_the_first_byte(mover: Mover, path: str) -> None:
    (mover.places.workspace.parent / "outside").mkdir()
    (mover.places.workspace.parent / "outside/below").write_text("secret")
    (mover.places.workspace / "link").symlink_to("../outside")
    (mover.places.workspace / "file").touch()
    sent, ending = read(mover, path)
    assert sent[:1] == b"\1"
    assert json.loads(sent[1:])["code"] == ending.code
    assert ending.code in {"DATASYNC_SOURCE_NOT_FOUND", "DATASYNC_INVALID_SOURCE"}
    assert not ending.ok


def test_all_of_a_volume_is_sent_by_the_name_of_where_it_is_mounted(mover: Mover) -> None:
    (mover.places.workspace / "file").touch()
    working = threading.Thread(target=mover.run, args=("archive-read",), kwargs={"path": "", "root": "/mnt/data"})
    working.start()
    with connect(mover) as peer, peer.makefile("rb") as stream:
        sent = stream.read()
    working.join()
    assert open_tar(sent[1:]).getnames() == ["data", "data/file"]


@pytest.mark.parametrize("change", [+(3 * 2**20), -(3 * 2**20)])
def test_a_file_that_changes_its_length_while_it_is_sent_spoils_no_other(mover: Mover, change: int) -> None:
    size = 4 * 2**20
    first, last = mover.places.workspace / "a", mover.places.workspace / "b"
    first.write_bytes(b"x" * size)
    last.write_text("whole")
    working = threading.Thread(target=mover.run, args=("archive-read",), kwargs={"path": ""})
    working.start()
    with connect(mover) as peer, peer.makefile("rb") as stream:
        begun = stream.read(2048)
        os.truncate(first, size + change)
        sent = begun + stream.read()
    working.join()
    tar = open_tar(sent[1:])
    assert tar.getmember("workspace/a").size == size
    content = tar.extractfile("workspace/b")
    assert content is not None
    assert content.read() == b"whole"
    assert mover.ending().progress["failed"] == (change < 0)


def test_whoever_goes_away_in_the_middle_ends_the_mover(mover: Mover) -> None:
    (mover.places.workspace / "a").write_bytes(bytes(4 * 2**20))
    working = threading.Thread(target=mover.run, args=("archive-read",), kwargs={"path": ""})
    working.start()
    with connect(mover) as peer:
        peer.recv(1)
    working.join(10)
    assert mover.ending().code == "DATASYNC_ERROR"


def test_what_was_sent_comes_in_again_as_it_was(mover: Mover, tmp_path: Path) -> None:
    folder = mover.places.workspace / "folder"
    (folder / "empty").mkdir(parents=True)
    (folder / "file").write_text("content")
    (folder / "file").chmod(0o750)
    os.utime(folder / "file", (1_000_000_000, 1_000_000_000))
    os.link(folder / "file", folder / "second name")
    (folder / "link").symlink_to("empty")
    odd = os.fsdecode(b"new\nline \xff -x")
    (folder / odd).touch()
    other = Mover(tmp_path / "other")

    answer = write(other, "made/on the way", read(mover, "folder")[0][1:])

    there = other.places.workspace / "made/on the way/folder"
    assert answer == {"ok": True, "files": 4, "code": "DATASYNC_DONE", "message": ""}
    assert tree(there) == tree(folder)
    assert (there / "file").stat().st_mode & 0o7777 == 0o750
    assert (there / "file").stat().st_mtime == 1_000_000_000
    assert (there / "file").samefile(there / "second name")
    assert write(other, "made/on the way", read(mover, "folder")[0][1:])["ok"]  # once more is as good as once
    assert tree(there) == tree(folder)


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a/../x"])
def test_an_entry_that_would_lead_out_ends_it_and_what_came_before_stays(mover: Mover, name: str) -> None:
    answer = write(mover, "in", tar_of(("before", b"1"), (name, b"2"), ("after", b"3")))
    assert (answer["ok"], answer["code"], answer["files"]) == (False, "DATASYNC_INVALID_SOURCE", 1)
    assert tree(mover.places.workspace) == {"in", "in/before"}
    assert not (mover.places.workspace.parent / "x").exists()


def test_nothing_is_written_through_a_link_be_it_old_or_of_the_archive(mover: Mover) -> None:
    outside = mover.places.workspace.parent / "outside"
    outside.mkdir()
    (outside / "file").write_text("theirs")
    (mover.places.workspace / "old").symlink_to("../outside")
    (mover.places.workspace / "file").symlink_to("../outside/file")
    (mover.places.workspace / "here").mkdir()

    assert write(mover, "", tar_of(("old/x", b"1")))["code"] == "DATASYNC_INVALID_SOURCE"
    assert write(mover, "old", tar_of(("x", b"1")))["code"] == "DATASYNC_INVALID_SOURCE"
    made = tar_of(entry("new", tarfile.SYMTYPE, "here"), ("new/x", b"1"))
    assert write(mover, "", made)["code"] == "DATASYNC_INVALID_SOURCE"
    assert write(mover, "", tar_of(("file", b"ours")))["ok"]

    assert (outside / "file").read_text() == "theirs"
    assert (mover.places.workspace / "file").read_text() == "ours"
    assert not (mover.places.workspace / "file").is_symlink()
    assert tree(outside) == {"file"}
    assert tree(mover.places.workspace / "here") == set()


def test_devices_fifos_and_links_that_leave_are_left_out_and_named(mover: Mover) -> None:
    left_out = [
        entry("device", tarfile.CHRTYPE),
        entry("fifo", tarfile.FIFOTYPE),
        entry("absolute", tarfile.SYMTYPE, "/etc/passwd"),
        entry("climbing", tarfile.SYMTYPE, "../../x"),
        entry("winding", tarfile.SYMTYPE, "a/../../x"),
        entry("nobody's second", tarfile.LNKTYPE, "none"),
    ]
    answer = write(mover, "in", tar_of(*left_out, entry("sideways", tarfile.SYMTYPE, "../x"), ("file", b"1")))
    assert (answer["ok"], answer["files"]) == (True, 2)
    assert str(answer["message"]).startswith("6 left out")
    assert tree(mover.places.workspace) == {"in", "in/file", "in/sideways"}
    assert mover.ending().progress["skipped"] == 6


def test_a_second_name_is_given_to_files_of_the_folder_alone(mover: Mover) -> None:
    (mover.places.workspace.parent / "secret").write_text("secret")
    (mover.places.workspace / "link").symlink_to("../secret")
    assert write(mover, "", tar_of(entry("stolen", tarfile.LNKTYPE, "link")))["files"] == 0
    assert write(mover, "", tar_of(entry("stolen", tarfile.LNKTYPE, "../secret")))["ok"] is False
    assert tree(mover.places.workspace) == {"link"}


def test_modes_lose_what_gives_rights_and_folders_stay_usable(mover: Mover) -> None:
    file = entry("locked/file", tarfile.REGTYPE, mode=0o6755)
    write(mover, "", tar_of(entry("locked", tarfile.DIRTYPE, mode=0o1444), file))
    assert stat.S_IMODE((mover.places.workspace / "locked/file").stat().st_mode) == 0o755
    assert stat.S_IMODE((mover.places.workspace / "locked").stat().st_mode) == 0o744


def test_the_marker_is_not_the_archives_to_bring(mover: Mover) -> None:
    (mover.places.workspace / ".workspace.initialized").write_text("ours")
    assert write(mover, "", tar_of((".workspace.initialized", b"theirs"), ("x", b"1")))["files"] == 1
    assert (mover.places.workspace / ".workspace.initialized").read_text() == "ours"


def test_a_file_does_not_take_a_folders_place(mover: Mover) -> None:
    (mover.places.workspace / "folder").mkdir()
    assert write(mover, "", tar_of(("folder", b"1")))["code"] == "DATASYNC_INVALID_SOURCE"
    assert tree(mover.places.workspace) == {"folder"}


def cuts() -> Iterator[object]:
    whole = tar_of(("a", b"1" * 600), ("b", b"2" * 600))
    yield pytest.param(b"", id="empty")
    yield pytest.param(b"no tar at all" * 100, id="no tar")
    yield pytest.param(whole[:1000], id="in a file")
    yield pytest.param(whole[:1536], id="between two entries")
    yield pytest.param(whole[:1700], id="in a header")
    yield pytest.param(whole[:1536] + b"?" * 8192, id="another thing after an entry")
    long_header = tarfile.TarInfo("x")
    long_header.type, long_header.size = tarfile.XHDTYPE, 2**40
    yield pytest.param(long_header.tobuf(), id="an endless header")
    chain = entry("x", tarfile.XGLTYPE).tobuf(tarfile.USTAR_FORMAT)
    yield pytest.param(chain * 5000, id="a chain of headers")
    sparse = tarfile.TarInfo("x")
    sparse.type = tarfile.GNUTYPE_SPARSE
    yield pytest.param(sparse.tobuf(tarfile.GNU_FORMAT) + b"\xff" * 512, id="sparse")


@pytest.mark.parametrize("sent", list(cuts()))
def test_a_stream_that_is_no_whole_archive_is_refused_and_leaves_no_half_file(mover: Mover, sent: bytes) -> None:
    answer = write(mover, "", sent)
    assert (answer["ok"], answer["code"]) == (False, "DATASYNC_INVALID_SOURCE")
    assert tree(mover.places.workspace) <= {"a"}
    assert all(each.stat().st_size == 600 for each in mover.places.workspace.iterdir())


def test_bounds_of_size(mover: Mover) -> None:
    huge = tarfile.TarInfo("huge")
    huge.size = 2**60
    assert write(mover, "", huge.tobuf(tarfile.GNU_FORMAT))["code"] == "DATASYNC_DISK_FULL"
    assert write(mover, "", tar_of(("a", b"12"), ("b", b"34")), max_bytes=3)["code"] == "DATASYNC_TOO_LARGE"
    assert tree(mover.places.workspace) == {"a"}


def test_a_disk_that_fills_up_is_called_full(mover: Mover, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,nr_inodes=4", "none", str(disk)], check=False).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        small = mover.with_places(workspace=disk)
        answer = write(small, "", tar_of(*[(f"file-{number}", b"") for number in range(5)]))
        assert answer["code"] == "DATASYNC_DISK_FULL"
        assert answer["files"] == len(tree(disk)) == 3
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_workspace_is_measured_once_a_file_and_without_its_links(mover: Mover) -> None:
    workspace = mover.places.workspace
    (mover.places.workspace.parent / "outside").mkdir()
    (mover.places.workspace.parent / "outside/big").write_bytes(bytes(2**20))
    before = int(mover.run("measure").facts["bytes"])
    (workspace / "file").write_bytes(os.urandom(2**20))
    os.link(workspace / "file", workspace / "again")
    (workspace / "link").symlink_to("../outside")
    (workspace / "sparse").touch()
    os.truncate(workspace / "sparse", 2**40)
    os.mkfifo(workspace / "fifo")
    measured = int(mover.run("measure").facts["bytes"]) - before
    assert 2**20 <= measured < 2**20 + 64 * 1024


def test_a_tree_deeper_than_descriptors_reach_ends_nothing(mover: Mover) -> None:
    here = os.open(mover.places.workspace, os.O_RDONLY)
    for _ in range(400):
        os.mkdir("d", dir_fd=here)
        below = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    ending = mover.run("measure")
    assert ending.ok
    assert ending.progress["failed"] == 1
    assert len(read_tar(mover, "")[0]) == 257


def test_a_folder_that_is_not_sent_whole_says_so_in_its_last_entry(mover: Mover) -> None:
    folder = mover.places.workspace / "top"
    deep = folder.joinpath(*["d"] * (DEEPEST + 1))
    deep.mkdir(parents=True)
    (folder / "file").write_text("x")
    sent, ending = read(mover, "top")
    entries = list(open_tar(sent[1:]))
    assert (entries[0].name, entries[-1].name) == ("top", "top")
    assert entries[-1].pax_headers["comment"] == ending.message
    assert "could not be read whole" in ending.message
    assert ending.progress["failed"] == 1


def test_what_is_named_and_cannot_be_sent_is_refused_before_the_first_byte(mover: Mover) -> None:
    os.mkfifo(mover.places.workspace / "pipe")
    (mover.places.workspace / "shut").write_text("x")
    (mover.places.workspace / "shut").chmod(0)
    for name, cause in (("pipe", "neither a file"), ("shut", "Permission denied")):
        with mover.begin("archive-read", path=name), connect(mover) as peer, peer.makefile("rb") as stream:
            sent = stream.read()
        assert sent[:1] == b"\1"
        assert cause in json.loads(sent[1:])["message"]
        assert json.loads(sent[1:])["code"] == "DATASYNC_ACCESS_DENIED"


def test_nothing_is_unpacked_where_a_volume_would_hide_it(mover: Mover) -> None:
    (mover.places.workspace / "a" / "vol").mkdir(parents=True)
    closed = ["a/vol", "b"]
    for path, name in (("", "a/vol/x"), ("a", "vol/x"), ("a/vol", "x"), ("", "b/x"), ("", "b")):
        answer = write(mover, path, tar_of((name, b"x")), closed=closed)
        assert (answer["ok"], answer["code"]) == (False, "DATASYNC_INVALID_SOURCE")
        assert "a volume is mounted there" in str(answer["message"])
    good = tar_of(entry("a/vol", tarfile.DIRTYPE), ("a/volume", b"x"), ("bb", b"x"))
    assert write(mover, "", good, closed=closed)["ok"]
    assert tree(mover.places.workspace) == {"a", "a/vol", "a/volume", "bb"}


def test_a_name_that_cannot_be_is_the_archives_fault(mover: Mover) -> None:
    answer = write(mover, "", tar_of(("n" * 256, b"x")))
    assert answer["code"] == "DATASYNC_INVALID_SOURCE"
    assert "File name too long" in str(answer["message"])
