# SPDX-License-Identifier: Apache-2.0
"""The one place that runs rclone, and that knows what it says.

Everything is done in bulk, one run of rclone for a whole list of files: it takes 30 ms to start. Its configuration is
the one file in ``/secrets``; its environment is made here. Paths at the remote are in rclone's alphabet inside this
module and local ones (:mod:`notebookd.mover.names`) outside.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from notebookd.mover.abilities import Abilities, known_abilities
from notebookd.mover.child import Ended, handed_on, run_child
from notebookd.mover.faults import Side, code_of
from notebookd.mover.job import Job
from notebookd.mover.manifest import Seen
from notebookd.mover.names import is_temporary, local_name, remote_name
from notebookd.mover.report import Code, Fault, Reporter, scrub, shown
from notebookd.mover.tree import DEEPEST

NOT_FOUND = 3
"""rclone's exit status for a folder that is not there."""

TRIES = 3
SILENCE_S = 50.0
"""Looking at a remote that says nothing for so long is given up, whatever rclone is still trying."""
LOOKING = ("--contimeout=10s", "--timeout=15s", "--retries=1")
CARRYING = ("--contimeout=10s", "--timeout=60s", "--retries=2", "--retries-sleep=1s")
"""What a cut of the network is survived with. An endpoint that cannot be reached at all is given up within a minute:
rclone waits up to 2 s before each try, of all requests together."""

GIVEN_UP_AFTER = 3
"""Files that failed for the network's sake, each after its retries, while not a byte came through."""

SPARE_BYTES = 64 * 1024**2
"""What comes in is cut off at twice what the listing said, and this: a file that is sent without an end would fill
the disk."""

QUICK_HASHES = ("md5", "sha1", "sha256")
KEPT_FAILURES = 10_000

ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "TZ": "UTC", "TCELL_MINIMIZE": "1"}
"""The last one spares a table of the widths of characters on a terminal: without it that is half of rclone's start."""

_REMOTE = re.compile(r"[\w.][\w.+@ -]*")
_SECOND = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?(Z|[+-]\d\d:\d\d)")


@dataclass(slots=True)
class Outcome:
    """How a run over many files went: by remote name why a file failed (a few), and what was said of the run."""

    status: int
    failures: dict[str, str] = field(default_factory=dict)
    words: str = ""

    def fault(self, side: Side) -> Fault | None:
        """The one cause that stops all of it, if there was one."""
        if not self.status:
            return None
        for text in (self.words, *self.failures.values()):
            code = code_of(text, side)
            if code is not None:
                return Fault(code, scrub(f"rclone says: {_short(text)}"))
        return None


