# SPDX-License-Identifier: Apache-2.0
"""Who the processes on the GPUs are, read once a process and not once a look.

A pid and the time of its start are a process. To read the time at every look would cost what is to be saved. So a
*pidfd* is held of each, which stands for the process whatever becomes of the number: the kernel tells of all of them in
one call which have ended. Its folder in /proc is held, too, and shows the user that it acts as: a container's first
process changes that after it is made, and by it the container's processes are told from strangers. Its name and its
cgroup, by which nobody is trusted alone, are read again after a minute.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from notebookd.adapters.directory import name_of
from notebookd.adapters.processes import PROCESS_FOLDER, SystemProcesses
from notebookd.ports.processes import ProcessFacts

KEPT_S = 60.0
MOST_KEPT = 256
"""Descriptors are few, and there are two of each; what is more is read each time."""


@dataclass(frozen=True, slots=True)
class _Kept:
    facts: ProcessFacts
    uid: int
    pidfd: int
    folder: int
    until_s: float


class ProcessBook(SystemProcesses):
    """:class:`SystemProcesses` for one who asks for much the same pids again and again: what is not asked for any more
    is forgotten."""

    def __init__(self, *, name_of: Callable[[int], str] = name_of, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(name_of=name_of)
        self._clock = clock
        self._book: dict[int, _Kept] = {}

    def look(self, pids: Collection[int]) -> Mapping[int, ProcessFacts]:
        """The facts about those pids that are processes."""
        self._forget(frozenset(pids))
        found: dict[int, ProcessFacts] = {}
        for pid in pids:
            kept = self._book.get(pid)
            facts = kept.facts if kept is not None else self._enter(pid)
            if facts is not None:
                found[pid] = facts
        return found

    def _forget(self, wanted: Collection[int]) -> None:
        """Drop what is not asked for, is old, acts as somebody else, or has ended."""
        now_s = self._clock()
        for pid, kept in list(self._book.items()):
            if pid not in wanted or kept.until_s <= now_s or os.fstat(kept.folder).st_uid != kept.uid:
                self._drop(pid)
        if self._book:
            by_pidfd = {kept.pidfd: pid for pid, kept in self._book.items()}
            for pidfd in _ended(by_pidfd):
                self._drop(by_pidfd[pidfd])

    def _enter(self, pid: int) -> ProcessFacts | None:
        """Read the facts, and keep them where they can be held on to. The pidfd is older than what is read: so if the
        number's process can be read then, and that of the pidfd has not ended yet, the two are one."""
        pidfd = _opened(pid) if len(self._book) < MOST_KEPT else None
        if pidfd is None:
            return self._look_at(pid)
        folder = None
        try:
            folder = os.open(f"/proc/{pid}", PROCESS_FOLDER)
            uid = os.fstat(folder).st_uid
            facts = self.describe(pid, folder)
        except (OSError, ValueError, IndexError):
            facts, uid = None, -1
        # One whose namespace is hidden may be going away, or coming up: it is looked at again next time.
        if folder is None or facts is None or facts.pid_namespace is None or _ended([pidfd]):
            _close(pidfd, folder)
        else:
            self._book[pid] = _Kept(facts, uid, pidfd, folder, self._clock() + KEPT_S)
        return facts

    def _drop(self, pid: int) -> None:
        kept = self._book.pop(pid)
        _close(kept.pidfd, kept.folder)


def _opened(pid: int) -> int | None:
    """A pidfd; None where there is none to have: no such process, or a sandbox that gives none."""
    try:
        return os.pidfd_open(pid)
    except (OSError, ValueError, OverflowError):
        return None


def _close(*descriptors: int | None) -> None:
    for each in descriptors:
        if each is not None:
            os.close(each)


def _ended(pidfds: Iterable[int]) -> list[int]:
    """Those whose process has ended, though maybe nobody has collected it. One whose first thread alone has ended goes
    on."""
    watch = select.poll()
    for each in pidfds:
        watch.register(each, select.POLLIN)
    return [pidfd for pidfd, _ in watch.poll(0)]
