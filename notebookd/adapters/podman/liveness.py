# SPDX-License-Identifier: Apache-2.0
"""Whether the process that Podman speaks of is there.

Podman learns of an end from conmon. When conmon itself is killed (an OOM does it), Podman says "running" with a dead
pid for ever, and by and by the kernel gives that pid to somebody else. So the pid is looked up in /proc, and must be
*that* process. Once seen, a process is remembered by its start time (ticks since boot: unique with the pid, and no
clock step moves it). At first sight (a daemon restart), any one of these tells it is the container's:

1. its parent is the container's conmon, known by its command line, which holds the container's id;
2. its mount table holds the container's own files (``overlay-containers/<id>/userdata/hosts`` on /etc/hosts);
3. it began when Podman says that the container was started.

One positive is enough, because each may be missing for innocent reasons (conmon is dead; a program forbade looking at
itself; the wall clock was stepped) and taking a living container for a lost one would free GPUs that it still uses.
"""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from notebookd.adapters.podman.translate import Inspected
from notebookd.adapters.processes import PROC, ProcStat, parse_stat, pids
from notebookd.errors import EngineUnavailable

TOLERANCE_S = 5.0
KILL_WAIT_S = 5.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_GONE = (FileNotFoundError, ProcessLookupError)


def read_stat(pid: int, proc: Path = PROC) -> ProcStat | None:
    """The process of that pid, None when there is none alive. Raises EngineUnavailable when /proc will not tell."""
    if pid <= 0:
        return None
    try:
        stat = parse_stat((proc / str(pid) / "stat").read_bytes())
    except _GONE:
        return None
    except OSError as error:
        raise EngineUnavailable(f"cannot see process {pid}: {error}") from error
    return None if stat.ended else stat


class Liveness:
    """Remembers the processes it saw. Used from worker threads; each step is one dictionary operation."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._seen: dict[str, tuple[datetime | None, int, int]] = {}

    def process(self, inspected: Inspected) -> ProcStat | None:
        """The container's living init, None when it is gone (or its pid is another's now)."""
        stat = read_stat(inspected.pid, self._proc)
        if stat is None:
            return None
        seen = self._seen.get(inspected.id)
        if seen is not None and seen[:2] == (inspected.started_at, inspected.pid):
            return stat if seen[2] == stat.start_ticks else None
        if not self._belongs(inspected, stat):
            return None
        self._seen[inspected.id] = (inspected.started_at, inspected.pid, stat.start_ticks)
        return stat

    def in_container(self, pid: int) -> bool:
        """Whether a living process has a container's files among its mounts, whichever container that is."""
        return read_stat(pid, self._proc) is not None and b"/overlay-containers/" in self._read(pid, "mountinfo")

    def forget(self, container_id: str) -> None:
        """The container was removed."""
        self._seen.pop(container_id, None)

    def conmon_alive(self, inspected: Inspected) -> bool:
        """Whether the container's conmon is there to record its end."""
        if read_stat(inspected.conmon_pid, self._proc) is None:
            return False
        command = self._read(inspected.conmon_pid, "cmdline").split(b"\0")
        return command[0].rpartition(b"/")[2] == b"conmon" and inspected.id.encode() in command

    def attended(self, container_id: str, *, by: int, but: int = 0) -> bool:
        """Whether a process of the account ``by``, other than process ``but``, is still there to record an end of the
        container or to clear up after it. Those that attend to a command in it, some for minutes, do not count."""
        return any(
            pid != but and _attends(self._read(pid, "cmdline"), container_id.encode()) and self._is_of(pid, by)
            for pid in pids(self._proc)
        )

    def _is_of(self, pid: int, uid: int) -> bool:
        with suppress(*_GONE):
            return (self._proc / str(pid)).stat().st_uid == uid and read_stat(pid, self._proc) is not None
        return False

    def _belongs(self, inspected: Inspected, stat: ProcStat) -> bool:
        if stat.ppid == inspected.conmon_pid and self.conmon_alive(inspected):
            return True
        if f"/{inspected.id}/".encode() in self._read(inspected.pid, "mountinfo"):
            return True
        if inspected.started_at is None:
            return False
        began = self._boot_time() + stat.start_ticks / _TICKS_PER_S
        return abs(began - inspected.started_at.timestamp()) <= TOLERANCE_S

    def _read(self, pid: int, name: str) -> bytes:
        with suppress(OSError):
            return (self._proc / str(pid) / name).read_bytes()
        return b""

    def _boot_time(self) -> float:
        for line in (self._proc / "stat").read_text().splitlines():
            if line.startswith("btime "):
                return float(line.split()[1])
        raise EngineUnavailable(f"cannot read the boot time: {self._proc}/stat has no btime")


def _attends(cmdline: bytes, container_id: bytes) -> bool:
    program, *words = cmdline.split(b"\0")
    if container_id not in words:
        return False
    if program.rpartition(b"/")[2] == b"conmon":
        return b"--exec-process-spec" not in words
    return b"cleanup" in words and b"--exec" not in words


def kill_process(pid: int, stat: ProcStat, *, grace_s: float) -> bool:
    """SIGTERM, wait up to ``grace_s``, SIGKILL; True when the process is gone. Blocks: call it in a thread.

    The signals go through a pidfd, opened before the identity is checked once more, so that they cannot reach a
    later owner of the pid.
    """
    try:
        descriptor = os.pidfd_open(pid)
    except _GONE:
        return True
    try:
        now = read_stat(pid)
        if now is None or now.start_ticks != stat.start_ticks:
            return True
        for number, wait_s in ((signal.SIGTERM, grace_s), (signal.SIGKILL, KILL_WAIT_S)):
            if number is signal.SIGTERM and wait_s <= 0:
                continue
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, number)
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)
            if poller.poll(wait_s * 1000):
                return True
        return False
    finally:
        os.close(descriptor)


def hang_up(pid: int) -> None:
    """SIGHUP to a process, if it is there and ours to signal."""
    if pid > 0:
        with suppress(OSError):
            os.kill(pid, signal.SIGHUP)
