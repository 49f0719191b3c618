# SPDX-License-Identifier: Apache-2.0
"""``cp``: what becomes of names, and what hostile streams do not get done."""

from __future__ import annotations

import io
import os
import stat
import tarfile
from contextlib import nullcontext
from pathlib import Path

import pytest

from notebookd.cli.tar import Tally, pack
from notebookd.client import ClientError
from tests.cli.worlds import A, notebook, page

ARCHIVE = f"/v1/notebook/{A}/archive"
NOT_THERE = {"message": "cannot read x of the workspace: there is nothing of that name", "code": "not-found"}


def tar(*members):
    """A stream of (name, what): bytes are a file, None a folder, a text a link, a TarInfo itself."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w|", format=tarfile.PAX_FORMAT) as stream:
        for name, what in members:
            member = what if isinstance(what, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.name, member.mtime = name, 1_700_000_000
            if isinstance(what, bytes):
                member.size, member.mode = len(what), 0o640
            elif what is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(what, str):
                member.type, member.linkname = tarfile.SYMTYPE, what
            stream.addfile(member, io.BytesIO(what) if isinstance(what, bytes) else None)
    return out.getvalue()


def special(kind, target=""):
    member = tarfile.TarInfo()
    member.type, member.linkname = kind, target
    return member


def read(body):
    """What is in a stream, by name: content of files, targets of links, None for folders."""
    with tarfile.open(fileobj=io.BytesIO(body), mode="r|") as stream:
        return {
            each.name: stream.extractfile(each).read() if each.isreg() else each.linkname or None for each in stream
        }


@pytest.fixture(autouse=True)
def world(toy):
    toy.on("GET /v1/notebook", page(notebook()))
    toy.on(f"GET {ARCHIVE}", NOT_THERE, status=404)
    toy.on(f"PUT {ARCHIVE}", status=204)


@pytest.fixture
def here(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def tree(here):
    """A folder with all kinds of things in it."""
    (here / "tree" / "sub").mkdir(parents=True)
    (here / "tree" / "sub" / "deep").write_bytes(b"deep")
    (here / "tree" / "-rf \n\N{SNOWMAN}").write_bytes(b"odd")
    (here / "tree" / "link").symlink_to("/etc/passwd")
    os.mkfifo(here / "tree" / "pipe")
    return here / "tree"


def sent(toy):
    (put,) = toy.sent(f"PUT {ARCHIVE}")
    return put.query.get("path", [""])[0], read(put.body)


class TestIntoTheNotebook:
    """What is not there becomes the target, what is a folder takes it in."""

    def test_a_file_becomes_the_target(self, notebookctl, toy, here):
        (here / "a.txt").write_bytes(b"hello")
        result = notebookctl("cp", "a.txt", "calm:data/b.txt")
        assert result.exit_code == 0
        assert sent(toy) == ("data", {"b.txt": b"hello"})
        assert "copied 1 file, 5 B" in result.stderr

    @pytest.mark.parametrize("target", ["calm:data", "calm:/workspace/data/", "calm:./data/."])
    def test_a_file_goes_into_a_folder_that_is_there(self, notebookctl, toy, here, target):
        (here / "a.txt").write_bytes(b"hello")
        toy.on(f"GET {ARCHIVE}", tar(("data", None)))
        assert notebookctl("cp", "a.txt", target).exit_code == 0
        assert sent(toy) == ("data", {"a.txt": b"hello"})

    @pytest.mark.parametrize("target", ["calm:", "calm:/workspace", "calm:.", "calm:/workspace/"])
    def test_the_workspace_is_there(self, notebookctl, toy, here, target):
        (here / "a.txt").write_bytes(b"hello")
        assert notebookctl("cp", "./a.txt", target).exit_code == 0
        assert sent(toy) == ("", {"a.txt": b"hello"})

    @pytest.mark.parametrize("words", [("a:b", "calm:"), ("a:b", "x"), ("x", "a:b")])
    def test_a_file_here_whose_name_has_a_colon_is_hinted_at(self, notebookctl, here, words):
        assert "notebookctl list" in notebookctl("cp", *words).stderr
        (here / "a:b").write_bytes(b"hello")
        result = notebookctl("cp", *words)
        assert result.exit_code == 1
        assert result.stderr.startswith("notebookctl: cannot find notebook 'a': ")
        assert result.stderr.endswith("hint: write ./a:b for the file here\n")

    def test_a_file_replaces_a_file(self, notebookctl, toy, here):
        (here / "a.txt").write_bytes(b"hello")
        toy.on(f"GET {ARCHIVE}", tar(("b.txt", b"old")))
        assert notebookctl("cp", "a.txt", "calm:b.txt").exit_code == 0
        assert sent(toy) == ("", {"b.txt": b"hello"})

    def test_a_folder_goes_whole_links_as_links_and_no_pipes(self, notebookctl, toy, tree):
        result = notebookctl("cp", "tree", "calm:")
        assert result.exit_code == 0
        assert sent(toy) == (
            "",
            {
                "tree": None,
                "tree/-rf \n\N{SNOWMAN}": b"odd",
                "tree/link": "/etc/passwd",
                "tree/sub": None,
                "tree/sub/deep": b"deep",
            },
        )
        assert "left out tree/pipe" in result.stderr

    @pytest.mark.parametrize(
        ("source", "found", "into", "name"),
        [
            ("tree", None, "", "new/"),
            ("tree/.", None, "", "new/"),
            ("tree", tar(("new", None)), "new", "tree/"),
            ("tree/", tar(("new", None)), "new", "tree/"),
            ("tree/.", tar(("new", None)), "new", ""),
        ],
    )
    def test_a_folder_is_the_target_or_comes_into_it(self, notebookctl, toy, tree, source, found, into, name):
        if found:
            toy.on(f"GET {ARCHIVE}", found)
        assert notebookctl("cp", source, "calm:new").exit_code == 0
        path, names = sent(toy)
        assert path == into
        assert names[f"{name}sub/deep"] == b"deep"

    def test_a_link_that_was_named_is_followed(self, notebookctl, toy, here):
        (here / "a.txt").write_bytes(b"hello")
        (here / "l").symlink_to("a.txt")
        assert notebookctl("cp", "l", "calm:b").exit_code == 0
        assert sent(toy) == ("", {"b": b"hello"})

    def test_stdin_goes_as_it_is(self, notebookctl, toy):
        result = notebookctl.program("cp", "-", f"{A}:data", keys=tar(("x", b"1")))
        assert result.returncode == 0, result.stderr
        assert sent(toy) == ("data", {"x": b"1"})

    @pytest.mark.parametrize(
        ("source", "target"),
        [
            ("a", "b"),
            ("calm:a", "calm:b"),
            ("nowhere", "calm:b"),
            ("here.txt", "calm:/etc/x"),
            ("here.txt", "calm:/workspaces/x"),
            ("here.txt", "calm:../x"),
            ("here.txt", "calm:gone/"),
            ("./calm:a", "b"),
            ("/dev/null", "calm:b"),
        ],
    )
    def test_what_cannot_be_meant_is_a_usage_error(self, notebookctl, toy, here, source, target):
        (here / "here.txt").write_bytes(b"")
        assert notebookctl("cp", source, target).exit_code == 2
        assert toy.sent(f"PUT {ARCHIVE}") == []

    def test_a_folder_does_not_replace_a_file(self, notebookctl, toy, tree):
        toy.on(f"GET {ARCHIVE}", tar(("x", b"")))
        assert notebookctl("cp", "tree", "calm:x").exit_code == 2

    def test_a_refusal_is_told(self, notebookctl, toy, here):
        (here / "a").write_bytes(b"x")
        toy.on(f"PUT {ARCHIVE}", {"message": "cannot write files: the disk is full", "code": "conflict"}, status=409)
        result = notebookctl("cp", "a", "calm:")
        assert result.exit_code == 1
        assert "the disk is full" in result.stderr

    def test_a_file_that_cannot_be_read_is_no_fault_of_the_daemon(self, notebookctl, here, monkeypatch):
        (here / "a").write_bytes(b"x")
        monkeypatch.setattr(os, "open", _denied)
        result = notebookctl("cp", "a", "calm:")
        assert result.exit_code == 1
        assert "cannot read a: Permission denied" in result.stderr

    def test_what_has_more_in_it_than_its_size_says_is_told(self, notebookctl, toy):
        result = notebookctl("cp", "/proc/version", "calm:b")
        assert sent(toy) == ("", {"b": b""})
        assert "/proc/version became longer meanwhile" in result.stderr


def _denied(*_args, **_more):
    raise PermissionError(13, "Permission denied")


class TestOutOfTheNotebook:
    """The same the other way round."""

    def test_a_file_becomes_the_target_with_its_mode_and_time(self, notebookctl, toy, here):
        toy.on(f"GET {ARCHIVE}", tar(("a.txt", b"hello")))
        assert notebookctl("cp", "calm:data/a.txt", "b.txt").exit_code == 0
        assert toy.sent(f"GET {ARCHIVE}")[0].query == {"path": ["data/a.txt"]}
        assert (here / "b.txt").read_bytes() == b"hello"
        assert stat.S_IMODE((here / "b.txt").stat().st_mode) == 0o640
        assert (here / "b.txt").stat().st_mtime == 1_700_000_000

    def test_a_file_goes_into_a_folder_that_is_there(self, notebookctl, toy, here):
        toy.on(f"GET {ARCHIVE}", tar(("a.txt", b"hello")))
        assert notebookctl("cp", "calm:data/a.txt", ".").exit_code == 0
        assert (here / "a.txt").read_bytes() == b"hello"

    def test_a_link_that_was_named_is_followed_and_none_below_it(self, notebookctl, toy, here):
        for name in ("named", "below"):
            (here / name).write_bytes(b"old")
        (here / "link").symlink_to("named")
        (here / "folder").mkdir()
        (here / "folder" / "f").symlink_to("../below")
        toy.on(f"GET {ARCHIVE}", tar(("f", b"hello")))
        assert notebookctl("cp", "calm:f", "link").exit_code == 0
        assert notebookctl("cp", "calm:f", "folder").exit_code == 0
        assert (here / "link").is_symlink()
        assert (here / "named").read_bytes() == b"hello"
        assert (here / "folder" / "f").read_bytes() == b"hello"
        assert (here / "below").read_bytes() == b"old"

    @pytest.mark.parametrize("target", ["pipe", "link", "folder"])
    def test_what_is_no_file_is_never_replaced(self, notebookctl, toy, here, target):
        (here / "folder").mkdir()
        os.mkfifo(here / "pipe")
        os.mkfifo(here / "folder" / "f")
        (here / "link").symlink_to("pipe")
        toy.on(f"GET {ARCHIVE}", tar(("f", b"hello")))
        result = notebookctl("cp", "calm:f", target)
        assert (result.exit_code, "cannot write" in result.stderr) == (1, True)
        assert (here / "pipe").is_fifo()
        assert (here / "folder" / "f").is_fifo()
        assert sorted(each.name for each in here.rglob("*")) == ["f", "folder", "link", "pipe"]

    @pytest.mark.parametrize(
        ("source", "there", "found"),
        [("calm:d", False, "new/f"), ("calm:d", True, "new/d/f"), ("calm:d/.", True, "new/f")],
    )
    def test_a_folder_is_the_target_or_comes_into_it(self, notebookctl, toy, here, source, there, found):
        if there:
            (here / "new").mkdir()
        toy.on(f"GET {ARCHIVE}", tar(("d", None), ("d/f", b"1"), ("d/l", "f"), ("d/s", None), ("d/s/l", "../f")))
        assert notebookctl("cp", source, "new").exit_code == 0
        copied = (here / found).parent
        assert (here / found).read_bytes() == b"1"
        assert (copied / "l").readlink().name == "f"
        assert (copied / "s" / "l").read_bytes() == b"1"

    @pytest.mark.parametrize(
        ("source", "asked"),
        [
            ("calm:/data/sub/", "/data/sub"),
            ("calm://data", "/data"),
            ("calm:/workspaces/x", "/workspaces/x"),
            ("calm:/workspace/x", "x"),
        ],
    )
    def test_an_absolute_path_is_the_notebooks(self, notebookctl, toy, here, source, asked):
        name = asked.rpartition("/")[2]
        toy.on(f"GET {ARCHIVE}", tar((name, None), (f"{name}/f", b"1")))
        assert notebookctl("cp", source, ".").exit_code == 0
        assert toy.sent(f"GET {ARCHIVE}")[0].query == {"path": [asked]}
        assert (here / name / "f").read_bytes() == b"1"

    def test_several_names_of_a_file_stay_one(self, notebookctl, toy, here):
        toy.on(f"GET {ARCHIVE}", tar(("d", None), ("d/a", b"1"), ("d/b", special(tarfile.LNKTYPE, "d/a"))))
        assert notebookctl("cp", "calm:d", "d").exit_code == 0
        assert (here / "d" / "a").stat().st_ino == (here / "d" / "b").stat().st_ino

    def test_the_whole_workspace_has_a_name(self, notebookctl, toy, here):
        toy.on(f"GET {ARCHIVE}", tar(("workspace", None), ("workspace/f", b"1")))
        assert notebookctl("cp", "calm:", ".").exit_code == 0
        assert (here / "workspace" / "f").read_bytes() == b"1"

    def test_stdout_gets_the_stream_as_it_is(self, notebookctl, toy):
        body = tar(("d", None), ("d/f", b"1"))
        toy.on(f"GET {ARCHIVE}", body)
        result = notebookctl.program("cp", f"{A}:d", "-")
        assert (result.returncode, result.stdout, result.stderr) == (0, body, b"")

    def test_what_is_not_there_is_told(self, notebookctl):
        result = notebookctl("cp", "calm:x", ".")
        assert result.exit_code == 1
        assert "there is nothing of that name" in result.stderr

    def test_what_could_not_be_sent_is_told(self, notebookctl, toy, here):
        last = special(tarfile.DIRTYPE)
        last.pax_headers = {"comment": "1 could not be read whole: 'd/\x1b[2J'"}
        toy.on(f"GET {ARCHIVE}", tar(("d", None), ("d/f", b"x"), ("d", last)))
        result = notebookctl("cp", "calm:d", "d")
        assert result.exit_code == 1
        assert "cannot copy all of it: 1 could not be read whole" in result.stderr
        assert "\x1b" not in result.stderr
        assert (here / "d" / "f").read_bytes() == b"x"

    def test_a_link_alone_is_refused_and_not_followed(self, notebookctl, toy, here):
        toy.on(f"GET {ARCHIVE}", tar(("l", "/etc/passwd")))
        result = notebookctl("cp", "calm:l", "l")
        assert result.exit_code == 1
        assert "is a link to '/etc/passwd'" in result.stderr
        assert list(here.iterdir()) == []

    def test_a_shut_folder_here_is_no_fault_of_the_daemon(self, notebookctl, toy, here, monkeypatch):
        monkeypatch.setattr(Path, "is_dir", _denied)
        toy.on(f"GET {ARCHIVE}", tar(("f", b"x")))
        result = notebookctl("cp", "calm:f", "shut/f")
        assert result.exit_code == 1
        assert "cannot write shut/f: Permission denied" in result.stderr

    def test_a_folder_does_not_replace_a_file(self, notebookctl, toy, here):
        (here / "f").write_bytes(b"")
        toy.on(f"GET {ARCHIVE}", tar(("d", None)))
        assert notebookctl("cp", "calm:d", "f").exit_code == 1


HOSTILE = {
    "a parent": [("d", None), ("d/../../out", b"x")],
    "a file that is there": [("d", None), ("d/../../secret", b"x")],
    "an absolute name elsewhere": [("d", None), ("/etc/cron.d/out", b"x")],
    "another tree": [("d", None), ("out", b"x")],
    "a link out": [("d", None), ("d/l", "../../out")],
    "an absolute link": [("d", None), ("d/l", "/etc/passwd")],
    "a link by way of a link": [("d", None), ("d/a", "."), ("d/l", "a/../../out")],
    "a file through a link": [("d", None), ("d/l", ".."), ("d/l/out", b"x")],
    "a file through a link within": [("d", None), ("d/s", None), ("d/l", "s"), ("d/l/f", b"x")],
    "a hard link out": [("d", None), ("d/h", special(tarfile.LNKTYPE, "../secret"))],
    "a hard link to an absolute name": [("d", None), ("d/h", special(tarfile.LNKTYPE, "/etc/passwd"))],
    "a device": [("d", None), ("d/n", special(tarfile.CHRTYPE))],
    "a pipe": [("d", None), ("d/p", special(tarfile.FIFOTYPE))],
    "a pipe alone": [("p", special(tarfile.FIFOTYPE))],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_no_stream_writes_outside_of_the_target_or_links_out_of_it(notebookctl, toy, here, tmp_path, case):
    (tmp_path / "secret").write_bytes(b"secret")
    toy.on(f"GET {ARCHIVE}", tar(*HOSTILE[case]))
    result = notebookctl("cp", "calm:d", "d")
    assert result.exit_code in {0, 1}
    assert result.exit_code == 1 or "left out" in result.stderr
    assert sorted(each.name for each in tmp_path.iterdir()) == ["api.sock", "here", "secret"]
    assert (tmp_path / "secret").read_bytes() == b"secret"
    for each in here.rglob("*"):
        assert each.resolve().is_relative_to(here)
        assert each.is_symlink() or each.is_dir() or each.is_file()
        assert not each.name.startswith(".notebookctl-")


class Swapping(io.BytesIO):
    """Takes a stream, and has ``swap`` called once ``word`` has come."""

    def __init__(self, word, swap):
        super().__init__()
        self.word, self.swap = word, swap

    def write(self, data):
        written = super().write(data)
        if self.swap is not None and self.word in self.getvalue():
            swap, self.swap = self.swap, None
            swap()
        return written


@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_becomes_a_link_meanwhile_is_not_followed(here, what):
    """Root copies a folder of somebody who puts links to what is root's into it."""
    (here / "secret").mkdir()
    (here / "secret" / "b").write_bytes(b"a secret")
    inner = here / "tree" / "inner"
    inner.mkdir(parents=True)
    (inner / "a").write_bytes(b"first " * 200_000)
    (inner / "b").write_bytes(b"second")

    def swap():
        if what == "folder":
            inner.rename(here / "tree" / "was")
            inner.symlink_to(here / "secret")
        else:
            (inner / "b").unlink()
            (inner / "b").symlink_to(here / "secret" / "b")

    sink = Swapping(b"first", swap)
    with pytest.raises(ClientError, match=r"cannot read .*inner/b") if what == "folder" else nullcontext():
        pack(here / "tree", "tree", sink, Tally())
    if what == "file":
        assert read(sink.getvalue())["tree/inner/b"] == str(here / "secret" / "b"), "the link itself"
    assert sink.swap is None
    assert b"a secret" not in sink.getvalue()


