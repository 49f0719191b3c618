# SPDX-License-Identifier: Apache-2.0
"""Bring a Git repository in: the latest commit of its default branch, fast-forward only.

It is cloned and checked out in ``staging/``, where no notebook reaches, and its files are renamed into ``data/`` as
those of any pull are: what was changed here stays. ``data/.git`` is the clone's own, so that ``git log`` and ``git
pull`` work for whoever works there; a mover writes it and never reads it: not git but its files' stamps say whether
somebody changed it. Then there may be commits in it, and everything stays as it is: files that are newer than the
history beside them would be taken for his own changes by the next commit.
"""

from __future__ import annotations

import ast
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from notebookd.mover.branches import NOTHING, find_tip
from notebookd.mover.decide import decide_pull
from notebookd.mover.gitrun import TOO_LARGE, Git, NothingSince
from notebookd.mover.job import Job
from notebookd.mover.manifest import Notes, Seen, place_durably
from notebookd.mover.pull import _Pull as PullIntoData
from notebookd.mover.rclone import Rclone
from notebookd.mover.report import Code, Fault, Reporter, Result, named
from notebookd.mover.staging import Staged
from notebookd.mover.tree import Tree
from notebookd.mover.visit import stays_below, sync_disk
from notebookd.mover.volume import Volume, locked, require_room

CLOCKS_DIFFER_S = 24 * 3600
"""The history of an update is fetched from so long before the commit that is here."""

MAX_FILES = 1_000_000
"""A few objects can name any number of files: https://kate.io/blog/git-bomb/"""

FILES, LINK = {"100644", "100755"}, "120000"

POINTER = b"version https://git-lfs.github.com/spec/v1\n"
"""How a file of Git LFS begins that stands for its content: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md"""
LARGEST_POINTER = 1024


def pull(job: Job, reporter: Reporter) -> Result:
    """The task ``git-pull``. Facts: ``version`` (the commit), ``bytes``, ``files``.

    Raises Fault NOT_FAST_FORWARD, with nothing changed, when the commit that is here is none of the branch's history.
    """
    root = job.places.volume
    return _pull_version(job, root, reporter) if job.flag("cache") else _pull_volume(job, root, reporter)


@dataclass(slots=True)
class Commit:
    """What a commit holds: files (with size, object and mode), of them ``pointers`` of Git LFS, links that stay in the
    tree, and what is left out."""

    id: str
    made_at: int
    files: dict[str, Seen] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    pointers: list[str] = field(default_factory=list)

    @property
    def size_bytes(self) -> int:
        """Of all files together."""
        return sum(each.size for each in self.files.values())

    def result(self, kept: str = "") -> Result:
        """What there is to say of it."""
        facts: dict[str, str | int] = {"version": self.id, "bytes": self.size_bytes, "files": len(self.files)}
        said = (
            f"left out, being submodules or links that lead elsewhere: {named(self.left_out)}" if self.left_out else ""
        )
        lfs = (
            f"{len(self.pointers)} files are pointers of Git LFS and have no content yet: {named(self.pointers)}: "
            "`git lfs install --local && git lfs pull` in their folder fetches it"
            if self.pointers
            else ""
        )
        return Result(message="; ".join(filter(None, (said, lfs, kept))), facts=facts)


def _pull_version(job: Job, root: Path, reporter: Reporter) -> Result:
    """Into a shared copy of its own, ``versions/<commit>/``."""
    with locked(root):
        for name in ("versions", "staging"):
            (root / name).mkdir(exist_ok=True)
        with Tree(root / "staging") as staging:
            staging.clear()
        (root / "staging/tree").mkdir()
        git = Git(job, root / "staging/tree", reporter)
        branch, tip = find_tip(git)
        noted = root / "listings" / f"{tip}.json"
        if (root / "versions" / tip).is_dir() and noted.exists():
            return Result(facts=json.loads(noted.read_bytes()))
        commit = _clone(git, branch, None) if tip != NOTHING else _begin(git)
        _check_out(git, commit, root / "staging/tree", reporter)
        result = commit.result()
        noted.parent.mkdir(exist_ok=True)
        place_durably(noted.with_name(f"{commit.id}.json"), json.dumps(result.facts).encode())
        if not (root / "versions" / commit.id).is_dir():
            sync_disk(root)
            (root / "staging/tree").rename(root / "versions" / commit.id)
        reporter.progress.processed = reporter.progress.completed = len(commit.files)
        return result