class Rclone:
    """rclone at ``remote:path``, for one task."""

    def __init__(self, job: Job, reporter: Reporter) -> None:
        self._remote = job.text("remote")
        if not _REMOTE.fullmatch(self._remote):
            raise Fault(Code.INVALID_SOURCE, "cannot use the datastore: its remote has no name that rclone could have")
        self.path = clean_path(job.text("path"))
        self._config = job.places.secrets / "rclone.conf"
        self._scratch = job.places.scratch
        self._reporter = reporter
        bandwidth = job.limit("bandwidth")
        self._tries = job.limit("retries") or TRIES
        self._max_files = job.limit("max_files")
        self._bandwidth = () if bandwidth is None else (f"--bwlimit={bandwidth}B",)

    def where(self, inside: str = "") -> str:
        """The remote's place in rclone's words."""
        return f"{self._remote}:" + "/".join(part for part in (self.path, inside) if part)

    def abilities(self) -> Abilities:
        """What the remote can do."""
        return known_abilities(self._config, self._remote) or self.ask_abilities()

    def ask_abilities(self) -> Abilities:
        """Ask rclone what the remote can do."""
        ended = self._run(["backend", "features", *LOOKING, "--", f"{self._remote}:"])
        try:
            said = json.loads(ended.output)
            features, hashes = said["Features"], set(said["Hashes"] or ())
        except (ValueError, KeyError, TypeError) as error:
            raise _fault(ended.errors, "ask what the remote can do") from error
        free = "" if features.get("SlowHash") else next((each for each in QUICK_HASHES if each in hashes), "")
        return Abilities(whole=bool(features.get("BucketBased")), digest=free, moves=bool(features.get("Move")))

    def listing(self, abilities: Abilities, inside: str = "") -> tuple[dict[str, Seen], list[str]]:
        """Every file by its local name, and the names of those that no local disk can have. Of a prefix where nothing
        is: none; of a container that is not there: Fault SOURCE_NOT_FOUND. A listing that goes on and on is given up:
        Fault TOO_LARGE."""
        files: dict[str, Seen] = {}
        strange: list[str] = []
        count = 0

        def note(line: bytes) -> None:
            nonlocal count
            for name, seen, _ in _objects(line, abilities.digest):
                count += 1
                deep = name.count("/") >= DEEPEST
                self._require_end(count, "" if abilities.whole or not deep else name)
                if is_temporary(name) and not inside:
                    continue
                if name.endswith("/") and not seen.size:
                    continue  # an empty object that stands for a folder
                path = None if deep else local_name(name)
                if path is None or seen.size < 0 or path in files:  # some remotes have a name twice
                    strange.append(name)
                else:
                    files[path] = seen

        hashing = ("--hash", f"--hash-type={abilities.digest}") if abilities.digest else ()
        how = ("-R", "--files-only", "--no-mimetype", f"--checkers={abilities.lookers}", *hashing, *LOOKING)
        ended = self._run(["lsjson", *how, "--", self.where(inside)], on_stdout=note)
        if ended.status == NOT_FOUND and not files and not strange:
            self.require_container()
        elif ended.status:
            raise _fault(ended.errors, "list what is at the remote")
        return files, strange

    def _require_end(self, count: int, deepest: str) -> None:
        """Raise Fault TOO_LARGE for more files than may be, or for a name that is deeper than any that is looked at
        here: then a server, or a link at its end, shows a folder in itself."""
        if self._max_files is not None and count > self._max_files:
            raise Fault(
                Code.TOO_LARGE,
                f"there are more than {self._max_files:,} files at the remote: name a folder with less in it, "
                "or have an admin raise max_files of [transfers]",
            )
        if deepest:
            raise Fault(
                Code.TOO_LARGE,
                f"the folders at the remote go more than {DEEPEST} deep: does one lead back into itself? "
                f"{shown(deepest[:60] + '...')}",
            )

    def objects(self, limit: int) -> tuple[list[dict[str, object]], bool]:
        """What is one level below, and whether there is more than ``limit``."""
        found: list[dict[str, object]] = []
        cut = False

        def note(line: bytes) -> None:
            nonlocal cut
            for name, seen, said in _objects(line, ""):
                if is_temporary(name):
                    continue
                cut = cut or len(found) >= limit
                if not cut:
                    shape = {"path": name, "size": max(seen.size, 0), "modified": said.get("ModTime", "")}
                    found.append(shape | {"folder": bool(said.get("IsDir"))})

        ended = self._run(["lsjson", "--no-mimetype", *LOOKING, "--", self.where()], on_stdout=note)
        if ended.status == NOT_FOUND and not found:
            self.require_container()
        elif ended.status:
            raise _fault(ended.errors, "list what is at the remote")
        return found, cut

    def require_folder(self, names: Collection[str]) -> None:
        """Raise Fault INVALID_SOURCE when the path, at which those names were found, is a file: rclone lists one as if
        it were a folder with nothing but itself in it."""
        name = self.path.rpartition("/")[2]
        if not name or list(names) != [name]:
            return
        ended = self._run(["lsjson", "--stat", *LOOKING, "--", self.where()])
        said = json.loads(ended.output or b"null") if ended.status == 0 else None
        if said is not None and not said.get("IsDir"):
            raise Fault(Code.INVALID_SOURCE, f"{shown(self.path)} is a file at the remote, and no folder")

    def require_container(self) -> None:
        """Raise Fault SOURCE_NOT_FOUND unless the first part of the path is there. Whoever may not look at it as a
        whole may yet use what is below it."""
        container = self.path.split("/", 1)[0]
        ended = self._run(["lsjson", "--stat", *LOOKING, "--", f"{self._remote}:{container}"])
        if ended.status == NOT_FOUND or (ended.status == 0 and ended.output.strip() in {b"", b"null"}):
            raise Fault(Code.SOURCE_NOT_FOUND, f"there is no {container!r} at the remote" if container else "not there")
        if ended.status and code_of(_last(ended.errors), Side.REMOTE) is not Code.ACCESS_DENIED:
            raise _fault(ended.errors, "look for the container")

    def fetch(self, paths: Sequence[str], into: Path, listed_bytes: int) -> Outcome:
        """Copy files in, of ``listed_bytes`` together. Each has the remote's time when it is whole, and not before."""
        bound = (f"--max-transfer={2 * listed_bytes + SPARE_BYTES}B", "--cutoff-mode=HARD")
        return self._bulk("copy", paths, [self.where(), str(into)], ["--no-check-dest", *bound])

    def send(self, paths: Sequence[str], source: Path, inside: str = "") -> Outcome:
        """Copy files out, over whatever is there."""
        return self._bulk("copy", paths, [str(source), self.where(inside)], ["--no-check-dest", "--no-traverse"])

    def settle(self, paths: Sequence[str], inside: str) -> Outcome:
        """Rename files from the folder ``inside`` to their places, over what is there: in one step where the remote
        can, else by deletion first. Both ends lie in one virtual remote: rclone moves nothing between a folder and one
        within it otherwise."""
        both = _combined(("from", self.where(inside)), ("to", self.where()))
        options = ["--no-traverse", "--retries=1"]
        first = self._bulk("move", paths, [f"{both}from", f"{both}to"], ["--no-check-dest", *options])
        if not first.status:
            return first
        # Without this, what has the size of the file it replaces is taken for the same, and not moved but removed.
        return self._bulk("move", paths, [f"{both}from", f"{both}to"], ["--ignore-times", *options])

    def delete(self, paths: Sequence[str]) -> Outcome:
        """Delete files."""
        return self._bulk("delete", paths, [self.where()], [])

    def remove_empty(self, inside: str) -> None:
        """Remove a folder with nothing but folders in it. That it stays is no fault."""
        self._run(["rmdirs", *LOOKING, "--", self.where(inside)])

    def purge(self, inside: str) -> None:
        """Remove a folder and all in it. That it stays is no fault."""
        self._run(["purge", *LOOKING, "--", self.where(inside)])

    def _bulk(self, verb: str, paths: Sequence[str], ends: Iterable[str], options: Iterable[str]) -> Outcome:
        """One run over a list of files. Progress counts on from where it stood."""
        names = [name for name in map(remote_name, paths) if name is not None]
        said = _Log(self._reporter, counts=verb == "copy")
        listed = self._scratch / "files"
        listed.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
        command = [verb, f"--files-from-raw={listed}", *CARRYING, *options, *self._bandwidth, *LOGGING, "--", *ends]
        ended = self._run(command, on_stderr=said.take)
        said.outcome.status = ended.status
        return said.outcome

    def _run(
        self,
        arguments: Sequence[str],
        *,
        on_stdout: Callable[[bytes], None] | None = None,
        on_stderr: Callable[[bytes], None] | None = None,
    ) -> Ended:
        fixed = ["rclone", arguments[0], f"--config={self._config}", "--ask-password=false", "--use-server-modtime"]
        fixed.append(f"--low-level-retries={self._tries}")
        env = handed_on() | ENVIRONMENT | {"HOME": str(self._scratch)}
        command = [*fixed, *arguments[1:]]
        silence_s = None if on_stderr else SILENCE_S  # what carries says how it goes
        try:
            return run_child(command, env=env, on_stdout=on_stdout, on_stderr=on_stderr, silence_s=silence_s)
        except Fault as fault:
            if fault.code is Code.TIMEOUT:
                raise Fault(Code.UNREACHABLE, f"the remote said nothing for {SILENCE_S:.0f} s") from fault
            raise


