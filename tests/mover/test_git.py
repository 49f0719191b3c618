# SPDX-License-Identifier: Apache-2.0
"""Git volumes from a real server, with repositories that mean ill."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebookd.mover.gitrun import url_fault
from tests.mover.git_server import LARGE, STUCK, Repository, git_server
from tests.mover.program import Ending, Mover, kill_tree


class Cloned:
    """A repository, and a volume that it is brought into."""

    def __init__(self, url: str, repository: Repository, mover: Mover) -> None:
        self.url, self.repository, self.mover = url, repository, mover
        self.data = mover.places.volume / "data"

    def pull(self, **fields: object) -> Ending:
        fields = {"url": self.url, "schemes": ["http"], "timeout_s": 30, "writable": True, **fields}
        return self.mover.run("git-pull", **fields)

    def log(self) -> list[str]:
        """The subjects that ``git log`` shows in the volume, newest first."""
        return self.in_volume("log", "--format=%s").splitlines()

    def bare(self, *words: str) -> None:
        """Run git in the repository that is served."""
        words = ("git", "-c", f"safe.directory={self.repository.bare}", "-C", str(self.repository.bare), *words)
        subprocess.run(words, check=True, capture_output=True)

    def in_shell(self, line: str) -> None:
        """Run a line as people type it in the volume."""
        known = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}
        command = ["bash", "-ec", line]
        subprocess.run(command, cwd=self.data, env={**os.environ, **known}, check=True, capture_output=True)

    def in_volume(self, *words: str) -> str:
        words = ("git", "-c", f"safe.directory={self.data}", *words)
        return subprocess.run(words, cwd=self.data, check=True, capture_output=True).stdout.decode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    root = tmp_path_factory.mktemp("git")
    (root / "served").mkdir()
    with git_server(root / "served") as url:
        yield root, url


@pytest.fixture
def cloned(served: tuple[Path, str], tmp_path: Path) -> Cloned:
    root, url = served
    repository = Repository(root, tmp_path.name)
    return Cloned(f"{url}/{tmp_path.name}.git", repository, Mover(tmp_path))


def names(folder: Path) -> set[str]:
    """All files and links, less git's own."""
    return {
        str(each.relative_to(folder)) for each in folder.rglob("*") if ".git" not in each.parts and not each.is_dir()
    }


def test_the_latest_commit_comes_in_and_git_works_there(cloned: Cloned) -> None:
    odd = os.fsdecode(b'new\nline "\xff')
    cloned.repository.write(first="1")
    cloned.repository.publish("an earlier commit")
    cloned.repository.write(**{odd: "odd", "with space": "2", "-rf": "3"})
    (cloned.repository.tree / "run.sh").write_text("true")
    (cloned.repository.tree / "run.sh").chmod(0o755)
    commit = cloned.repository.publish("the latest")

    ending = cloned.pull()

    assert ending.ok, ending
    assert ending.facts["version"] == commit
    assert ending.facts["files"] == 5
    assert names(cloned.data) == {"first", odd, "with space", "-rf", "run.sh"}
    assert (cloned.data / "run.sh").stat().st_mode & 0o111
    assert cloned.log() == ["the latest"]
    assert cloned.in_volume("status", "--porcelain", "--branch") == "## trunk...origin/trunk\n"
    assert {each.name for each in cloned.mover.places.volume.iterdir()} >= {"data", "manifest.json"}
    assert not list((cloned.mover.places.volume / "staging").rglob("first"))


def test_an_update_brings_what_is_new_and_leaves_what_was_changed_here(cloned: Cloned) -> None:
    cloned.repository.write(same="1", theirs="1", ours="1", both="1", gone="1", missed="1")
    cloned.repository.publish("one")
    cloned.pull()
    (cloned.data / "ours").write_text("mine")
    (cloned.data / "both").write_text("mine")
    (cloned.data / "missed").write_text("mine")
    (cloned.data / "mine").write_text("mine")
    cloned.in_volume("status")
    cloned.repository.write(theirs="2", both="2", new="2", gone=None, missed=None)
    commit = cloned.repository.publish("two")

    ending = cloned.pull()

    assert ending.ok, ending
    assert ending.facts["version"] == commit
    found = {name: (cloned.data / name).read_text() for name in names(cloned.data)}
    assert found == {
        "same": "1",
        "theirs": "2",
        "ours": "mine",
        "both": "mine",
        "new": "2",
        "missed": "mine",
        "mine": "mine",
    }
    assert ending.progress["skipped"] == 3
    assert ending.progress["deleted"] == 1
    assert "both" in ending.message
    assert cloned.log()[0] == "two"
    assert cloned.pull().facts["version"] == commit  # nothing new is no work


