# SPDX-License-Identifier: Apache-2.0
"""Histories of edits against a model: no edit is ever lost.

People write, append, cut and save files, set the old time back, rename, link and delete; others write at the remote;
the mover is killed between any two operations, and the machine crashes. A crash keeps, cuts, fills with zeros or rolls
back whatever was not on the disk by then: each name by itself, which no real filesystem does worse.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, currently_in_test_context, given, note, settings
from hypothesis import strategies as st

from notebookd.mover.report import Result
from tests.mover.lab import files_of, place
from tests.mover.world import MEMORY, NAMES, Step, World

Disk = dict[str, tuple[bytes, int]]
"""By name a file's content and time, as they are on the disk."""


class _Synced:
    note: Callable[[], None] | None = None


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event == "ctypes.dlsym" and args[1] == "syncfs" and _Synced.note is not None:
        _Synced.note()


sys.addaudithook(_hook)


class CrashingWorld(World):
    """A world whose machine crashes, and whose people use a shell."""

    def __init__(self, folder: Path, *, whole: bool, digest: str, renames_over: bool) -> None:
        super().__init__(folder, whole=whole, digest=digest, renames_over=renames_over)
        self.disk: Disk = {}
        self.whole_inodes: dict[int, bytes] = {}
        self.born: dict[bytes, int] = {}
        self.mine: set[bytes] = set()
        self.removed: set[str] = set()
        self.rolled_back: dict[str, bytes] = {}
        self.emptied: dict[str, bytes] = {}
        self.boots = 0
        self._boot()

    def _boot(self) -> None:
        self.boots += 1
        (self.job / "boot").write_text(str(self.boots))

    def content(self) -> bytes:
        return self._made(super().content())

    def _made(self, content: bytes) -> bytes:
        self.written.add(content)
        self.born.setdefault(content, self.number)
        return content

    def take(self, step: Step) -> None:
        kind, name, number = step
        path = self.volume / "data" / name
        if kind == "sync":
            self.sync()
        elif kind == "crash":
            self.crash(number or 0)
        elif kind in {"rename", "link"}:
            other = self.volume / "data" / NAMES[(number or 0) % len(NAMES)]
            self._move(path, other, os.rename if kind == "rename" else os.link)
        elif kind in {"append", "twin", "cut", "empty"}:
            self._edit_under_old_time(kind, path)
        else:
            super().take(step)
        if kind in {"write", "save", "append", "twin", "cut", "empty"} and path.exists():
            self.mine.add(path.read_bytes())
        if not kind.startswith(("pull", "push", "others", "crash")):
            self.rolled_back.clear()
            self.emptied.pop(name, None)
            if kind in {"rename", "link"}:
                self.emptied.clear()
        if kind in {"remove", "rename"} and not path.exists():
            self.removed.add(name)
        self.note()

    def _move(self, path: Path, other: Path, how: Callable[[Path, Path], None]) -> None:
        if path.exists() and path != other and (how is os.rename or not other.exists()):
            other.parent.mkdir(parents=True, exist_ok=True)
            how(path, other)

    def _edit_under_old_time(self, kind: str, path: Path) -> None:
        if not path.exists():
            return
        before, status = path.read_bytes(), path.stat()
        self.number += 1
        tag = f"{self.number}:".encode()
        if kind == "append":
            after = before + b"+" + tag
        elif kind == "twin":
            after = (tag + b"y" * len(before))[: len(before)] if len(before) > len(tag) else before
        else:
            after = before[: len(before) // 2] if kind == "cut" and len(before) > 8 else b""
        with path.open("r+b") as file:
            file.write(self._made(after))
            file.truncate()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    def note(self) -> None:
        super().note()
        self.removed -= self.here.keys()

    def pull(self, death: int | None = None) -> Result | None:
        _Synced.note = self.sync
        try:
            return super().pull(death)
        finally:
            _Synced.note = None

    def push(self, permission: str, death: int | None = None) -> Result | None:
        before = self.there
        _Synced.note = self.sync
        try:
            return super().push(permission, death)
        finally:
            _Synced.note = None
            self._judge_push(before, death)

    def _judge_push(self, before: dict[str, bytes], death: int | None) -> None:
        after = self.there
        for name, content in before.items():
            now = after.get(name)
            if now is None and name not in self.lost_for_a_moment(death, name):
                assert name in self.removed, "what nobody here deleted was deleted at the remote"
            if now is not None and now != content and self.emptied.get(name) == now:
                assert not content.strip(b"\0"), "what a crash left of a file went over the version that was there"
            if now is not None and now != content and self.rolled_back.get(name) == now and content in self.born:
                newer = content in self.mine and self.born[content] > self.born.get(now, 0)
                assert not newer, "what a crash rolled back went over the edit that was pushed before it"

    def sync(self) -> None:
        """All is on the disk now, as ``sync`` or time have it."""
        self.disk = {name: self._file(self.volume / "data" / name) for name in self.here}
        self.whole_inodes = {
            path.stat().st_ino: path.read_bytes()
            for folder in ("data", "staging")
            for path in (self.volume / folder).rglob("*")
            if path.is_file()
        }

    @staticmethod
    def _file(path: Path) -> tuple[bytes, int]:
        return path.read_bytes(), path.stat().st_mtime_ns

    def crash(self, seed: int) -> None:
        """Pull the plug, and boot."""
        chance = random.Random(seed)
        data, staging = self.volume / "data", self.volume / "staging"
        for folder in (data, staging):
            for name in sorted(files_of(folder)):
                self._tear(folder / name, chance)
        if data.exists():
            for name in sorted(self.disk.keys() | self.here.keys()):
                self._roll_back(data / name, name, chance)
        self._boot()
        self.sync()

    def _tear(self, path: Path, chance: random.Random) -> None:
        content, time_ns = self._file(path)
        if self.whole_inodes.get(path.stat().st_ino) == content or chance.random() < 0.4:
            return
        torn = chance.choice([content[: len(content) // 2], b"\0" * len(content), b""])
        if content in self.mine:
            self.mine.add(self._made(torn))
            if not torn.strip(b"\0") and path.is_relative_to(self.volume / "data"):
                self.emptied[str(path.relative_to(self.volume / "data"))] = torn
        path.write_bytes(torn)
        os.utime(path, ns=(0, time_ns))

    def _roll_back(self, path: Path, name: str, chance: random.Random) -> None:
        kept = self.disk.get(name)
        if chance.random() < 0.5 or (path.exists() and kept == self._file(path)):
            return
        if kept is None:
            path.unlink()
        else:
            path.unlink(missing_ok=True)
            place(self.volume / "data", name, kept[0])
            os.utime(path, ns=(0, kept[1]))
            self.rolled_back[name] = kept[0]


names = st.sampled_from(NAMES)
numbers = st.integers(0, 60)
edits = st.sampled_from(["write", "save", "append", "twin", "cut", "empty", "remove", "sync"])
steps = st.lists(
    st.one_of(
        st.tuples(edits, names, st.none()),
        st.tuples(st.sampled_from(["rename", "link"]), names, numbers),
        st.tuples(st.sampled_from(["others write", "others remove"]), names, st.none()),
        st.tuples(st.sampled_from(["pull", "push RW", "push RWD"]), st.just(""), st.one_of(st.none(), numbers)),
        st.tuples(st.just("crash"), st.just(""), st.integers(0, 10**6)),
    ),
    max_size=18,
)
remotes = st.sampled_from([(True, "md5", True), (True, "", True), (False, "", True), (False, "md5", True)])


def run(sequence: list[Step], remote: tuple[bool, str, bool]) -> None:
    whole, digest, renames_over = remote
    if currently_in_test_context():
        note(f"{sequence} {remote}")
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        world = CrashingWorld(Path(folder), whole=whole, digest=digest, renames_over=renames_over)
        for name in NAMES[:3]:
            world.take(("others write", name, None))
        world.take(("pull", "", None))
        for each in sequence:
            world.take(each)
        world.converge()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sequence=steps, remote=remotes)
def test_no_edit_is_lost(sequence: list[Step], remote: tuple[bool, str, bool]) -> None:
    run(sequence, remote)


@pytest.mark.long
@pytest.mark.timeout(1200)
@settings(max_examples=1000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sequence=steps, remote=remotes)
def test_no_edit_is_lost_for_long(sequence: list[Step], remote: tuple[bool, str, bool]) -> None:
    run(sequence, remote)


@pytest.mark.parametrize("edit", ["append", "twin", "cut", "empty"])
@pytest.mark.parametrize("last", [("push RWD", "", None), ("pull", "", None), ("crash", "", 7)])
def test_an_edit_under_the_old_time_stays_here_and_goes_up(edit: str, last: Step) -> None:
    run([(edit, "a", None), ("sync", "", None), last, ("others write", "b.txt", None)], (False, "", True))


@pytest.mark.parametrize("death", range(40))
def test_a_crash_within_a_pull_cuts_nothing(death: int) -> None:
    others: list[Step] = [("others write", name, None) for name in NAMES]
    for seed in range(5):
        run([*others, ("others remove", "b.txt", None), ("pull", "", death), ("crash", "", seed)], (True, "md5", True))


@pytest.mark.parametrize("seed", range(10))
def test_a_crash_after_a_push_rolls_nothing_back_over_it(seed: int) -> None:
    edit: list[Step] = [("save", "a", None), ("write", "b.txt", None)]
    run([*edit, ("push RWD", "", None), ("crash", "", seed), ("push RWD", "", None)], (True, "md5", True))