LOGGING = ("--use-json-log", "--stats=500ms", "--stats-log-level=NOTICE", "--s3-no-check-bucket")


def clean_path(path: str) -> str:
    """A path at the remote without slashes around it; Fault INVALID_SOURCE for one that climbs."""
    parts = [part for part in path.split("/") if part]
    if any(part in {".", ".."} for part in parts) or "\n" in path:
        raise Fault(Code.INVALID_SOURCE, "cannot use the path at the remote: it has a part that is . or ..")
    return "/".join(parts)


def nanoseconds(text: str) -> int:
    """A time of a listing, since 1970; 0 for what is none."""
    found = _SECOND.fullmatch(text)
    if not found:
        return 0
    zone = "+00:00" if found[3] == "Z" else found[3]
    return int(datetime.fromisoformat(found[1] + zone).timestamp()) * 10**9 + int((found[2] or "").ljust(9, "0"))


def _objects(line: bytes, digest: str) -> Iterable[tuple[str, Seen, dict[str, Any]]]:
    """What one line of a listing holds: an object, or nothing but a bracket."""
    line = line.strip().rstrip(b",")
    if not line.startswith(b"{"):
        return
    said = json.loads(line)
    hashes = said.get("Hashes") or {}
    yield said["Path"], Seen(said["Size"], nanoseconds(said["ModTime"]), hashes.get(digest, "") if digest else ""), said


