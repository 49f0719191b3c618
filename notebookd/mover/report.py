# SPDX-License-Identifier: Apache-2.0
"""What a mover says: how far it is, and how it ended."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path

PROGRESS_EVERY_S = 0.25
LONGEST_MESSAGE = 1000


class Code(StrEnum):
    """How a task ended, as the daemon's info codes have it."""

    DONE = "DATASYNC_DONE"
    SOURCE_NOT_FOUND = "DATASYNC_SOURCE_NOT_FOUND"
    ACCESS_DENIED = "DATASYNC_ACCESS_DENIED"
    UNREACHABLE = "DATASYNC_UNREACHABLE"
    REMOTE_FULL = "DATASYNC_REMOTE_FULL"
    DISK_FULL = "DATASYNC_DISK_FULL"
    CHANGED = "DATASYNC_CHANGED"
    INCOMPLETE = "DATASYNC_INCOMPLETE"
    CONFLICT = "DATASYNC_CONFLICT"
    TOO_LARGE = "DATASYNC_TOO_LARGE"
    TIMEOUT = "DATASYNC_TIMEOUT"
    INVALID_SOURCE = "DATASYNC_INVALID_SOURCE"
    NOT_FAST_FORWARD = "DATASYNC_NOT_FAST_FORWARD"
    DAMAGED = "DATASYNC_DAMAGED"
    ERROR = "DATASYNC_ERROR"


class Fault(Exception):
    """A task cannot be done. The message is for people and holds no credentials (it is scrubbed once more)."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Interrupted(BaseException):
    """SIGTERM came: nobody waits for the task any more."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far a task is, in files but for the bytes; as the domain's Progress. ``total`` 0 is not known yet."""

    total: int = 0
    total_bytes: int = 0
    processed: int = 0
    completed: int = 0
    deleted: int = 0
    skipped: int = 0
    failed: int = 0
    transferred_bytes: int = 0

    def wire(self) -> dict[str, int]:
        """As it stands in the files."""
        said: dict[str, int] = asdict(self)
        said["totalBytes"] = said.pop("total_bytes")
        said["transferredBytes"] = said.pop("transferred_bytes")
        return said


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A task that was done. ``objects`` is of a listing alone."""

    message: str = ""
    facts: Mapping[str, str | int] = field(default_factory=dict)
    objects: Sequence[Mapping[str, object]] | None = None


class Reporter:
    """Writes ``progress.json`` and ``result.json`` into a folder, each replaced in one step.

    Change ``progress`` and call :meth:`tick` as often as it suits: the file is written at most four times a second.
    """

    def __init__(self, folder: Path, secrets: Sequence[str] = ()) -> None:
        self._folder = folder
        self._secrets = secrets
        self._written_at = -1.0
        self.progress = Progress()

    def tick(self) -> None:
        """Write the progress if the last time is long enough ago."""
        now = time.monotonic()
        if self._written_at < 0 or now - self._written_at >= PROGRESS_EVERY_S:
            self._written_at = now
            self._place("progress.json", self.progress.wire())

    def done(self, result: Result) -> None:
        """Say that the task was done."""
        self._end(ok=True, code=Code.DONE, message=result.message, facts=result.facts, objects=result.objects)

    def failed(self, fault: Fault, facts: Mapping[str, str | int] | None = None) -> None:
        """Say that it was not."""
        self._end(ok=False, code=fault.code, message=fault.message, facts=facts or {}, objects=None)

    def _end(
        self,
        *,
        ok: bool,
        code: Code,
        message: str,
        facts: Mapping[str, str | int],
        objects: Sequence[Mapping[str, object]] | None,
    ) -> None:
        for secret in self._secrets:
            message = message.replace(secret, "***")
        said: dict[str, object] = {"ok": ok, "code": str(code), "message": scrub(message)[:LONGEST_MESSAGE]}
        said |= {"progress": self.progress.wire(), "facts": dict(facts)}
        if objects is not None:
            said["objects"] = list(objects)
        self._place("progress.json", self.progress.wire())
        self._place("result.json", said)

    def _place(self, name: str, said: Mapping[str, object]) -> None:
        draft = self._folder / f".{name}.draft"
        draft.write_bytes(json.dumps(said).encode())
        draft.replace(self._folder / name)


def secrets_in(folder: Path) -> list[str]:
    """Words of a mover's credentials, which no message may hold."""
    words: set[str] = set()
    for path in folder.glob("*"):
        for line in path.read_text(errors="replace").splitlines():
            name, equals, value = line.partition("=")
            if not equals and path.suffix != ".conf":
                words.add(line.strip())
            elif _SECRET.search(name):
                words.add(value.strip())
    return [word for word in words if len(word) >= SHORTEST_SECRET and word not in {"true", "false"}]


SHORTEST_SECRET = 4
_SECRET = re.compile(r"pass|secret|key|token|account|credential|sas|auth", re.IGNORECASE)
_LOGIN = re.compile(r"(?<=://)[^/\s@]*@")
_QUERY = re.compile(r"(?<=[^\s?])\?[^\s\"']*[=&%][^\s\"']*")
_NAMED = re.compile(
    r"(?i)(\b(?:authorization|bearer|basic|password|passwd|pass|secret|token|signature|credential|accesskeyid|"
    r"access_key_id|secret_access_key|awsaccesskeyid|x-amz-[a-z-]+|key)\b[\"']?\s*[:=]\s*[\"']?)(?:(?:bearer|basic)\s+)?[^\s,;&\"'<>]+"
)


def scrub(text: str) -> str:
    """``text`` without what may be a credential: logins and queries of URLs, values that are named like secrets."""
    return _NAMED.sub(r"\1***", _QUERY.sub("", _LOGIN.sub("", text)))


def named(paths: Iterable[str], most: int = 3) -> str:
    """The first few of some names, and how many more there are."""
    every = list(paths)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(map(shown, every[:most])) + more


def shown(path: bytes | str) -> str:
    """A name as a sentence may hold it: quoted, on one line, whatever bytes it is made of."""
    text = os.fsdecode(path)
    return repr(text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))


def readable_size(size_bytes: int) -> str:
    """A size for people, as :mod:`notebookd.units` writes it: ``80.0 GiB``."""
    value = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"
