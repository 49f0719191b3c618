# SPDX-License-Identifier: Apache-2.0
"""What the daemon said a moment ago, for completion: a TAB has to be quick.

There is a file for each question to each daemon as each actor, in a folder of the caller's own. A cache that cannot be
read or written is none.
"""

from __future__ import annotations

import json
import os
import time
from binascii import crc32
from contextlib import suppress
from pathlib import Path

__all__ = ["Known", "file_of", "forget", "keep", "kept"]

Known = list[list[str]]
"""Rows of words, the first of which is offered, and the second, where there is one, says more."""


def file_of(name: str, address: str) -> Path | None:
    """Where the answer to the question of that name is kept; None where nothing can be."""
    folder = _folder(make=True)
    actor = f"{address}\0{os.environ.get('NOTEBOOKD_TOKEN', '')}"
    return folder and folder / f"{name}-{crc32(actor.encode(errors='replace')):08x}.json"


def kept(file: Path | None, at_most_s: float) -> Known | None:
    """What was kept, unless it is older than that."""
    if file is None:
        return None
    with suppress(OSError, ValueError):
        if 0 <= time.time() - file.stat().st_mtime < at_most_s:  # noqa: TID251 - a file's times are the system's
            rows = json.loads(file.read_bytes())
            if isinstance(rows, list) and all(isinstance(row, list) and row for row in rows):
                return [[str(word) for word in row] for row in rows]
    return None


def keep(file: Path | None, rows: Known) -> None:
    """Keep an answer."""
    if file is None:
        return
    half = file.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        half.touch(mode=0o600, exist_ok=False)
        half.write_text(json.dumps(rows))
        half.replace(file)


def forget() -> None:
    """Forget all: something was changed."""
    folder = _folder(make=False)
    with suppress(OSError):
        for file in folder.iterdir() if folder else ():
            file.unlink()


def _folder(*, make: bool) -> Path | None:
    """The folder; None where there is none, or where the caller's cache is not theirs, as under sudo."""
    with suppress(OSError, RuntimeError):  # nobody's home is known
        base = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        folder = base / "notebookctl"
        if make and base.parent.stat().st_uid == os.geteuid():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.lstat().st_uid == os.geteuid():
            return folder
    return None
