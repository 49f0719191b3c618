# SPDX-License-Identifier: Apache-2.0
"""Runs restic on the one repository of a job, and says what its errors mean.

No cache (a mover's ``/tmp`` is memory), nothing from an environment or a home but what stands here. One mover at a
time works on a repository: whatever lock there is when one begins was left by a dead one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from notebookd.mover.child import Ended, handed_on, run_child
from notebookd.mover.faults import Side, code_of
from notebookd.mover.job import Job, Places
from notebookd.mover.report import Code, Fault

REMOTE = "rclone:"
KEPT_SAYINGS = 40
"""Of what restic complains about, the first and as many of the last lines are kept."""

Say = Callable[[object], None]


class RepositoryMissing(Fault):
    """There is no repository at that place, or one whose making was cut short."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Repository:
    """Where snapshots are kept: a folder of the host, or what rclone reaches (``remote:path``)."""

    location: str
    places: Places

    @classmethod
    def of(cls, job: Job) -> Repository:
        """The repository that a job names."""
        location = job.text("repository")
        if not location.startswith((REMOTE, "/")) or location == REMOTE:
            raise Fault(Code.INVALID_SOURCE, "cannot find the repository: neither a folder nor rclone:remote:path")
        return cls(location=location, places=job.places)

    @property
    def remote(self) -> str | None:
        """What rclone calls it, None of a folder."""
        return self.location.removeprefix(REMOTE) if self.location.startswith(REMOTE) else None

    @property
    def folder(self) -> Path:
        """Where a folder of the host is mounted."""
        return self.places.repository

    @property
    def rclone_config(self) -> Path:
        """The one remote's section and nothing else."""
        return self.places.secrets / "rclone.conf"

    def run(
        self, *words: str, on_said: Say | None = None, accepted: tuple[int, ...] = (0,), what: str = "use"
    ) -> tuple[Ended, list[str]]:
        """Run ``restic words``; what it says on its error output comes back, line by line.

        ``on_said`` is handed every line of JSON that it says. Raises Fault with what went wrong when the status is not
        among ``accepted``; ``what`` is the verb of that sentence.
        """
        complaints: list[str] = []
        ended = run_child(
            self._command(words),
            env=self._env(),
            on_stdout=_each_value(on_said) if on_said is not None else None,
            on_stderr=lambda line: _complain(complaints, line, on_said),
        )
        if ended.status not in accepted:
            raise fault_of(complaints, status=ended.status, is_remote=self.remote is not None, what=what)
        return ended, complaints

    def ask(self, *words: str, what: str = "read") -> object:
        """Run ``restic words`` and return the last JSON value that it said."""
        said: list[object] = []
        self.run(*words, "--json", on_said=said.append, what=what)
        return said[-1] if said else None

    def _command(self, words: tuple[str, ...]) -> list[str]:
        command = ["restic", "--no-cache", "--password-file", str(self.places.secrets / "restic-password")]
        if self.remote is not None:
            command += ["-o", "rclone.program=rclone"]
            command += ["-o", f"rclone.args=serve restic --stdio --b2-hard-delete --config {self.rclone_config}"]
            command += ["--repo", self.location]
        else:
            command += ["--repo", str(self.folder)]
        return [*command, *words]

    def _env(self) -> dict[str, str]:
        # Packs are put together in TMPDIR: on a disk, not in the memory that /tmp is.
        return handed_on() | {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.places.scratch),
            "TMPDIR": str(self.places.job),
            "LANG": "C.UTF-8",
            "RESTIC_PROGRESS_FPS": "4",
        }


def _each_value(on_said: Say) -> Callable[[bytes], None]:
    def take(line: bytes) -> None:
        try:
            said = json.loads(line)
        except ValueError:
            return
        on_said(said)

    return take


def _complain(complaints: list[str], line: bytes, on_said: Say | None) -> None:
    if on_said is not None and line.startswith(b"{"):
        _each_value(on_said)(line)
        return
    if text := line.decode("utf-8", "backslashreplace").strip():
        if len(complaints) >= 2 * KEPT_SAYINGS:
            del complaints[KEPT_SAYINGS]
        complaints.append(text)


_MISSING = re.compile(r"unable to open config file: .*(?:does not exist|no such file)|repository does not exist")
"""A store that refuses or is away has restic ask "Is there a repository?", too: that alone is no answer."""

_PASSWORD = re.compile(r"wrong password|no key found")
_NO_SNAPSHOT = re.compile(
    r"no matching ID|no snapshot found|invalid id|could not find snapshot|failed to find snapshot"
)
_DAMAGED = re.compile(
    r"(?i)ciphertext verification failed|invalid data returned|repository contains errors|does not match|wrong hash|"
    r"not found in (?:index|repository)|unable to load index|tree .* not found|slice bounds out of range"
)
_PERHAPS_DAMAGED = re.compile(
    r"(?i)does not exist|no such file|returned error|ReadFull\(|unexpected EOF|invalid character"
)
"""Said of damage, too, but also when the store is away or full."""

_CUT = "error talking HTTP to rclone"
"""All that is said when restic ends before it has passed on what its rclone said."""

_CAUSES = {
    Code.DISK_FULL: "the disk of this machine is full; free some space, or keep fewer snapshots",
    Code.REMOTE_FULL: "the store is full",
    Code.UNREACHABLE: "its store cannot be reached",
    Code.ACCESS_DENIED: "its store refuses",
    Code.SOURCE_NOT_FOUND: "there is no such store",
    Code.INVALID_SOURCE: "its store is configured wrongly",
    Code.DAMAGED: "it is damaged",
}


def fault_of(complaints: list[str], *, status: int, is_remote: bool, what: str) -> Fault:
    """What restic's last words mean. restic 0.14 ends with 1 whatever it was; later ones have numbers for some."""
    text = "\n".join(complaints)
    subject = f"cannot {what} the repository of snapshots"
    if status == 10 or _MISSING.search(text):
        return RepositoryMissing(Code.SOURCE_NOT_FOUND, f"{subject}: there is none")
    if status == 12 or _PASSWORD.search(text):
        return Fault(Code.ACCESS_DENIED, f"{subject}: its password is not the one that it was made with")
    if _NO_SNAPSHOT.search(text):
        return Fault(Code.SOURCE_NOT_FOUND, f"{subject}: no such snapshot")
    code = _code_of(text, is_remote=is_remote)
    last = complaints[-1][:300] if complaints else f"restic ended with {status}"
    cause = f"{_CAUSES[code]}: {last}" if code in _CAUSES else last
    return Fault(code, f"{subject}: {cause}")


def _code_of(text: str, *, is_remote: bool) -> Code:
    if _DAMAGED.search(text):
        return Code.DAMAGED
    code = code_of(text, Side.REMOTE if is_remote else Side.LOCAL)
    if code in _CAUSES and (is_remote or code in {Code.DISK_FULL, Code.ACCESS_DENIED}):
        return code
    if _PERHAPS_DAMAGED.search(text):
        return Code.DAMAGED
    return Code.UNREACHABLE if is_remote and _CUT in text else Code.ERROR


def number(said: object, name: str) -> int:
    """A number in what restic said; 0 when it is not there."""
    value = said.get(name, 0) if isinstance(said, dict) else 0
    return value if isinstance(value, int) else 0