def test_where_there_are_commits_of_its_own_all_is_left_to_git(cloned: Cloned) -> None:
    cloned.repository.write(file="1", gone="1")
    first = cloned.repository.publish("one")
    cloned.pull()
    cloned.in_volume(
        "-c", "user.name=x", "-c", "user.email=x@example.org", "commit", "-q", "--allow-empty", "-m", "mine"
    )
    cloned.repository.write(file="2", new="2", gone=None)
    second = cloned.repository.publish("two")

    for _ in range(2):
        ending = cloned.pull()
        assert (ending.ok, ending.facts["version"]) == (True, first)
        assert "`git pull`" in ending.message
        assert names(cloned.data) == {"file", "gone"}
        assert cloned.log() == ["mine", "one"]
        assert cloned.in_volume("status", "--porcelain") == ""

    ending = cloned.pull(reset=True)
    assert (ending.ok, ending.facts["version"]) == (True, second)
    assert cloned.log()[0] == "two"
    assert cloned.in_volume("status", "--porcelain") == ""


def test_where_somebody_removed_the_git_folder_files_come_in_without_it(cloned: Cloned) -> None:
    cloned.repository.write(file="1")
    cloned.repository.publish("one")
    cloned.pull()
    shutil.rmtree(cloned.data / ".git")
    cloned.repository.write(file="2")
    cloned.repository.publish("two")
    assert cloned.pull().ok
    assert (cloned.data / "file").read_text() == "2"
    assert not (cloned.data / ".git").exists()


def test_a_rewritten_history_changes_nothing_until_the_volume_is_reset(cloned: Cloned) -> None:
    cloned.repository.write(file="1")
    first = cloned.repository.publish("one")
    cloned.pull()
    cloned.repository.write(file="other", new="x")
    cloned.repository.publish("another one", "--amend")

    for _ in range(2):
        ending = cloned.pull()
        assert (ending.ok, ending.code) == (False, "DATASYNC_NOT_FAST_FORWARD")
        assert names(cloned.data) == {"file"}
        assert (cloned.data / "file").read_text() == "1"

    (cloned.data / "mine").touch()
    ending = cloned.pull(reset=True)
    assert ending.ok
    assert ending.facts["version"] != first
    assert names(cloned.data) == {"file", "new"}
    assert cloned.log() == ["another one"]


def test_a_history_that_grew_by_a_merge_is_fast_forward(cloned: Cloned) -> None:
    cloned.repository.publish("one")
    cloned.repository.git("checkout", "-q", "-b", "side")
    cloned.repository.write(side="1")
    cloned.repository.git("add", "-A")
    cloned.repository.git("commit", "-q", "-m", "aside")
    cloned.repository.git("checkout", "-q", "trunk")
    cloned.repository.write(main="1")
    cloned.repository.publish("two")
    cloned.pull()
    cloned.repository.git("merge", "-q", "--no-edit", "side")
    cloned.repository.publish("three")
    assert cloned.pull().ok
    assert names(cloned.data) == {"main", "side"}


