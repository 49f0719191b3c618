# SPDX-License-Identifier: Apache-2.0
"""What a remote cannot have: names, for which others are found, and what is no file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Self

from notebookd.mover.manifest import Seen
from notebookd.mover.names import conflict_name, folders_of, remote_name, spelled
from notebookd.mover.report import named, shown
from notebookd.mover.tree import Walk


@dataclass(frozen=True, slots=True)
class Ground:
    """A remote as a listing has it. ``buckets``: it has no folders, so that nothing is in the way of anything."""

    files: Mapping[str, Seen] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()
    buckets: bool = True

    @classmethod
    def of(cls, files: Mapping[str, Seen], *, buckets: bool) -> Self:
        """The ground of a listing."""
        return cls(files, frozenset(folder for path in files for folder in folders_of(path)), buckets)

    def obstacle(self, path: str) -> str:
        """Why the remote can have no file of that name now; empty when it can."""
        if remote_name(path) is None:
            return "its name is no UTF-8"
        if self.buckets:
            return ""
        if path in self.folders:
            return "a folder has its name at the remote"
        above = self._file_above(path)
        return f"{shown(above)}, the folder that it is in, is a file at the remote" if above else ""

    def is_nameless(self, path: str) -> bool:
        """Whether the remote can have no file of that name now."""
        return bool(self.obstacle(path))

    def another_name(self, path: str, mark: str) -> str:
        """What a file goes up as whose own name the remote cannot have."""
        name = spelled(path)
        above = None if self.buckets else self._file_above(name)
        return conflict_name(name, mark) if above is None else conflict_name(above, mark) + name[len(above) :]

    def _file_above(self, path: str) -> str | None:
        return next((folder for folder in folders_of(path) if folder in self.files), None)


def lost_words(here: Walk) -> Iterator[str]:
    """What of a volume no remote has: said while it is still here."""
    if here.others:
        yield f"{len(here.others)} links and other things that are no files stay here: {named(sorted(here.others))}"
    if empty := here.empty_folders():
        yield f"{len(empty)} folders with no file in them stay here: {named(empty)}"
    if here.executable:
        yield f"{len(here.executable)} files are not executable there: {named(sorted(here.executable))}"