def _pull_volume(job: Job, root: Path, reporter: Reporter) -> Result:
    """Into ``data/``."""
    with ExitStack() as stack:
        stack.enter_context(locked(root))
        for name in ("data", "outgoing", "staging", "staging/tree"):
            (root / name).mkdir(exist_ok=True)
        data = stack.enter_context(_Data(root / "data"))
        staging = stack.enter_context(Tree(root / "staging/tree"))
        outgoing = stack.enter_context(Tree(root / "outgoing"))
        volume = Volume(root, Notes(root), data, staging, outgoing)
        return _GitPull(volume, data, reporter, job).run_git()


class _GitPull(PullIntoData):
    """A pull whose remote is a checked-out commit in the staging folder."""

    loses_modes = False

    def __init__(self, volume: Volume, data: _Data, reporter: Reporter, job: Job) -> None:
        super().__init__(volume, cast(Rclone, None), reporter, job)  # it comes from the staging folder alone
        self._job = job
        self._data = data
        self._note = volume.root / "git.json"
        self._tree = volume.root / "staging/tree"

    def run_git(self) -> Result:
        """Clone, check out, rename in."""
        volume, reset = self._volume, self._job.flag("reset")
        git = Git(self._job, self._tree, self._reporter)
        url = git.url()
        self._entries, self._whole = volume.notes.load()
        self._settle()
        note = self._load_note()
        volume.staging.clear()
        branch, tip = find_tip(git)
        if self._whole and not reset and note.get("settled") and (note["commit"], note["url"]) == (tip, url):
            return self._unchanged(note)
        if self._whole and not reset and note.get("settled") and self._left_to_its_user(note):
            return self._unchanged(note, "its .git was changed here, so all is left as it is: use `git pull` there")
        before = note if self._whole and not reset and note.get("url") == url and note["commit"] != NOTHING else None
        if tip == NOTHING and before is not None:
            raise _rewritten()
        commit = _clone(git, branch, before) if tip != NOTHING else _begin(git)
        _check_out(git, commit, self._tree, self._reporter)
        if reset:
            self._note.unlink(missing_ok=True)
            volume.notes.forget()
            volume.data.clear()
            self._entries, self._whole, note = {}, False, {}
        self._place(commit, note, url)
        return commit.result(f"changed here, and left as they are: {named(self._kept)}" if self._kept else "")

    def _unchanged(self, note: Mapping[str, Any], why: str = "") -> Result:
        facts = {"version": note["commit"], "bytes": note["bytes"], "files": len(self._entries)}
        return Result(message=why, facts=facts)

    def _left_to_its_user(self, note: Mapping[str, Any]) -> bool:
        here = self._volume.root / "data/.git"
        return os.path.lexists(here) and _stamp_of(here) not in note.get("dotgit", [])

    def _place(self, commit: Commit, note: Mapping[str, Any], url: str) -> None:
        """Make ``data/`` what the commit is, but for what was changed here."""
        new = _stamp_of(self._tree / ".git")
        known = [each for each in note.get("dotgit", []) if each] + ([new] if new else [])
        noted = {"url": url, "commit": commit.id, "made_at": commit.made_at, "bytes": commit.size_bytes}
        noted["writable"] = self._writable or bool(note.get("writable"))
        old_links = [*note.get("old_links", []), *note.get("links", {}).items()]
        passing = {"links": commit.links, "old_links": old_links, "dotgit": known, "settled": False}
        self._save_note({**note, **noted, **passing})
        for path, target in old_links:
            if commit.links.get(path) != target:
                self._data.remove_link(path, target)
        progress = self._reporter.progress
        plan = decide_pull(self._entries, self._data.walk(), commit.files, self._same)
        self._kept = set(plan.keep)
        whole = {path: stamp for path in plan.fetch if (stamp := self._volume.staging.look(path)) is not None}
        progress.total = len(plan.fetch) + len(plan.remove) + len(plan.keep)
        progress.total_bytes = progress.transferred_bytes = sum(each.size for each, _ in plan.fetch.values())
        staged = Staged(whole=whole)
        self._bring_in(plan, staged)
        self._remove(plan)
        for path in plan.forget:
            del self._entries[path]
        self._entries.update(plan.adopt)
        for path, target in commit.links.items():
            was_there = bool(note.get("settled")) and note["links"].get(path) == target
            if not self._data.place_link(path, target, known=was_there):
                self._kept.add(path)
        if not self._place_dotgit(note):
            self._kept.add(".git")
        progress.skipped = len(self._kept) + len(commit.left_out)
        progress.processed = progress.total
        if staged.failed:
            self._remember(whole=self._whole)
            raise Fault(Code.INCOMPLETE, f"cannot bring in {len(staged.failed)} files: {named(staged.failed)}")
        self._remember(whole=True)
        self._save_note({**noted, "links": commit.links, "dotgit": [new], "settled": True})

    def _place_dotgit(self, note: Mapping[str, Any]) -> bool:
        """Put the clone's ``.git`` in the place of one that nobody changed; False when somebody did, or removed it."""
        here, there = self._volume.root / "data/.git", self._tree / ".git"
        known = note.get("dotgit", [])
        if os.path.lexists(here):
            if _stamp_of(here) not in known:
                return False
            here.rename(self._tree / ".git-before")
        elif known and note.get("settled"):
            return False
        there.rename(here)
        return True

    def _same(self, path: str, version: Seen) -> bool:
        try:
            here, _ = self._data.digest(path, "sha256")
            there, _ = self._volume.staging.digest(path, "sha256")
        except OSError:
            return False
        return here == there and version.size >= 0

    def _load_note(self) -> dict[str, Any]:
        with suppress(FileNotFoundError, ValueError):
            return cast(dict[str, Any], json.loads(self._note.read_bytes()))
        return {}

    def _save_note(self, note: Mapping[str, Any]) -> None:
        place_durably(self._note, json.dumps(note).encode())


