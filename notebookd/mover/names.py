# SPDX-License-Identifier: Apache-2.0
"""Names of files, as a local disk has them and as rclone writes them.

rclone speaks of every remote in one alphabet: control characters stand as their pictures (a newline is ``␊``), and a
picture that was there before is quoted (with U+201B). So no name has a newline in a listing or a list of files. A
local name that is no UTF-8, or that this quoting could not be undone for, has no such name at all.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TypeVar

T = TypeVar("T")

TEMPORARY = re.compile(r"\.notebookd-[0-9a-f]{8}\.part")
"""Folders at a remote that a push fills before it renames. Nobody's data."""

MARKER = ".workspace.initialized"
"""In a workspace: what tells it from an empty folder where a disk is not mounted. Each has its own."""

LONGEST_NAME = 255

_QUOTE = "\u201b"
_CONTROL = re.compile("[\x01-\x1f\x7f]")
_PICTURE = re.compile("[␀-␟␡]")
_PICTURED = re.compile(f"{_QUOTE}([␀-␟␡])|([␀-␟␡])")
_RUN = re.compile(f"{_QUOTE}+")
_WILD = frozenset("*?[")


def remote_name(path: str) -> str | None:
    """The path at the remote of a local path (bytes as surrogates); None when it cannot have one."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return None
    if _QUOTE in path and any(len(run) % 2 for run in _RUN.findall(path)):
        return None
    quoted = _PICTURE.sub(lambda found: _QUOTE + found[0], path)
    return _CONTROL.sub(lambda found: "␡" if found[0] == "\x7f" else chr(0x2400 + ord(found[0])), quoted)


def local_name(name: str) -> str | None:
    """The local path of a path at the remote; None when it is no path below a folder, or no disk can have it."""
    path = _PICTURED.sub(_unpictured, name) if _PICTURE.search(name) else name
    for part in path.split("/"):
        if part in {"", ".", ".."} or "\0" in part or len(part.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
            return None
    return path if remote_name(path) == name else None


def _unpictured(found: re.Match[str]) -> str:
    if found[1]:
        return found[1]
    return "\x7f" if found[2] == "␡" else chr(ord(found[2]) - 0x2400)


def folders_of(path: str) -> Iterator[str]:
    """Every folder above a path."""
    while path := path.rpartition("/")[0]:
        yield path


def take_folders(files: dict[str, T]) -> list[str]:
    """Take out of ``files`` whatever is a folder, too, which a bucket can have and a disk cannot; returns the names."""
    folders = {folder for path in files for folder in folders_of(path)}
    both = sorted(folders & files.keys())
    for path in both:
        del files[path]
    return both


def is_temporary(path: str) -> bool:
    """Whether some part of the path is a push's temporary folder."""
    return ".notebookd-" in path and any(TEMPORARY.fullmatch(part) for part in path.split("/"))


def conflict_name(path: str, mark: str) -> str:
    """The name beside ``path`` under which a version that would have overwritten another's goes."""
    pure = PurePosixPath(path)
    ending = f".conflict-{mark}{pure.suffix}"[-LONGEST_NAME:]
    stem = pure.stem.encode("utf-8", "surrogateescape")[: LONGEST_NAME - len(ending.encode("utf-8", "surrogateescape"))]
    return str(pure.with_name(stem.decode("utf-8", "ignore") + ending))


def spelled(path: str) -> str:
    """The path in letters that any remote has: what :func:`remote_name` has no name for is escaped."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace").replace(_QUOTE, "\\u201b")


def matches_any(path: str, patterns: Sequence[str]) -> bool:
    """Whether a part of the path is one of those names, which may have a shell's wildcards."""
    for pattern in patterns:
        if _WILD.isdisjoint(pattern):
            if f"/{pattern}/" in f"/{path}/":  # the usual case, of each of a million files
                return True
        elif any(fnmatchcase(part, pattern) for part in path.split("/")):
            return True
    return False
