# SPDX-License-Identifier: Apache-2.0
"""What a bug report is made of: gathered from whatever answers, without secrets, in one archive.

Nothing is asked for longer than its time, and what cannot be had is said with its reason: a report is wanted most when
something does not work.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import platform
import subprocess
import tarfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from notebookd import __version__
from notebookd.cli.daemon_program import find_daemon_program
from notebookd.client import Client, ClientError, Reply, Unreachable
from notebookd.wire.redaction import Redactor

__all__ = ["Bundle", "Missing", "Piece", "gather", "write"]

ANSWER_S = 10.0
PROGRAM_S = 60.0
MOST_EVENTS = 2000
MOST_NOTEBOOKS = 200
LOG_LINES = 5000
LOG_BYTES = 8 * 1024 * 1024
UNITS = ("notebookd.service", "notebookd-gateway.service", "notebookd-containers.service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A file of the archive, without secrets."""

    name: str
    what: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """What could not be had, and why."""

    what: str
    why: str


@dataclass(slots=True)
class Bundle:
    """What was gathered. ``known`` are secrets that are known by themselves: they are looked for everywhere."""

    pieces: list[Piece] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    _raw: list[tuple[str, str, Any]] = field(default_factory=list)

    def put(self, name: str, what: str, value: Any) -> None:
        """Take a text or a JSON value, secrets included: they go when all of them are known."""
        self._raw.append((name, what, value))

    def lack(self, what: str, why: str) -> None:
        """Say that something could not be had."""
        self.missing.append(Missing(what=what, why=why))

    def seal(self) -> None:
        """Make the pieces of what was taken, without any secret."""
        redactor = Redactor(self.known)
        for name, what, value in self._raw:
            text = redactor.text(value) if isinstance(value, str) else _json(redactor.value(value))
            self.pieces.append(Piece(name=name, what=what, body=text.encode(errors="replace")))
        self.missing = [Missing(what=each.what, why=redactor.text(each.why)) for each in self.missing]
        said = [f"{each.name}: {each.what}" for each in self.pieces]
        said += [f"missing: {each.what}: {each.why}" for each in self.missing]
        contents = "\n".join(said) + "\n"
        self.pieces.insert(0, Piece(name="contents.txt", what="this list", body=contents.encode(errors="replace")))


def gather(client: Client, logs: Sequence[Path] = ()) -> Bundle:
    """Everything that can be had now. ``logs`` are files to take the end of as well."""
    bundle = Bundle()
    _ask_programs(bundle)
    _ask_daemon(bundle, client.with_timeout(ANSWER_S))
    _read_journal(bundle)
    for number, path in enumerate(logs):
        _read_log(bundle, path, f"log/{number}-{path.name}.txt")
    bundle.seal()
    return bundle


def write(bundle: Bundle, path: Path, at: datetime) -> None:
    """Write the archive, for its owner's eyes. The file must not exist. Raises OSError."""
    folder = path.name.removesuffix(".tar.gz").removesuffix(".tgz") or "bugreport"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with (
        os.fdopen(descriptor, "wb") as file,
        gzip.GzipFile(fileobj=file, mode="wb", filename="", mtime=int(at.timestamp())) as packed,
        tarfile.open(fileobj=packed, mode="w|") as archive,
    ):
        for piece in bundle.pieces:
            entry = tarfile.TarInfo(f"{folder}/{piece.name}")
            entry.size, entry.mtime, entry.mode = len(piece.body), int(at.timestamp()), 0o600
            archive.addfile(entry, io.BytesIO(piece.body))


# Programs


def _ask_programs(bundle: Bundle) -> None:
    versions: dict[str, Any] = {
        "notebookctl": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "system": _system_name(),
    }
    program = find_daemon_program()
    for name, command in (
        ("notebookd", [program or "notebookd", "--version"]),
        *((each, [each, "--version"]) for each in ("podman", "crun", "systemctl", "nvidia-ctk")),
    ):
        said, trouble = _run(command)
        versions[name] = said.strip().splitlines()[0] if said.strip() else f"unknown: {trouble}"
    bundle.put("versions.json", "versions of programs and system", versions)
    if program is None:
        bundle.lack("doctor.json", "cannot find the program notebookd, neither beside notebookctl nor on PATH")
        return
    said, trouble = _run([program, "doctor", "--json"])
    _put_json(bundle, "doctor.json", "what notebookd doctor finds", said, trouble)


def _put_json(bundle: Bundle, name: str, what: str, said: str, trouble: str) -> None:
    try:
        bundle.put(name, what, json.loads(said))
    except ValueError:
        bundle.lack(name, trouble or "what was printed is not JSON")


def _run(command: Sequence[str]) -> tuple[str, str]:
    """What a program printed, and why that is not all (empty when it is)."""
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PROGRAM_S,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except subprocess.TimeoutExpired:
        return "", f"{command[0]} did not end in {PROGRAM_S:g} s"
    except OSError as error:
        return "", f"{command[0]}: {error.strerror}"
    complaint = done.stderr.decode(errors="replace").strip()
    ended = f"{command[0]} ended with {done.returncode}: {complaint}" if done.returncode else complaint
    return done.stdout.decode(errors="replace"), ended


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    except OSError:
        return "unknown"


