# SPDX-License-Identifier: Apache-2.0
"""The processes of a container, by /proc: who is in the pid namespace of its init, and whoever descends from these.

A program may forbid others to look at its namespace (ssh-agent does); its parents are seen all the same.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from notebookd.adapters.processes import PROC, ProcStat, parse_stat, pids
from notebookd.domain.farewell import Member, Reaction, Word

_SIGNALS = {Word.TERMINATE: signal.SIGTERM, Word.HANG_UP: signal.SIGHUP}
_TERM_BIT = 1 << (signal.SIGTERM - 1)


@dataclass(frozen=True, slots=True)
class Container:
    """The processes below the init that is process ``init`` of the host; ``with_init`` counts that one in. Used from
    worker threads."""

    init: int
    with_init: bool = False
    proc: Path = PROC

    def members(self) -> list[Member]:
        """All that live now."""
        stats = {pid: stat for pid in pids(self.proc) if (stat := self._stat(pid)) is not None}
        inside = self._inside(stats)
        return [
            _member(pid, stats[pid], self._status(pid))
            for pid in sorted(inside)
            if (self.with_init or pid != self.init) and not stats[pid].ended
        ]

    def _inside(self, stats: Mapping[int, ProcStat]) -> set[int]:
        namespace = self._namespace(self.init)
        inside = {pid for pid in stats if pid == self.init or (namespace and self._namespace(pid) == namespace)}
        while more := {pid for pid, stat in stats.items() if pid not in inside and stat.ppid in inside}:
            inside |= more
        return inside

    def _namespace(self, pid: int) -> tuple[int, int] | None:
        with suppress(OSError):
            seen = (self.proc / str(pid) / "ns" / "pid").stat()
            return seen.st_dev, seen.st_ino
        return None

    def _stat(self, pid: int) -> ProcStat | None:
        with suppress(OSError, ValueError, IndexError):
            return parse_stat((self.proc / str(pid) / "stat").read_bytes())
        return None

    def _status(self, pid: int) -> bytes:
        with suppress(OSError):
            return (self.proc / str(pid) / "status").read_bytes()
        return b""


def tell(member: Member, word: Word) -> None:
    """Send the signal to that process and to no later owner of its pid. One that is gone, or not ours, is no error."""
    _send(member.pid, member.started, _SIGNALS[word])


def hold(pid: int, started: int) -> None:
    """Stop a container's init: it collects nobody and does not end, so that the container goes on after its editor."""
    _send(pid, started, signal.SIGSTOP)


def release(pid: int, started: int) -> None:
    """Let a held init go on."""
    _send(pid, started, signal.SIGCONT)


def _send(pid: int, started: int, number: signal.Signals) -> None:
    with suppress(OSError), _pidfd(pid) as descriptor:
        if parse_stat((PROC / str(pid) / "stat").read_bytes()).start_ticks == started:
            signal.pidfd_send_signal(descriptor, number)


@contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    descriptor = os.pidfd_open(pid)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _member(pid: int, stat: ProcStat, status: bytes) -> Member:
    return Member(
        pid=pid,
        started=stat.start_ticks,
        parent=stat.ppid,
        session=stat.session,
        terminal=stat.terminal != 0,
        reaction=_reaction(dict(_masks(status))),
    )


def _masks(status: bytes) -> Iterator[tuple[bytes, int]]:
    for line in status.splitlines():
        name, _, value = line.partition(b":")
        if name in {b"SigCgt", b"SigIgn"}:
            yield name, int(value, 16)


def _reaction(masks: Mapping[bytes, int]) -> Reaction:
    if masks.get(b"SigCgt", 0) & _TERM_BIT:
        return Reaction.HANDLES
    return Reaction.IGNORES if masks.get(b"SigIgn", 0) & _TERM_BIT else Reaction.DIES