class _Data(Tree):
    """``data/``, with links. A link is known by where it leads."""

    def place_link(self, path: str, target: str, *, known: bool) -> bool:
        """Have that link there; False when something else is, or somebody removed it."""
        try:
            folder, name = self._folder(path, create=True)
            with suppress(OSError):
                return os.readlink(name, dir_fd=folder) == target
            if known:
                return False
            os.symlink(target, name, dir_fd=folder)
        except OSError:
            return False
        return True

    def remove_link(self, path: str, target: str) -> None:
        """Remove a link if it still leads there."""
        with suppress(OSError):
            folder, name = self._folder(path)
            if os.readlink(name, dir_fd=folder) == target:
                self.remove(path)
                self.prune(path)


def _begin(git: Git) -> Commit:
    """A repository without a commit, whose first one its user makes and pushes."""
    git.run("init", "--quiet", "--template=")
    git.run("config", "remote.origin.url", git.url())
    git.run("config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*")
    return Commit(id=NOTHING, made_at=0)


def _clone(git: Git, branch: str, before: Mapping[str, Any] | None) -> Commit:
    """Fetch a branch: of its history the last commit, or all since ``before``, which must be in it."""
    name = branch.removeprefix("refs/heads/")
    tracked = f"refs/remotes/origin/{name}"
    git.run("init", "--quiet", "--template=")
    git.run("config", "remote.origin.url", git.url())
    if name != "HEAD":
        git.run("config", "remote.origin.fetch", f"+{branch}:{tracked}")
        git.run("config", f"branch.{name}.remote", "origin")
        git.run("config", f"branch.{name}.merge", branch)
    depth = "--depth=1" if before is None else f"--shallow-since={max(0, before['made_at'] - CLOCKS_DIFFER_S)}"
    try:
        git.fetch(depth, "origin", f"+{branch}:{tracked}")
    except NothingSince as fault:
        raise _rewritten() from fault
    if (
        before is not None
        and git.run("merge-base", "--is-ancestor", before["commit"], tracked, accepted=(0, 1, 128)).status
    ):
        raise _rewritten()
    said = git.run("log", "-1", "--format=%H %ct", tracked).output.split()
    commit = Commit(id=said[0].decode(), made_at=int(said[1]))
    if name == "HEAD":
        git.run("update-ref", "--no-deref", "HEAD", commit.id)
    else:
        git.run("symbolic-ref", "HEAD", branch)
        git.run("update-ref", branch, commit.id)
    return commit