# The daemon


def _ask_daemon(bundle: Bundle, client: Client) -> None:
    try:
        _keep(bundle, "health.json", "whether the daemon is well", client.health)
    except Unreachable as error:
        bundle.lack("health, config in force, board, queue, notebooks, why, events", error.message)
        _config_of_program(bundle)
        return
    for name, what, ask in (
        ("me.json", "who you are to the daemon", client.me),
        ("config.json", "the configuration in force", client.config),
        ("gpus.json", "the board", client.list_gpus),
        ("queue.json", "who waits", client.queue),
    ):
        _keep_if_answered(bundle, name, what, ask)
    _ask_about_notebooks(bundle, client)
    _ask_for_events(bundle, client)


def _keep(bundle: Bundle, name: str, what: str, ask: Callable[[], Reply[Any]]) -> Any:
    reply = ask()
    bundle.put(name, what, msgspec.json.decode(reply.body))
    return reply.value


def _keep_if_answered(bundle: Bundle, name: str, what: str, ask: Callable[[], Reply[Any]]) -> Any:
    try:
        return _keep(bundle, name, what, ask)
    except (ClientError, msgspec.DecodeError) as error:
        bundle.lack(name, str(error))
        return None


def _config_of_program(bundle: Bundle) -> None:
    """With the daemon down, what it would have read."""
    program = find_daemon_program()
    if program is None:
        bundle.lack("config.json", "cannot find the program notebookd")
        return
    said, trouble = _run([program, "check-config", "--json"])
    _put_json(bundle, "config.json", "the configuration that would be in force, and its faults", said, trouble)


def _ask_about_notebooks(bundle: Bundle, client: Client) -> None:
    page = _keep_if_answered(bundle, "notebooks.json", "the notebooks that you may see", client.list_notebooks)
    items = [] if page is None else page.items
    for notebook in items:
        bundle.known.update(each.value for each in notebook.spec.env_vars or [] if _is_telling(each.value))
        try:
            bundle.known.add(client.access(notebook.id).value.token)
        except ClientError:  # somebody else's, and nobody tells us
            continue
    for notebook in items[:MOST_NOTEBOOKS]:
        ask = _why_of(client, notebook.id)
        _keep_if_answered(
            bundle, f"why/{notebook.id.replace('/', '_')}.json", f"why {notebook.spec.name} is as it is", ask
        )
    if len(items) > MOST_NOTEBOOKS:
        bundle.lack("why of the other notebooks", f"only {MOST_NOTEBOOKS} are asked for")


def _is_telling(value: str) -> bool:
    """Whether a variable's value is worth looking for elsewhere: flags and numbers stand everywhere."""
    return not value.isdigit() and value.lower() not in {"true", "false", "none"}


def _why_of(client: Client, notebook: str) -> Callable[[], Reply[Any]]:
    return lambda: client.why(notebook)


def _ask_for_events(bundle: Bundle, client: Client) -> None:
    last: deque[Any] = deque(maxlen=MOST_EVENTS)
    try:
        for reply in client.events():
            last.append(msgspec.json.decode(reply.body))
    except (ClientError, msgspec.DecodeError) as error:
        bundle.lack("some events", str(error))
    bundle.put("events.json", f"what happened, the last {MOST_EVENTS} at most", list(last))


# Logs


def _read_journal(bundle: Bundle) -> None:
    tail = ["journalctl", "--no-pager", "--output=short-iso", f"--lines={LOG_LINES}"]
    for name, what, matches in (
        ("log/journal.txt", "the end of the journal of daemon and gateway", [f"--unit={unit}" for unit in UNITS]),
        ("log/engine.txt", "the end of the engine's journal", ["_SYSTEMD_USER_UNIT=notebookd-engine.service"]),
    ):
        said, trouble = _run([*tail, *matches])
        lines = [line for line in _end_of(said) if not line.startswith("-- ")]
        if lines:
            bundle.put(name, what, "\n".join(lines) + "\n")
        else:
            hint = "" if os.geteuid() == 0 else " (sudo notebookctl bugreport sees more)"
            bundle.lack(name, f"{trouble.splitlines()[-1] if trouble else 'the journal has no entry'}{hint}")


def _read_log(bundle: Bundle, path: Path, name: str) -> None:
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_BYTES - 1))
            text = file.read(LOG_BYTES + 1).decode(errors="replace")
    except OSError as error:
        bundle.lack(name, f"{path}: {error.strerror}")
        return
    bundle.put(name, f"the end of {path}", "\n".join(_end_of(text)) + "\n")


def _end_of(text: str) -> list[str]:
    """The last lines. Of one that is cut in two the rest is left out: what named a secret in it may be gone."""
    whole = text if len(text) <= LOG_BYTES else text[-LOG_BYTES:].partition("\n")[2]
    return whole.splitlines()[-LOG_LINES:]


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def contents_of(bundle: Bundle) -> Iterator[dict[str, Any]]:
    """The pieces, for programs."""
    for each in bundle.pieces:
        yield {"name": each.name, "bytes": len(each.body), "what": each.what}
