# SPDX-License-Identifier: Apache-2.0
"""A mover's folder: what it is told and what it says.

What it says is not trusted: it talks to strangers' servers. It is read without following a link, up to a bound, and is
decoded strictly.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec

from notebookd import nofollow
from notebookd.adapters.movers.jobs import Job
from notebookd.domain.syncing import Progress, Report
from notebookd.ports.movers import StoredObject

JOB, SECRETS = "job", "secrets"
_RESULT_LIMIT = 16 * 1024 * 1024
_PROGRESS_LIMIT = 4096
_LONGEST_MESSAGE = 2000
_CODE = re.compile(r"DATASYNC_[A-Z_]{1,40}")
_FOLDER_MODE = 0o700
_UNREADABLE = "its mover said what cannot be read"

T = TypeVar("T")
Count = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class _Progress(msgspec.Struct, frozen=True, rename="camel"):
    total: Count = 0
    total_bytes: Count = 0
    processed: Count = 0
    completed: Count = 0
    deleted: Count = 0
    skipped: Count = 0
    failed: Count = 0
    transferred_bytes: Count = 0


class _Object(msgspec.Struct, frozen=True):
    path: str
    size: int = 0
    modified: str = ""
    folder: bool = False


class _Result(msgspec.Struct, frozen=True):
    ok: bool
    code: str = ""
    message: str = ""
    progress: _Progress = _Progress()
    facts: dict[str, str | int] = {}
    objects: list[_Object] = []


def begin(folder: Path, job: Job) -> None:
    """Make a mover's folder anew."""
    nofollow.remove_tree(folder.parent, folder.name)
    folder.mkdir(mode=_FOLDER_MODE)
    for name, files in ((JOB, {"job.json": msgspec.json.encode(job.told)}), (SECRETS, job.secrets)):
        (folder / name).mkdir(mode=_FOLDER_MODE)
        with nofollow.open_directory(folder, name) as fd:
            for file, content in files.items():
                nofollow.create_file(fd, file, content, mode=0o600)


def read_result(folder: Path) -> tuple[Report, list[StoredObject]] | None:
    """How a mover said that it ended, and for a listing what it found; None when it has not said so."""
    said = _read(folder, "result.json", _RESULT_LIMIT)
    if said is None:
        return None
    result = _decoded(said, _Result)
    if result is None:
        return Report(over=True, ok=False, code="DATASYNC_ERROR", message=_UNREADABLE), []
    report = Report(
        over=True,
        ok=result.ok,
        code=result.code if _CODE.fullmatch(result.code) else "DATASYNC_ERROR",
        message=_for_people(result.message),
        progress=_progress(result.progress),
        facts=result.facts,
    )
    return report, [
        StoredObject(path=each.path, size_bytes=each.size, modified_at=each.modified, is_folder=each.folder)
        for each in result.objects
    ]


def read_progress(folder: Path) -> Report:
    """How far a mover says that it is."""
    said = _read(folder, "progress.json", _PROGRESS_LIMIT)
    return Report(over=False, progress=_progress((said and _decoded(said, _Progress)) or _Progress()))


def _read(folder: Path, name: str, limit: int) -> bytes | None:
    try:
        with nofollow.open_directory(folder, JOB) as fd:
            return nofollow.read_file(fd, name, limit=limit)
    except FileNotFoundError:
        return None
    except nofollow.UnexpectedKind:
        return b""


def _decoded(said: bytes, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(said, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _progress(said: _Progress) -> Progress:
    return Progress(**msgspec.structs.asdict(said))


def _for_people(message: str) -> str:
    return "".join(each if each.isprintable() else " " for each in message[:_LONGEST_MESSAGE])