@pytest.mark.parametrize("into", ["data", "versions"])
def test_nothing_that_a_repository_brings_is_run(cloned: Cloned, tmp_path: Path, into: str) -> None:
    ran = tmp_path / "ran"
    command = f"touch {ran}"
    config = f'[core]\n\tfsmonitor = "{command}"\n\tsshCommand = "{command}"\n[filter "evil"]\n\tsmudge = "{command}"\n'
    (cloned.repository.tree / "hooks").mkdir()
    cloned.repository.write(**{
        ".gitattributes": "* filter=evil diff=evil\nbig filter=lfs -text\n",
        ".gitconfig": config,
        ".gitmodules": f'[submodule "sub"]\n\tpath = sub\n\turl = ext::sh -c {command!r}\n\tupdate = !{command}\n',
        "big": "version https://git-lfs.github.com/spec/v1\n",
        "hooks/post-checkout": f"#!/bin/sh\n{command}\n",
    })  # fmt: skip
    (cloned.repository.tree / "hooks/post-checkout").chmod(0o755)
    cloned.repository.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},sub")
    cloned.repository.git("add", "-A", "--", ".gitattributes", ".gitconfig", ".gitmodules", "big", "hooks")
    cloned.repository.git("commit", "-q", "-m", "evil")
    cloned.repository.git("push", "-q", str(cloned.repository.bare), "HEAD:trunk")

    ending = cloned.pull(cache=into == "versions")

    assert ending.ok, ending
    assert not ran.exists()
    assert "sub" in ending.message
    here = cloned.data if into == "data" else cloned.mover.places.volume / "versions" / str(ending.facts["version"])
    assert (here / "big").read_text().startswith("version https://git-lfs")
    assert (here / "hooks/post-checkout").exists()
    assert not list((here / ".git").glob("hooks/*"))


def test_a_git_folder_that_was_made_evil_here_is_never_run(cloned: Cloned, tmp_path: Path) -> None:
    ran = tmp_path / "ran"
    cloned.repository.write(file="1")
    cloned.repository.publish("one")
    cloned.pull()
    with (cloned.data / ".git/config").open("a") as config:
        config.write(f'[core]\n\tfsmonitor = "touch {ran}"\n\tworktree = /\n[filter "x"]\n\tsmudge = touch {ran}\n')
    (cloned.data / ".git/hooks").mkdir()
    for hook in ("post-checkout", "post-merge", "reference-transaction"):
        (cloned.data / ".git/hooks" / hook).write_text(f"#!/bin/sh\ntouch {ran}\n")
        (cloned.data / ".git/hooks" / hook).chmod(0o755)
    (cloned.data / ".gitattributes").write_text("* filter=x\n")
    cloned.repository.write(file="2")
    cloned.repository.publish("two")
    assert cloned.pull().ok
    assert (cloned.data / "file").read_text() == "1"
    assert cloned.pull(reset=True).ok
    assert (cloned.data / "file").read_text() == "2"
    assert not ran.exists()


def test_links_come_in_if_they_stay_in_the_tree(cloned: Cloned) -> None:
    tree = cloned.repository.tree
    (tree / "folder").mkdir()
    (tree / "folder/file").touch()
    (tree / "folder/up").symlink_to("../other")
    (tree / "inside").symlink_to("folder/file")
    (tree / "absolute").symlink_to("/etc/passwd")
    (tree / "climbing").symlink_to("../../secret")
    (tree / "winding").symlink_to("folder/../../secret")
    cloned.repository.publish("links")
    ending = cloned.pull()
    assert names(cloned.data) == {"folder/file", "folder/up", "inside"}
    assert ending.progress["skipped"] == 3
    assert "absolute" in ending.message

    (cloned.data / "inside").unlink()
    (cloned.data / "inside").symlink_to("elsewhere")
    (tree / "folder/up").unlink()
    (tree / "folder/up").symlink_to("../inside")
    (tree / "inside").unlink()
    (tree / "inside").symlink_to("folder")
    cloned.repository.publish("other links")
    assert "inside" in cloned.pull().message
    assert names(cloned.data) == {"folder/file", "folder/up", "inside"}
    assert (cloned.data / "folder/up").readlink() == Path("../inside")
    assert (cloned.data / "inside").readlink() == Path("elsewhere")

    (tree / "folder/up").unlink()
    cloned.repository.publish("one link less")
    cloned.pull()
    assert names(cloned.data) == {"folder/file", "inside"}


def test_nothing_is_written_through_a_link_that_a_notebook_made(cloned: Cloned, tmp_path: Path) -> None:
    (cloned.repository.tree / "folder").mkdir()
    (cloned.repository.tree / "folder/file").write_text("1")
    cloned.repository.publish("one")
    cloned.pull()
    outside = tmp_path / "outside"
    (cloned.data / "folder").rename(outside)
    (cloned.data / "folder").symlink_to(outside)
    (cloned.repository.tree / "folder/file").write_text("2")
    (cloned.repository.tree / "folder/new").write_text("2")
    cloned.repository.publish("two")
    ending = cloned.pull()
    assert ending.ok
    assert ending.progress["skipped"] == 2
    assert {each.name: each.read_text() for each in outside.iterdir()} == {"file": "1"}


