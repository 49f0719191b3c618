# SPDX-License-Identifier: Apache-2.0
"""Fetching versions of files into a staging folder, over cuts and kills.

rclone gives a file the remote's time when all of it is there and checked; until then it has the time of writing. So a
staged file of the listed size and time is that version, whole, and is not fetched again. A version that changes
between listing and copy fails this test: the caller lists again.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from notebookd.mover.faults import Side, code_of
from notebookd.mover.manifest import Seen, Stamp, place_durably
from notebookd.mover.names import remote_name
from notebookd.mover.rclone import Outcome, Rclone
from notebookd.mover.report import Code, named, scrub
from notebookd.mover.tree import Tree
from notebookd.mover.volume import require_room

ROUNDS = 3
"""How often it is listed and fetched again when files change at the remote while they are copied."""


@dataclass(slots=True)
class Staged:
    """What a fetch left in the folder: whole files, and by path why others are not there."""

    whole: dict[str, Stamp] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def refuses_alone(self) -> bool:
        """Whether all that failed are files that the remote has and does not give."""
        return bool(self.failed) and all(map(is_refusal, self.failed.values()))

    def take_unnameable(self) -> list[str]:
        """Take out of the failed those whose name the remote has in bytes that rclone could not tell."""
        unnameable = [path for path in self.failed if "\ufffd" in path]
        for path in unnameable:
            del self.failed[path]
        return unnameable

    @property
    def code(self) -> Code:
        """What to call it that some are not there."""
        changed = all(code_of(words, Side.LOCAL) is Code.CHANGED for words in self.failed.values())
        return Code.CHANGED if changed else Code.INCOMPLETE


def sift(tree: Tree, wanted: Mapping[str, Seen], begun: Mapping[str, Seen]) -> dict[str, Stamp]:
    """The whole files of an earlier fetch of the same versions. Everything else in the folder is removed."""
    kept: dict[str, Stamp] = {}
    for path, stamp in tree.walk().files.items():
        if path in wanted and begun.get(path) == wanted[path] and is_whole(stamp, wanted[path]):
            kept[path] = stamp
        else:
            tree.remove(path)
    return kept


def same_boot(root: Path, boot: Path) -> bool:
    """Whether the machine has run on since this was last asked. If it has not, a file in the staging folder may have
    its size and time and yet not its content."""
    note, now = root / "boot", b""
    with suppress(OSError):
        now = boot.read_bytes()
        if now == note.read_bytes():
            return True
    place_durably(note, now)
    return False


def went_down_since(root: Path, boot: Path) -> bool:
    """Whether the machine was started anew since the last pull."""
    try:
        return (root / "boot").read_bytes() != boot.read_bytes()
    except OSError:
        return False


def is_whole(stamp: Stamp, version: Seen) -> bool:
    """Whether a staged file is all of that version."""
    return stamp.size == version.size and stamp.mtime_ns == version.mtime_ns


def fetch(rclone: Rclone, tree: Tree, folder: Path, wanted: Mapping[str, Seen], kept: Mapping[str, Stamp]) -> Staged:
    """Bring into ``folder`` what of ``wanted`` is not ``kept`` there. Faults that concern more than single files are
    raised; whatever is whole by then is found again by :func:`sift`, unless it filled the disk."""
    missing = [path for path in wanted if path not in kept]
    coming = sum(wanted[path].size for path in missing)
    require_room(tree, coming)
    outcome = rclone.fetch(missing, folder, coming) if missing else Outcome(status=0)
    found = tree.walk().files if missing else kept
    staged = Staged()
    for path, version in wanted.items():
        stamp = found.get(path)
        if stamp is not None and is_whole(stamp, version):
            staged.whole[path] = stamp
        else:
            staged.failed[path] = outcome.failures.get(remote_name(path) or "", CHANGED)
    if (
        staged.failed
        and (fault := outcome.fault(Side.LOCAL))
        and fault.code not in {Code.CHANGED, Code.SOURCE_NOT_FOUND}
        and not (fault.code is Code.ACCESS_DENIED and staged.refuses_alone())
    ):
        if fault.code is Code.DISK_FULL:
            tree.clear()
        raise fault
    return staged


def is_refusal(words: str) -> bool:
    """Whether a file failed because the remote does not give it, which says nothing of others."""
    here = code_of(words, Side.LOCAL) in {Code.UNREACHABLE, Code.DISK_FULL, Code.TIMEOUT}
    return "open source object" in words and not here


@dataclass(slots=True)
class Lost:
    """What is at the remote and does not come in: names that are no files on this disk, and what is not given."""

    names: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.names) + len(self.refused)

    def words(self) -> str:
        """What to say of it; empty when there is none."""
        said = []
        if self.names:
            said.append(f"{len(self.names)} names cannot be on this disk: {named(self.names, MOST_NAMED)}")
        if self.refused:
            why = scrub(" ".join(next(iter(self.refused.values())).split())[:200])
            said.append(f"{len(self.refused)} files cannot be read there: {named(self.refused, MOST_NAMED)}: {why}")
        return "; ".join(said)


MOST_NAMED = 10


CHANGED = "source file is being updated"
"""As rclone puts it: another version came between the listing and the copy."""
