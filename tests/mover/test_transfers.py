# SPDX-License-Identifier: Apache-2.0
"""Data in and data out, with the real rclone and real remotes: what each permission promises, and no more."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.mover.lab import MARK, Lab

FILES = {"a.txt": "alpha", "sub/b.txt": "beta", "sub/deep/c.txt": "gamma"}


def conflicts_of(files: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in files.items() if MARK in name}


def test_what_is_there_comes_in(any_lab: Lab) -> None:
    any_lab.put(FILES)
    said = any_lab.pull()
    assert said["code"] == "DATASYNC_DONE"
    assert any_lab.local_files() == {name: text.encode() for name, text in FILES.items()}
    assert said["facts"] == {"bytes": 14, "files": 3}
    assert said["progress"]["completed"] == said["progress"]["processed"] == said["progress"]["total"] == 3
    assert said["progress"]["transferredBytes"] == said["progress"]["totalBytes"] == 14


def test_rwd_carries_all_changes_back(any_lab: Lab) -> None:
    any_lab.put(FILES)
    any_lab.pull()
    any_lab.edit("a.txt", "alpha and more")
    any_lab.edit("new/d.txt", "delta")
    any_lab.edit("sub/deep/c.txt", "GAMMA")
    (any_lab.data / "sub/b.txt").unlink()
    said = any_lab.push("RWD")
    assert said["ok"], said
    assert any_lab.remote_files() == {
        "a.txt": b"alpha and more",
        "new/d.txt": b"delta",
        "sub/deep/c.txt": b"GAMMA",
    }
    assert (said["progress"]["completed"], said["progress"]["deleted"]) == (3, 1)
    again = any_lab.push("RWD")
    assert (again["progress"]["completed"], again["progress"]["deleted"]) == (0, 0)


def test_rw_never_deletes(disk_lab: Lab) -> None:
    disk_lab.put(FILES)
    disk_lab.pull()
    (disk_lab.data / "a.txt").unlink()
    disk_lab.edit("sub/b.txt", "beta 2")
    assert disk_lab.push("RW")["ok"]
    assert disk_lab.remote_files() == {"a.txt": b"alpha", "sub/b.txt": b"beta 2", "sub/deep/c.txt": b"gamma"}


def test_what_another_changed_is_not_overwritten(any_lab: Lab) -> None:
    any_lab.put({"a.txt": "first", "n.txt": "n"})
    any_lab.pull()
    any_lab.edit("a.txt", "ours")
    any_lab.edit("both.txt", "ours, too")
    any_lab.put({"a.txt": "theirs", "both.txt": "theirs!"})
    said = any_lab.push("RWD")
    assert said["ok"]
    assert "laid beside" in said["message"]
    assert "a.txt" in said["message"]
    there = any_lab.remote_files()
    assert there["a.txt"] == b"theirs"
    assert there["both.txt"] == b"theirs!"
    assert sorted(conflicts_of(there).values()) == [b"ours", b"ours, too"]
    any_lab.push("RWD")
    assert any_lab.remote_files() == there, "a conflict is laid down once"
    any_lab.pull()
    assert any_lab.local_files() == there, "both versions are everywhere in the end"


def test_a_pull_keeps_local_edits_and_takes_the_rest(lab: Lab) -> None:
    lab.put({"a": "a1", "b": "b1", "c": "c1", "d": "d1"})
    lab.pull()
    lab.edit("a", "mine")
    (lab.data / "d").unlink()
    lab.put({"a": "theirs", "b": "b2!"})
    lab.take_away("c")
    said = lab.pull()
    assert lab.local_files() == {"a": b"mine", "b": b"b2!"}
    assert (said["progress"]["completed"], said["progress"]["deleted"], said["progress"]["skipped"]) == (1, 1, 2)


def test_reset_gives_local_edits_up(lab: Lab) -> None:
    lab.put({"a": "a1"})
    lab.pull()
    lab.edit("a", "mine")
    lab.edit("deep/er/x", "mine")
    lab.pull(reset=True)
    assert lab.local_files() == {"a": b"a1"}


def test_two_notebooks_push_the_same_rwd_source(disk_lab: Lab) -> None:
    disk_lab.put({"shared": "0", "ones": "1", "others": "2"})
    other = disk_lab.another()
    disk_lab.pull()
    other.pull()
    disk_lab.edit("shared", "one's")
    disk_lab.edit("from one", "1")
    (disk_lab.data / "ones").unlink()
    other.edit("shared", "the other's")
    other.edit("from other", "2")
    (other.data / "others").unlink()
    assert disk_lab.push("RWD")["ok"]
    assert other.push("RWD")["ok"]
    there = disk_lab.remote_files()
    assert there.pop("shared") == b"one's"
    assert list(conflicts_of(there).values()) == [b"the other's"]
    assert there.keys() - conflicts_of(there).keys() == {"from one", "from other"}


def test_an_edit_wins_over_a_deletion_at_the_remote(lab: Lab) -> None:
    lab.put({"a": "a1", "b": "b1"})
    lab.pull()
    lab.edit("a", "mine")
    lab.take_away("a", "b")
    assert lab.push("RWD")["ok"]
    assert lab.remote_files() == {"a": b"mine"}


def test_deleted_here_and_changed_there_stays_there(lab: Lab) -> None:
    lab.put({"a": "a1"})
    lab.pull()
    (lab.data / "a").unlink()
    lab.put({"a": "theirs"})
    assert lab.push("RWD")["progress"]["deleted"] == 0
    assert lab.remote_files() == {"a": b"theirs"}
    lab.pull()
    assert lab.local_files() == {"a": b"theirs"}


def test_the_same_content_on_both_sides_is_no_conflict(lab: Lab) -> None:
    lab.put({"old": "x"})
    lab.pull()
    lab.edit("made", "the same")
    lab.put({"made": "the same"})
    assert lab.push("RWD")["message"] == ""
    assert lab.remote_files() == {"old": b"x", "made": b"the same"}


def test_odd_names_survive(disk_lab: Lab) -> None:
    names = [
        " lead", "trail ", "-rf", "--config=x", "#hash", ";semi", "*", "{a,b}", "[x]", "back\\slash", "new\nline",
        "tab\there", "ünï😀", "e\u0301", ".hidden", "a␊b", "bell\x07", "-d/-f", "quote'\"", "$(id)", "%2e", "~",
    ]  # fmt: skip
    disk_lab.pull()
    for name in names:
        disk_lab.edit(name, f"<{name}>")
    assert disk_lab.push("RWD")["ok"]
    other = disk_lab.another()
    assert other.pull()["ok"]
    assert other.local_files() == {name: f"<{name}>".encode() for name in names}
    for name in names:
        (other.data / name).unlink()
    other.push("RWD")
    assert disk_lab.remote_files() == {}


def test_a_name_that_is_no_utf8_is_told_and_fails(lab: Lab) -> None:
    lab.pull()
    (lab.data / "good").write_text("x")
    lab.edit(os.fsdecode(b"bad\xff\nname"), "y")
    said = lab.push("RWD")
    assert said["code"] == "DATASYNC_INCOMPLETE"
    assert "\\xff" in said["message"]
    assert "\n" not in said["message"]
    assert (said["progress"]["completed"], said["progress"]["failed"]) == (1, 1)
    assert lab.remote_files() == {"good": b"x"}


def test_links_and_fifos_stay_here_and_are_not_followed(disk_lab: Lab) -> None:
    disk_lab.put({"kept/x": "x", "y": "y"})
    disk_lab.pull()
    secret = disk_lab.folder / "secrets" / "rclone.conf"
    (disk_lab.data / "leak").symlink_to(secret)
    (disk_lab.data / "folder").symlink_to(secret.parent)
    os.mkfifo(disk_lab.data / "fifo")
    (disk_lab.data / "kept" / "x").unlink()
    (disk_lab.data / "kept").rmdir()
    (disk_lab.data / "kept").symlink_to("/etc")
    (disk_lab.data / "y").unlink()
    os.mkfifo(disk_lab.data / "y")
    said = disk_lab.push("RWD")
    assert said["ok"]
    assert said["progress"]["skipped"] == 5
    assert disk_lab.remote_files() == {"kept/x": b"x", "y": b"y"}, "what is hidden by a link was not deleted"
    assert disk_lab.pull()["ok"]
    assert (disk_lab.data / "kept").is_symlink()


def test_a_listing_says_what_is_one_level_below(any_lab: Lab) -> None:
    any_lab.put(FILES)
    said = any_lab.run("list")
    found = {each["path"]: each for each in said["objects"]}
    assert found.keys() == {"a.txt", "sub"}
    assert found["a.txt"]["size"] == 5
    assert found["a.txt"]["modified"].startswith("20")
    assert (found["a.txt"]["folder"], found["sub"]["folder"]) == (False, True)


@pytest.mark.parametrize("permission", ["RW", "RWD"])
def test_files_that_became_folders_and_folders_that_became_files(any_lab: Lab, permission: str) -> None:
    any_lab.put({"f": b"f", "d/x": b"x", "d/e/y": b"y", "g": b"g"})
    assert any_lab.pull()["ok"]
    (any_lab.data / "f").unlink()
    any_lab.edit("f/in", "in")
    shutil.rmtree(any_lab.data / "d")
    any_lab.edit("d", "file")
    any_lab.edit("g", "changed")
    said = any_lab.push(permission)
    assert said["ok"], said
    there = any_lab.remote_files()
    assert there["g"] == b"changed", "the others are not held up"
    if permission == "RWD":
        assert there == {"f/in": b"in", "d": b"file", "g": b"changed"}
        return
    assert {name: there[name] for name in ("f", "d/x", "d/e/y")} == {"f": b"f", "d/x": b"x", "d/e/y": b"y"}
    if any_lab.remote == "s3":  # a bucket can have both
        assert (there["f/in"], there["d"]) == (b"in", b"file")
        return
    assert sorted(conflicts_of(there).values()) == [b"file", b"in"]
    assert "2 files went up under another name" in said["message"]
    again = any_lab.push(permission)
    assert (again["ok"], again["progress"]["completed"]) == (True, 0), "and not again"
    assert any_lab.remote_files() == there
    any_lab.edit("d", "file, later")
    any_lab.take_away("f")
    assert any_lab.push(permission)["ok"]
    there = any_lab.remote_files()
    assert there["f/in"] == b"in", "what stands in its way no more has its own name"
    assert b"file, later" in conflicts_of(there).values()


def test_a_file_is_no_folder_to_write_into_or_to_list(any_lab: Lab) -> None:
    any_lab.put({"a.txt": b"one", "sub/sub": b"two"})
    folder = any_lab.path
    any_lab.path = f"{folder}/a.txt"
    for said in (any_lab.run("list"), any_lab.pull(writable=True)):
        assert (said["ok"], said["code"]) == (False, "DATASYNC_INVALID_SOURCE")
        assert "a.txt' is a file at the remote, and no folder" in said["message"]
    any_lab.path = f"{folder}/sub"
    assert any_lab.run("list")["ok"]
    assert any_lab.pull(writable=True)["ok"]
    assert any_lab.local_files() == {"sub": b"two"}


def test_a_prefix_where_nothing_is_comes_in_empty_and_can_be_filled(lab: Lab) -> None:
    assert lab.pull()["facts"] == {"bytes": 0, "files": 0}
    lab.edit("first", "1")
    assert lab.push()["ok"]
    assert lab.remote_files() == {"first": b"1"}


def test_a_whole_container_is_a_volume_too(any_lab: Lab) -> None:
    any_lab.path = any_lab.path.split("/")[0]
    any_lab.put(FILES)
    any_lab.pull()
    any_lab.edit("a.txt", "changed at the root")
    any_lab.edit("root.txt", "new at the root")
    assert any_lab.push()["ok"]
    there = any_lab.remote_files()
    assert there["a.txt"] == b"changed at the root"
    assert there.keys() == FILES.keys() | {"root.txt"}


def test_empty_files_and_empty_folders(lab: Lab) -> None:
    lab.put({"empty": ""})
    lab.pull()
    (lab.data / "folder").mkdir()
    lab.edit("void", "")
    assert lab.push("RWD")["ok"]
    lab.pull()
    assert (lab.data / "folder").is_dir()
    assert lab.remote_files() == {"empty": b"", "void": b""}


def test_rights_that_change_are_no_edit(lab: Lab) -> None:
    lab.put({"a": "a1"})
    lab.pull()
    (lab.data / "a").chmod(0o640)
    assert lab.push()["progress"]["completed"] == 0
    lab.put({"a": "theirs"})
    lab.pull()
    assert lab.local_files() == {"a": b"theirs"}


def test_content_that_changes_under_an_old_time_is_an_edit(lab: Lab) -> None:
    lab.put({"a": "12345"})
    lab.pull()
    before = (lab.data / "a").stat()
    lab.edit("a", "54321")
    os.utime(lab.data / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert lab.push()["progress"]["completed"] == 1
    assert lab.remote_files() == {"a": b"54321"}


@pytest.mark.parametrize("after", ["1234567", "123", ""])
def test_a_size_that_changes_under_an_old_time_is_an_edit(any_lab: Lab, after: str) -> None:
    any_lab.put({"a": "12345", "b": "b"})
    any_lab.pull()
    before = (any_lab.data / "a").stat()
    any_lab.edit("a", after)
    os.utime(any_lab.data / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert any_lab.pull()["ok"]
    assert any_lab.local_files() == {"a": after.encode(), "b": b"b"}
    assert any_lab.push()["ok"]
    assert any_lab.remote_files() == {"a": after.encode(), "b": b"b"}


def test_nothing_is_pushed_of_what_never_came_in_whole(lab: Lab) -> None:
    (lab.volume / "data").mkdir()
    lab.edit("a", "1")
    assert lab.push("RWD")["code"] == "DATASYNC_ERROR"
    assert lab.remote_files() == {}


def test_a_file_of_which_only_rights_changed_is_no_trouble(any_lab: Lab) -> None:
    any_lab.put({"run.sh": "#!/bin/sh", "other": "o"})
    any_lab.pull()
    (any_lab.data / "run.sh").chmod(0o755)
    assert any_lab.push()["ok"]
    assert any_lab.remote_files() == {"run.sh": b"#!/bin/sh", "other": b"o"}
    assert any_lab.push()["progress"]["processed"] == 0


def test_names_that_are_no_utf_8_go_up_under_others(any_lab: Lab) -> None:
    any_lab.put({"a": "a"})
    any_lab.pull()
    for name, content in (
        (b"bad\xff.txt", "1"),
        (b"bad\xfe.txt", "2"),
        (b"d\xff/in", "3"),
        ("one\u201b".encode(), "4"),
    ):
        any_lab.edit(os.fsdecode(name), content)
    said = any_lab.push("RWD")
    assert said["ok"], said
    assert "4 files went up under another name" in said["message"]
    there = any_lab.remote_files()
    assert there.pop("a") == b"a"
    assert sorted(there.values()) == [b"1", b"2", b"3", b"4"]
    assert any(r"bad\udcff" in name or r"bad\xff" in name for name in there)
    again = any_lab.push("RWD")
    assert (again["ok"], again["progress"]["completed"]) == (True, 0)
    (any_lab.data / os.fsdecode(b"bad\xff.txt")).unlink()
    assert any_lab.push("RWD")["ok"]
    assert any_lab.pull()["ok"]


def test_what_no_remote_can_have_is_named_while_it_is_still_here(any_lab: Lab) -> None:
    any_lab.put({"a": "a", "bin/run": "#!/bin/sh"})
    any_lab.pull()
    (any_lab.data / "link").symlink_to("a")
    (any_lab.data / "void/in/it").mkdir(parents=True)
    any_lab.edit("tool", "#!/bin/sh")
    for name in ("tool", "bin/run"):
        (any_lab.data / name).chmod(0o755)
    said = any_lab.push("RWD")
    assert said["ok"], said
    assert "1 links and other things that are no files stay here: 'link'" in said["message"]
    assert "1 folders with no file in them stay here: 'void'" in said["message"]
    assert "2 files are not executable there: 'bin/run', 'tool'" in said["message"]
    any_lab.put({"bin/run": "#!/bin/sh\n# theirs"})
    assert any_lab.pull()["ok"]
    assert (any_lab.data / "bin/run").read_bytes() == b"#!/bin/sh\n# theirs"
    assert (any_lab.data / "bin/run").stat().st_mode & 0o111 == 0o111, "what replaces it may be run, too"
    assert (any_lab.data / "link").is_symlink()
    assert (any_lab.data / "void/in/it").is_dir()


def test_what_is_excluded_is_neither_sent_nor_deleted(lab: Lab) -> None:
    lab.put({"a": "a", "old/.ipynb_checkpoints/a-checkpoint.ipynb": "theirs", "x.tmp": "theirs"})
    lab.pull()
    assert "old/.ipynb_checkpoints/a-checkpoint.ipynb" in lab.local_files()
    lab.edit(".ipynb_checkpoints/a-checkpoint.ipynb", "mine")
    lab.edit("old/.ipynb_checkpoints/a-checkpoint.ipynb", "mine")
    lab.edit("not.ipynb_checkpoints/a", "mine")
    lab.edit("y.tmp", "mine")
    lab.edit("dir.tmp/z", "mine")
    (lab.data / "x.tmp").unlink()
    exclude = [".ipynb_checkpoints", "*.tmp"]
    said = lab.push("RWD", exclude=exclude)
    assert (said["ok"], said["message"]) == (True, "")
    assert lab.remote_files() == {
        "a": b"a",
        "old/.ipynb_checkpoints/a-checkpoint.ipynb": b"theirs",
        "x.tmp": b"theirs",
        "not.ipynb_checkpoints/a": b"mine",
    }
    assert lab.push("RWD")["progress"]["completed"] == 4, "nothing of it was taken for sent"


def test_a_local_copy_whose_folder_is_gone_deletes_nothing(disk_lab: Lab) -> None:
    disk_lab.put(FILES)
    disk_lab.pull()
    shutil.rmtree(disk_lab.data)
    assert disk_lab.push("RWD")["code"] == "DATASYNC_DAMAGED"
    assert disk_lab.remote_files() == {name: text.encode() for name, text in FILES.items()}
    assert disk_lab.pull()["ok"]
    assert disk_lab.push("RWD")["ok"]
    assert disk_lab.local_files() == disk_lab.remote_files() == {name: text.encode() for name, text in FILES.items()}


@pytest.mark.parametrize("left", [b"", b"\0" * 100, b"head" + b"\0" * 5000])
def test_what_a_machine_that_went_down_left_of_a_file_goes_beside(any_lab: Lab, left: bytes) -> None:
    any_lab.put({"a": "good", "b": "b", "was empty": ""})
    any_lab.pull()
    any_lab.edit("a", left)
    any_lab.edit("b", "edited")
    any_lab.edit("new", left)
    any_lab.edit("was empty", left + b"\0")
    (any_lab.volume / "boot").write_text("an earlier one")
    for _ in range(2):
        said = any_lab.push("RWD")
        assert said["ok"], said
        there = any_lab.remote_files()
        assert (there["a"], there["b"], there["new"], there["was empty"]) == (b"good", b"edited", left, left + b"\0")
        assert list(conflicts_of(there).values()) == [left]
    any_lab.edit("a", "mended")
    assert any_lab.push("RWD")["ok"]
    assert b"mended" in any_lab.remote_files().values()
    any_lab.pull()
    assert any_lab.local_files() == any_lab.remote_files()


def test_an_empty_file_of_this_boot_is_an_edit(lab: Lab) -> None:
    lab.put({"a": "full"})
    lab.pull()
    lab.edit("a", "")
    assert lab.push()["message"] == ""
    assert lab.remote_files() == {"a": b""}