@pytest.mark.parametrize("content", [os.urandom(2**20), bytes(2 * 2**20)], ids=["on the way", "on the disk"])
def test_a_repository_over_the_bound_is_refused(cloned: Cloned, content: bytes) -> None:
    (cloned.repository.tree / "big").write_bytes(content)
    cloned.repository.publish("big")
    ending = cloned.pull(max_bytes=2**19)
    assert (ending.ok, ending.code) == (False, "DATASYNC_TOO_LARGE"), ending
    assert not names(cloned.data)
    assert cloned.pull(max_bytes=2**22).ok


def test_a_few_objects_that_name_ten_billion_files_are_refused(cloned: Cloned) -> None:
    repository = cloned.repository
    repository.write(leaf="x" * 100)
    thing, kind = repository.git("hash-object", "-w", "leaf"), "100644 blob"
    for _ in range(10):
        thing = repository.git("mktree", lines="".join(f"{kind} {thing}\tname-{number}\n" for number in range(10)))
        kind = "040000 tree"
    repository.git("reset", "-q", "--soft", repository.git("commit-tree", thing, "-m", "bomb"))
    repository.git("push", "-q", str(repository.bare), "HEAD:trunk")
    assert cloned.pull(max_bytes=10**6).code == "DATASYNC_TOO_LARGE"


@pytest.mark.parametrize("name", ["..", ".", "../../out", "/out", ".git", ".GIT", "git~1"])
@pytest.mark.parametrize("kind", ["file", "folder", "submodule"])
def test_a_name_that_no_folder_has_is_refused(cloned: Cloned, tmp_path: Path, name: str, kind: str) -> None:
    """Such a tree is no work of git's: a server sends what it likes."""
    repository = cloned.repository
    repository.write(leaf="evil")
    thing, mode = (
        repository.git("hash-object", "-w", "leaf"),
        {"file": "100644", "submodule": "160000"}.get(kind, "40000"),
    )
    if kind == "folder":
        thing = repository.git("mktree", lines=f"100755 blob {thing}\tevil\n")
    tree = tmp_path / "tree"
    tree.write_bytes(f"{mode} {name}\0".encode() + bytes.fromhex(thing))
    root = repository.git("hash-object", "-t", "tree", "--literally", "-w", str(tree))
    commit = repository.git("commit-tree", root, "-m", "evil")
    repository.git("push", "-q", "--force", str(repository.bare), f"{commit}:refs/heads/trunk")
    ending = cloned.pull()
    assert (ending.ok, ending.code) == (False, "DATASYNC_INVALID_SOURCE"), ending
    assert name in ending.message
    assert names(cloned.data) == set()
    assert [each for each in tmp_path.rglob("*") if each.name in {"out", "evil"}] == []


def test_a_server_that_does_not_answer_is_not_waited_for(cloned: Cloned, served: tuple[Path, str]) -> None:
    assert cloned.pull(url=f"{served[1]}{STUCK}", timeout_s=1).code == "DATASYNC_TIMEOUT"


def test_a_cached_copy_is_shared_by_its_commit(cloned: Cloned) -> None:
    cloned.repository.write(file="1")
    first = cloned.repository.publish("one")
    ending = cloned.pull(cache=True)
    assert ending.facts == {"version": first, "bytes": 1, "files": 1}
    assert cloned.pull(cache=True).facts == ending.facts
    cloned.repository.write(file="2")
    second = cloned.repository.publish("two", "--amend")  # a copy of its own has no history to keep
    assert cloned.pull(cache=True).facts["version"] == second
    versions = cloned.mover.places.volume / "versions"
    assert {each.name: (each / "file").read_text() for each in versions.iterdir()} == {first: "1", second: "2"}