def _combined(*places: tuple[str, str]) -> str:
    """A remote made of others, in a connection string. Quoted twice: a list of words, in a value."""
    words = " ".join('"' + f"{name}={place}".replace('"', '""') + '"' for name, place in places)
    return ':combine,upstreams="' + words.replace('"', '""') + '":'


class _Log:
    """Reads rclone's log: progress into the report, and why files failed."""

    def __init__(self, reporter: Reporter, *, counts: bool) -> None:
        self._reporter = reporter
        self._counts = counts
        self._carried = self._cut = 0
        self._bytes = reporter.progress.transferred_bytes
        self._files = reporter.progress.processed
        self.outcome = Outcome(status=0)

    def take(self, line: bytes) -> None:
        """One line: JSON, or the words with which it ends."""
        try:
            said = json.loads(line)
        except ValueError:
            said = None
        if not isinstance(said, dict):
            text = line.decode(errors="replace")
            self.outcome.words = text if "Failed to" in text else f"{self.outcome.words} {text}"[-2000:]
            return
        if isinstance(stats := said.get("stats"), dict):
            if not self._counts:
                return
            carried = int(stats.get("bytes") or 0)
            self._cut = self._cut if carried == self._carried else 0
            self._carried = carried
            self._reporter.progress.transferred_bytes = self._bytes + carried
            self._reporter.progress.processed = self._files + int(stats.get("transfers") or 0)
            self._reporter.tick()
        elif said.get("level") in {"error", "critical", "fatal"}:
            self._note(str(said.get("object") or ""), str(said.get("msg") or ""))

    def _note(self, name: str, message: str) -> None:
        if not name or message.startswith("Attempt "):
            self.outcome.words = message
            return
        if name in self.outcome.failures or len(self.outcome.failures) < KEPT_FAILURES:
            self.outcome.failures[name] = message
        if code_of(message, Side.REMOTE) is Code.UNREACHABLE:
            self._cut += 1
            if self._cut >= GIVEN_UP_AFTER:
                raise Fault(Code.UNREACHABLE, scrub(f"the remote does not answer any more: {_short(message)}"))


def _fault(errors: bytes, what: str) -> Fault:
    text = errors.decode(errors="replace")
    said = _last(errors)
    code = code_of(said, Side.REMOTE) or code_of(text, Side.REMOTE) or Code.ERROR
    return Fault(code, scrub(f"cannot {what}: {_short(said) or 'rclone said nothing'}"))


def _last(errors: bytes) -> str:
    """The last thing that was said, with what follows in further lines."""
    lines = errors.decode(errors="replace").strip().splitlines()
    at = next((place for place in range(len(lines) - 1, -1, -1) if "Failed to" in lines[place]), len(lines) - 1)
    return " ".join(lines[max(at, 0) :])


def _short(text: str) -> str:
    """A message without its time, on one line."""
    return " ".join(re.sub(r"^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d ", "", text).split())[:300]
