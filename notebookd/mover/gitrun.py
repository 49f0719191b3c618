# SPDX-License-Identifier: Apache-2.0
"""Runs git on a repository of the mover's own, with nothing configured but what stands here.

A repository's hooks are never fetched; its attributes name filters that no configuration has; its submodules stay
away. No path of a notebook's is ever git's: it works in ``staging/`` alone.
"""

from __future__ import annotations

import re
import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from notebookd.mover.child import Ended, handed_on, run_child
from notebookd.mover.job import Job
from notebookd.mover.report import Code, Fault, Reporter

SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.symlinks=true",
    "core.autocrlf=false",
    "core.quotePath=true",
    "credential.helper=",
    "http.followRedirects=initial",
    "http.lowSpeedLimit=1",
    "http.lowSpeedTime=60",
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    "transfer.unpackLimit=1",  # one pack: what bounds a file bounds the transfer
    "gc.auto=0",
    "maintenance.auto=false",
)
WATCHED_EVERY_S = 0.5
TOO_LARGE = "cannot clone the repository: it is larger than allowed"
SAID_LINES = 50


class Git:
    """git in the folder ``tree``, within the time and size of a job."""

    def __init__(self, job: Job, tree: Path, reporter: Reporter) -> None:
        self._job = job
        self._tree = tree
        self._reporter = reporter
        self._schemes = job.texts("schemes") or ("https",)
        self.max_bytes = job.limit("max_bytes")
        limit_s = job.limit("timeout_s")
        self._ends_at = None if limit_s is None else time.monotonic() + limit_s

    def url(self) -> str:
        """The job's URL. Raises Fault when it is not one to be cloned."""
        url = self._job.text("url")
        if message := url_fault(url, self._schemes):
            raise Fault(Code.INVALID_SOURCE, f"cannot clone the repository: its URL {message}")
        return url

    def run(self, *words: str, accepted: tuple[int, ...] = (0,), lines: Callable[[bytes], None] | None = None) -> Ended:
        """Run ``git words`` in the folder. Raises Fault for another status than ``accepted``."""
        said: list[str] = []
        settings = [word for each in SETTINGS for word in ("-c", each)]
        left_s = None if self._ends_at is None else max(1.0, self._ends_at - time.monotonic())
        ended = run_child(
            ["git", *settings, *words],
            env=self._env(),
            cwd=self._tree,
            timeout_s=left_s,
            on_stdout=lines,
            on_stderr=lambda line: _note(said, line),
        )
        if ended.status not in accepted:
            raise fault_of(said, ended.status)
        return ended

    def fetch(self, *words: str) -> None:
        """Run ``git fetch``, with an eye on how much there is."""
        packs = self._tree / ".git/objects/pack"
        words = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head", *words)
        try:
            with _watched(packs, self._reporter), _bounded(self.max_bytes):
                self.run("fetch", *words)
        except Fault as fault:
            # What the kernel ended at the bound has nothing to say: the file says it.
            if self.max_bytes and any(each.stat().st_size >= self.max_bytes for each in packs.iterdir()):
                raise Fault(Code.TOO_LARGE, TOO_LARGE) from fault
            raise

    def _env(self) -> dict[str, str]:
        return handed_on() | {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self._job.places.scratch),
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            "GIT_DIR": str(self._tree / ".git"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ALLOW_PROTOCOL": ":".join(self._schemes),
            "GIT_SSH_COMMAND": "false",
            "GIT_LFS_SKIP_SMUDGE": "1",
        }


def url_fault(url: str, schemes: tuple[str, ...]) -> str | None:
    """Why ``url`` is not cloned. The daemon has looked already; this is the last look before git's."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "cannot be read"
    if parts.scheme not in schemes or parts.scheme in {"file", "ext", "fd"} or "::" in url.partition("/")[0]:
        return f"must be one of {' or '.join(schemes)}"
    if "@" in parts.netloc:
        return "must not carry credentials"
    if not parts.hostname or parts.netloc.startswith("-") or not url.isprintable() or " " in url:
        return "must name a host"
    return None


@contextmanager
def _bounded(size: int | None) -> Iterator[None]:
    """No program that is started within writes a larger file."""
    if size is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size if hard < 0 else min(size, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def _watched(folder: Path, reporter: Reporter) -> Iterator[None]:
    """Say how much there is in a folder while it fills."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(WATCHED_EVERY_S):
            try:
                reporter.progress.transferred_bytes = sum(each.stat().st_size for each in folder.iterdir())
                reporter.tick()
            except OSError:
                continue

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


def _note(said: list[str], line: bytes) -> None:
    said.append(line.decode("utf-8", "replace")[-500:])
    if len(said) > SAID_LINES:
        del said[0]


_MEANINGS = (
    (Code.TOO_LARGE, r"signal 25|file too large"),
    (Code.DISK_FULL, r"no space left|disk quota exceeded"),
    (Code.INVALID_SOURCE, r"transport '.*' not allowed|dumb http transport|invalid path|unable to checkout"),
    (Code.ACCESS_DENIED, r"could not read username|authentication failed|error: 40[13]|terminal prompts disabled"),
    (Code.SOURCE_NOT_FOUND, r"repository .*not found|error: 404|not appear to be a git repo|couldn't find remote ref"),
    (
        Code.UNREACHABLE,
        r"could ?n[o']t resolve|failed to connect|couldn't connect|connection (?:refused|reset|timed out)",
    ),
    (Code.UNREACHABLE, r"timed out|operation too slow|ssl|certificate|error: 5\d\d|early eof|hung up|unable to access"),
)
_PATTERNS = tuple((code, re.compile(pattern, re.IGNORECASE)) for code, pattern in _MEANINGS)
NO_COMMITS = re.compile(r"no commits selected for shallow")


class NothingSince(Fault):
    """There is no commit as young as was asked for."""


def fault_of(said: list[str], status: int) -> Fault:
    """What git's last words mean."""
    text = "\n".join(said)
    last = next((line for line in reversed(said) if line.startswith(("fatal:", "error:"))), (said or [""])[-1])
    message = f"cannot clone the repository: {last.partition(': ')[2] or last or f'git ended with {status}'}"[:500]
    if NO_COMMITS.search(text):
        return NothingSince(Code.NOT_FAST_FORWARD, message)
    code = next((code for code, pattern in _PATTERNS if pattern.search(text)), Code.ERROR)
    if code is Code.TOO_LARGE:
        message = TOO_LARGE
    if code is Code.ACCESS_DENIED:
        message = "cannot clone the repository: it is private or not there, and only public ones are cloned"
    if code is Code.DISK_FULL:
        message = "cannot clone the repository: the disk of this machine is full"
    return Fault(code, message)