def test_a_kill_between_two_renames_makes_no_edit_of_what_came_in(cloned: Cloned) -> None:
    every = {f"file-{number}": "1" for number in range(300)}
    cloned.repository.write(**every)
    (cloned.repository.tree / "link").symlink_to("file-0")
    cloned.repository.publish("one")
    cloned.pull()
    cloned.repository.write(**dict.fromkeys(every, "2"))
    (cloned.repository.tree / "link").unlink()
    (cloned.repository.tree / "link").symlink_to("file-1")
    cloned.repository.publish("two")
    with cloned.mover.begin("git-pull", url=cloned.url, schemes=["http"], timeout_s=30) as process:
        while (cloned.data / "file-0").read_text() == "1":
            assert process.poll() is None
        kill_tree(process.pid)

    ending = cloned.pull()

    assert ending.ok
    assert ending.progress["skipped"] == 0, ending
    assert {name: (cloned.data / name).read_text() for name in every} == dict.fromkeys(every, "2")
    assert (cloned.data / "link").readlink() == Path("file-1")
    assert cloned.log()[0] == "two"


@pytest.mark.long
def test_killed_anywhere_it_converges(cloned: Cloned) -> None:
    for number in range(400):
        (cloned.repository.tree / f"file-{number}").write_text("0")
    cloned.repository.publish("zero")
    fields = {"url": cloned.url, "schemes": ["http"], "timeout_s": 30, "writable": True}
    for attempt in range(1, 31):
        for number in range(400):
            (cloned.repository.tree / f"file-{number}").write_text(str(attempt))
        cloned.repository.publish(str(attempt))
        with cloned.mover.begin("git-pull", **fields) as process:
            try:
                process.wait(attempt * 0.02)
            except subprocess.TimeoutExpired:
                kill_tree(process.pid)
        ending = cloned.pull()
        assert ending.ok, ending
        assert ending.progress["skipped"] == 0, ending
        assert {(cloned.data / name).read_text() for name in names(cloned.data)} == {str(attempt)}
        assert cloned.in_volume("status", "--porcelain") == ""


def test_what_cannot_be_cloned_says_why(cloned: Cloned, served: tuple[Path, str]) -> None:
    url = served[1]
    assert cloned.pull(url=f"{url}/none.git").code == "DATASYNC_SOURCE_NOT_FOUND"
    assert cloned.pull(url=f"{url}/private.git").code == "DATASYNC_ACCESS_DENIED"
    assert cloned.pull(url="http://127.0.0.1:1/x.git").code == "DATASYNC_UNREACHABLE"
    cloned.repository.publish("one")
    assert cloned.pull(url=cloned.url.replace(url, f"{url}/moved")).ok


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc", "/etc", "ext::sh -c id", "http::http://x/y", "--upload-pack=touch /tmp/x", "-x",
        "http://user:secret@127.0.0.1/x.git", "http://user@127.0.0.1/x.git", "https://127.0.0.1/x.git", "ssh://h/x",
        "http:///x", "http://-x/y", "http://h/x y", "git@github.com:a/b.git", "fd::17",
    ],
)  # fmt: skip
def test_urls_that_are_no_plain_ones_are_refused_here_too(cloned: Cloned, url: str) -> None:
    ending = cloned.pull(url=url)
    assert (ending.ok, ending.code) == (False, "DATASYNC_INVALID_SOURCE")
    assert "secret" not in ending.message
    assert url_fault(url, ("http", "file", "ext")) is not None or url.startswith("https")


def test_an_empty_repository_is_an_empty_volume_that_fills(cloned: Cloned) -> None:
    ending = cloned.pull()
    assert ending.ok, ending
    assert ending.facts["files"] == 0
    assert names(cloned.data) == set()
    assert cloned.in_volume("remote", "get-url", "origin").strip() == cloned.url
    assert cloned.pull().ok
    cloned.repository.write(file="1")
    commit = cloned.repository.publish("the first")
    ending = cloned.pull()
    assert (ending.ok, ending.facts["version"]) == (True, commit), ending
    assert names(cloned.data) == {"file"}
    assert cloned.log() == ["the first"]


@pytest.mark.parametrize("writable", [True, False])
def test_a_clone_says_whether_its_notebook_could_write_to_it(cloned: Cloned, *, writable: bool) -> None:
    cloned.repository.publish("one")
    assert cloned.pull(writable=writable).ok
    note = cloned.mover.places.volume / "git.json"
    assert json.loads(note.read_bytes())["writable"] is writable


