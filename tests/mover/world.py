# SPDX-License-Identifier: Apache-2.0
"""A volume, a remote that is a folder, people who edit at both ends, and what must hold after each of their steps."""

from __future__ import annotations

from pathlib import Path

from notebookd.mover.job import Job, Places
from notebookd.mover.pull import pull_volume
from notebookd.mover.push import push_volume
from notebookd.mover.report import Reporter, Result
from tests.mover.folder_rclone import FolderRclone, dying_after
from tests.mover.lab import NOTEBOOK, files_of, place

NAMES = ("a", "b.txt", "d/c", "d/e/f")
MEMORY = Path("/dev/shm")

Step = tuple[str, str, int | None]


class World:
    """A volume, a remote, and what was ever in either."""

    def __init__(self, folder: Path, *, whole: bool, digest: str, renames_over: bool) -> None:
        self.remote, self.volume, self.job = folder / "remote", folder / "volume", folder / "job"
        for each in (self.remote, self.volume, self.job):
            each.mkdir()
        (self.job / "boot").write_text("first")
        self.rclone = FolderRclone(self.remote, whole=whole, digest=digest, renames_over=renames_over)
        self.written: set[bytes] = set()
        self.had_here: set[tuple[str, bytes]] = set()
        self.had_there: set[bytes] = set()
        self.number = 0

    @property
    def here(self) -> dict[str, bytes]:
        return files_of(self.volume / "data")

    @property
    def there(self) -> dict[str, bytes]:
        found = files_of(self.remote)
        return {name: content for name, content in found.items() if not name.startswith(".notebookd-")}

    def content(self) -> bytes:
        """Never the same twice, nor of the same size."""
        self.number += 1
        made = f"{self.number}:".encode() + b"x" * self.number
        self.written.add(made)
        return made

    def take(self, step: Step) -> None:
        kind, name, death = step
        data = self.volume / "data"
        if kind == "others write":
            place(self.remote, name, self.content())
        elif kind == "others remove":
            (self.remote / name).unlink(missing_ok=True)
        elif kind == "write" and data.exists():
            place(data, name, self.content())
        elif kind == "save" and data.exists():
            place(data, name + ".new", self.content())
            (data / (name + ".new")).rename(data / name)
        elif kind == "remove":
            (data / name).unlink(missing_ok=True)
        elif kind == "pull":
            self.pull(death)
        elif kind.startswith("push"):
            self.push(kind.removeprefix("push "), death)
        self.note()

    def note(self) -> None:
        here, there = self.here, self.there
        assert set(here.values()) <= self.written, "a file is here in part"
        assert set(there.values()) <= self.written, "a file is there in part"
        self.had_here |= set(here.items())
        self.had_there |= set(there.values())

    def pull(self, death: int | None = None) -> Result | None:
        self.note()
        before, result = self.here, None
        with dying_after(death):
            result = pull_volume(self._job(), self.rclone, Reporter(self.job))
        after = self.here
        for name, content in before.items():
            assert after.get(name) == content or content in self.had_there, "an edit that was nowhere else is gone"
        return result

    def push(self, permission: str, death: int | None = None) -> Result | None:
        if not (self.volume / "manifest.json").exists():
            return None
        self.note()
        here, before, result = self.here, self.there, None
        with dying_after(death):
            result = push_volume(self._job(permission), self.rclone, Reporter(self.job))
        after = self.there
        assert self.here == here, "a push changes nothing here"
        for name, content in before.items():
            if name not in after and name not in self.lost_for_a_moment(death, name):
                assert permission == "RWD", "RW deleted something"
                assert name not in here, "something was deleted that is still here"
            if after.get(name) != content:
                assert (name, content) in self.had_here, "another's version is gone that nobody here ever saw"
        return result

    def lost_for_a_moment(self, death: int | None, name: str) -> set[str]:
        """A remote that cannot rename over a file has it in its temporary folder alone for a moment."""
        aside = {str(each.relative_to(self.remote)) for each in self.remote.glob(f".notebookd-*/{name}")}
        return {name} if death is not None and not self.rclone._renames_over and aside else set()

    def converge(self) -> None:
        self.push("RW")
        for _ in range(2):
            self.pull()
            assert self.push("RW") is not None
        self.note()
        here, there = self.here, self.there
        for name, content in here.items():
            assert there.get(name) == content, f"{name} is not the same at both ends"
        assert set(there) - set(here) <= set(NAMES), "only what was deleted here is there alone"
        assert not list(self.remote.glob(".notebookd-*")), "temporary files were left"
        assert not (self.volume / "outgoing.json").exists()
        progress = Reporter(self.job)
        push_volume(self._job("RW"), self.rclone, progress)
        pull_volume(self._job(), self.rclone, progress)
        assert (progress.progress.completed, progress.progress.deleted) == (0, 0), "at rest nothing is left to do"
        assert self.here == here

    def _job(self, permission: str = "RW") -> Job:
        fields = {"permission": permission, "notebook": NOTEBOOK}
        places = Places(volume=self.volume, job=self.job, scratch=self.job, boot=self.job / "boot")
        self.number += 1
        return Job(task="", fields=fields, places=places, stamp=f"20260101T{self.number:06}")