def test_a_setuid_bit_does_not_come_along(notebookctl, toy, here):
    member = tarfile.TarInfo()
    member.mode = 0o6777
    toy.on(f"GET {ARCHIVE}", tar(("f", member)))
    assert notebookctl("cp", "calm:f", "f").exit_code == 0
    assert not (here / "f").stat().st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH)


@pytest.mark.parametrize("cut", [100, 700, 1400])
def test_a_stream_that_breaks_off_leaves_no_half_a_file(notebookctl, toy, here, cut):
    toy.on(f"GET {ARCHIVE}", tar(("f", b"x" * 1000))[:cut])
    result = notebookctl("cp", "calm:f", "f")
    assert result.exit_code != 0
    assert [each.name for each in here.iterdir() if each.stat().st_size not in {0, 1000}] == []


def test_what_a_stream_names_does_not_steer_the_terminal(notebookctl, toy, here):
    toy.on(f"GET {ARCHIVE}", tar(("d", None), ("d/\x1b[2J\N{RIGHT-TO-LEFT OVERRIDE}", special(tarfile.FIFOTYPE))))
    result = notebookctl("cp", "calm:d", "d")
    assert "left out" in result.stderr
    assert "\x1b" not in result.stderr
    assert "\N{RIGHT-TO-LEFT OVERRIDE}" not in result.stderr


def test_names_are_completed(notebookctl):
    env = {"_NOTEBOOKCTL_COMPLETE": "bash_complete", "COMP_WORDS": "notebookctl cp ca", "COMP_CWORD": "2"}
    assert "plain,calm:" in notebookctl(env=env).stdout.splitlines()
