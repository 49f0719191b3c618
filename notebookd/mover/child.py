# SPDX-License-Identifier: Apache-2.0
"""Runs one program to its end, and takes all of its children with it whichever way that comes."""

from __future__ import annotations

import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from notebookd.mover.report import Code, Fault

KEPT_BYTES = 64 * 1024
"""Of output that nobody takes line by line, the end is kept."""
LONGEST_LINE = 1024 * 1024
CHUNK = 64 * 1024
GRACE_S = 3.0
"""From SIGTERM to SIGKILL. A mover itself has no more than ten seconds from its own SIGTERM."""

HANDED_ON = "NOTEBOOKD_HANDED_ON"
"""Names the variables of a mover that its programs shall have, too, with spaces between."""

OnLine = Callable[[bytes], None]


def handed_on() -> dict[str, str]:
    """Proxies, and what is trusted, for programs that reach the network."""
    names = os.environ.get(HANDED_ON, "").split()
    return {name: os.environ[name] for name in names if name in os.environ}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended: its exit status (negative: the signal) and the last of what it said unread."""

    status: int
    output: bytes
    errors: bytes


def run_child(
    command: Sequence[str | bytes],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: bytes = b"",
    on_stdout: OnLine | None = None,
    on_stderr: OnLine | None = None,
    timeout_s: float | None = None,
    silence_s: float | None = None,
    pass_fds: Sequence[int] = (),
) -> Ended:
    """Run ``command`` with exactly ``env``; every line of its output goes to the callbacks, without the newline.

    It may take ``timeout_s`` in all, and be silent for ``silence_s`` at a time; then Fault TIMEOUT is raised.
    When this is left by an exception (SIGTERM raises Interrupted, a callback raises), or ``timeout_s`` is up (Fault
    TIMEOUT), the program's whole process group is ended first. Raises Fault ERROR when it cannot be started.
    """
    try:
        child = subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
            pass_fds=tuple(pass_fds),
        )
    except OSError as error:
        name = Path(os.fsdecode(command[0])).name
        raise Fault(Code.ERROR, f"cannot run {name}: {error.strerror}; is it installed?") from error
    try:
        out, err = _Lines(on_stdout), _Lines(on_stderr)
        ends_at = None if timeout_s is None else time.monotonic() + timeout_s
        _talk(child, stdin, out, err, ends_at, silence_s)
        status = child.wait(None if ends_at is None else max(0.1, ends_at - time.monotonic()))
    except (TimeoutError, subprocess.TimeoutExpired) as error:
        raise Fault(Code.TIMEOUT, f"it took longer than {timeout_s or silence_s or 0:.0f} s") from error
    finally:
        _end_group(child)
        for pipe in (child.stdin, child.stdout, child.stderr):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
    return Ended(status=status, output=bytes(out.kept), errors=bytes(err.kept))


class _Lines:
    """Cuts a stream into lines, or keeps its end when nobody takes them."""

    def __init__(self, take: OnLine | None) -> None:
        self._take = take
        self._rest = bytearray()
        self.kept = bytearray()

    def feed(self, data: bytes) -> None:
        if self._take is None:
            self.kept += data
            del self.kept[:-KEPT_BYTES]
            return
        self._rest += data
        *lines, rest = self._rest.split(b"\n")
        self._rest = rest[:LONGEST_LINE]
        for line in lines:
            self._take(bytes(line))

    def close(self) -> None:
        if self._take is not None and self._rest:
            self._take(bytes(self._rest))
            self._rest.clear()


def _talk(
    child: subprocess.Popen[bytes],
    stdin: bytes,
    out: _Lines,
    err: _Lines,
    ends_at: float | None,
    silence_s: float | None,
) -> None:
    """Feed and read until both of its outputs are closed."""
    left = memoryview(stdin)
    with selectors.DefaultSelector() as waiting:
        for pipe, lines in ((_open(child.stdout), out), (_open(child.stderr), err)):
            os.set_blocking(pipe.fileno(), False)
            waiting.register(pipe, selectors.EVENT_READ, lines)
        feed = _open(child.stdin)
        if left:
            os.set_blocking(feed.fileno(), False)
            waiting.register(feed, selectors.EVENT_WRITE)
        else:
            feed.close()
        while waiting.get_map():
            wait_s = None if ends_at is None else ends_at - time.monotonic()
            if wait_s is not None and wait_s <= 0:
                raise TimeoutError
            ready = waiting.select(min((each for each in (wait_s, silence_s) if each is not None), default=None))
            if not ready and silence_s is not None:
                raise TimeoutError
            for key, _ in ready:
                if key.data is None:
                    left = _give(waiting, feed, left)
                elif data := os.read(key.fd, CHUNK):
                    key.data.feed(data)
                else:
                    key.data.close()
                    waiting.unregister(key.fileobj)


def _give(waiting: selectors.BaseSelector, feed: IO[bytes], left: memoryview) -> memoryview:
    try:
        left = left[os.write(feed.fileno(), left[:CHUNK]) :]
    except BrokenPipeError:
        left = left[:0]
    if not left:
        waiting.unregister(feed)
        feed.close()
    return left


def _open(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None
    return pipe


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Whatever of the child's process group is left: SIGTERM, a grace if the child itself lives, SIGKILL."""
    if child.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_S)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