def test_an_empty_repository_is_a_shared_copy_too(cloned: Cloned) -> None:
    ending = cloned.pull(cache=True, writable=False)
    assert ending.ok, ending
    assert names(cloned.mover.places.volume / "versions" / str(ending.facts["version"])) == set()


def test_a_repository_that_was_emptied_takes_nothing_away(cloned: Cloned) -> None:
    cloned.repository.write(file="1")
    cloned.repository.publish("one")
    assert cloned.pull().ok
    cloned.bare("update-ref", "-d", "refs/heads/trunk")
    ending = cloned.pull()
    assert (ending.ok, ending.code) == (False, "DATASYNC_NOT_FAST_FORWARD")
    assert names(cloned.data) == {"file"}


def test_the_only_branch_is_taken_where_the_default_is_missing(cloned: Cloned) -> None:
    cloned.repository.write(file="1")
    commit = cloned.repository.publish("one")
    cloned.repository.git("tag", "-a", "-m", "a tag", "v1")
    cloned.repository.git("push", "-q", str(cloned.repository.bare), "v1")
    cloned.bare("symbolic-ref", "HEAD", "refs/heads/master")
    ending = cloned.pull()
    assert (ending.ok, ending.facts["version"]) == (True, commit), ending
    assert cloned.in_volume("status", "--porcelain", "--branch") == "## trunk...origin/trunk\n"
    cloned.bare("branch", "other", "trunk")
    ending = cloned.pull()
    assert (ending.ok, ending.code) == (False, "DATASYNC_INVALID_SOURCE")
    assert "there are 'other', 'trunk'" in ending.message
    cloned.bare("update-ref", "-d", "refs/heads/other")
    cloned.bare("update-ref", "-d", "refs/heads/trunk")
    assert "there are 'refs/tags/v1'" in cloned.pull().message


def test_pointers_of_lfs_are_named_with_what_fetches_them(cloned: Cloned) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 5\n"
    cloned.repository.write(**{"big.bin": pointer, "small.txt": "text", "spec.md": pointer})
    cloned.repository.publish("no attributes, no pointers")
    assert cloned.pull().message == ""
    cloned.repository.write(**{".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    cloned.repository.publish("with attributes")
    ending = cloned.pull()
    assert ending.ok, ending
    assert "2 files are pointers of Git LFS and have no content yet: 'big.bin', 'spec.md'" in ending.message
    assert "`git lfs install --local && git lfs pull`" in ending.message
    assert (cloned.data / "big.bin").read_text() == pointer


@pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")
def test_the_content_of_lfs_comes_with_the_command_that_is_named(cloned: Cloned) -> None:
    content = b"large"
    oid = hashlib.sha256(content).hexdigest()
    LARGE[oid] = content
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
    cloned.repository.write(**{"big.bin": pointer, ".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n"})
    cloned.repository.publish("one")
    command = cloned.pull().message.split("`")[1]
    cloned.in_shell(command)
    assert (cloned.data / "big.bin").read_bytes() == content
    assert cloned.in_volume("status", "--porcelain") == ""
    assert cloned.pull().ok
    assert (cloned.data / "big.bin").read_bytes() == content


README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize("commits", [1, 3])
def test_the_line_of_the_readme_brings_all_of_the_history(cloned: Cloned, commits: int) -> None:
    (line,) = (each.strip() for each in README.read_text().splitlines() if each.strip().startswith("git remote set-"))
    for number in range(commits):
        cloned.repository.write(file=str(number))
        cloned.repository.publish(f"number {number}")
    cloned.repository.git("tag", "-a", "-m", "a tag", "v1", "HEAD~" + str(commits - 1))
    cloned.repository.git("checkout", "-q", "-b", "dev")
    cloned.repository.write(dev="1")
    cloned.repository.git("add", "-A")
    cloned.repository.git("commit", "-q", "-m", "on dev")
    cloned.repository.git("push", "-q", str(cloned.repository.bare), "dev", "v1")
    cloned.pull()
    assert cloned.log() == [f"number {commits - 1}"]
    cloned.in_shell(line)
    assert len(cloned.log()) == commits
    assert cloned.in_volume("describe", "--tags").startswith("v1")
    cloned.in_volume("checkout", "-q", "dev")
    assert (cloned.data / "dev").read_text() == "1"
    assert cloned.log()[0] == "on dev"