def _rewritten() -> Fault:
    return Fault(
        Code.NOT_FAST_FORWARD,
        "cannot bring the repository up to date: its history was rewritten; nothing was changed here",
    )


def _check_out(git: Git, commit: Commit, tree: Path, reporter: Reporter) -> None:
    """Look at what a commit holds, then lay it out in the staging folder, less what is not to be there."""
    if commit.id == NOTHING:
        return
    unsafe: list[str] = []
    maybe_links: list[str] = []

    left = MAX_FILES, git.max_bytes

    def take(line: bytes) -> None:
        nonlocal left
        about, _, quoted = line.partition(b"\t")
        mode, _, thing, size = about.decode().split()
        path = os.fsdecode(_unquoted(quoted))
        left = left[0] - 1, None if left[1] is None else left[1] - (int(size) if size.isdigit() else 0)
        if left[0] < 0 or (left[1] is not None and left[1] < 0):
            raise Fault(Code.TOO_LARGE, TOO_LARGE)
        if mode in FILES:
            commit.files[path] = Seen(int(size), 0, f"{thing}:{mode}")
        elif mode == LINK:
            maybe_links.append(path)
        else:
            commit.left_out.append(path)

    git.run("ls-tree", "-r", "-l", commit.id, lines=take)
    progress = reporter.progress
    progress.total, progress.total_bytes = len(commit.files), commit.size_bytes
    with Tree(tree) as staging:
        require_room(staging, commit.size_bytes)
    git.run("read-tree", "-u", "--reset", commit.id)
    for path in maybe_links:
        target = str((tree / path).readlink())
        if stays_below(target, path.count("/")):
            commit.links[path] = target
        else:
            unsafe.append(path)
            (tree / path).unlink()
    commit.left_out += unsafe
    commit.pointers += _pointers(commit, tree)


def _pointers(commit: Commit, tree: Path) -> list[str]:
    """The files that Git LFS left a pointer of. There are none but where attributes name its filter."""
    attributes = [path for path in commit.files if path.rpartition("/")[2] == ".gitattributes"]
    if not any(b"filter=lfs" in (tree / path).read_bytes() for path in attributes):
        return []
    small = [path for path, each in commit.files.items() if len(POINTER) <= each.size <= LARGEST_POINTER]
    return [path for path in small if (tree / path).read_bytes().startswith(POINTER)]


def _unquoted(path: bytes) -> bytes:
    """A path as git prints it: as it is, or in quotation marks with what C and Python alike escape."""
    return ast.literal_eval("b" + path.decode("ascii")) if path.startswith(b'"') else path


def _stamp_of(dotgit: Path) -> str:
    """What is seen of a ``.git`` without reading it. The index does not count: ``git status`` writes it."""
    try:
        with Tree(dotgit) as tree:
            walk = tree.walk()
    except OSError:
        return ""
    rows = [[path, *stamp] for path, stamp in sorted(walk.files.items()) if path != "index"]
    return hashlib.sha256(json.dumps([rows, sorted(walk.others), sorted(walk.opaque)]).encode()).hexdigest()
