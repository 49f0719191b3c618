# SPDX-License-Identifier: Apache-2.0
"""Who a pid is, by /proc.

A pid may be given to another process between two reads. So its folder is opened once and everything is read below that
descriptor: it stands for the process and not for the number, and what is read below it when the process is gone fails
with ESRCH or ENOENT, whoever has the number by then.

What a process says of itself is hostile: its name may hold spaces, parentheses and line ends (so the fields of ``stat``
are counted from the last parenthesis), and escape sequences for the terminal of whoever reads it.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from notebookd.adapters.directory import name_of
from notebookd.ports.processes import Footprint, ProcessFacts, printable

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
STAT_LIMIT_BYTES = 4096
CGROUP_LIMIT_BYTES = 64 * 1024

PROCESS_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_UNIFIED = re.compile(r"^0::(/.*)$", re.MULTILINE)
_OOM_KILL = re.compile(r"^oom_kill ([0-9]+)$", re.MULTILINE)
_CONTAINER = re.compile(rb"/libpod-([0-9a-f]{64})(?:\.scope)?(?=[/\n ]|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcStat:
    """The fields of ``/proc/<pid>/stat`` that matter here."""

    name: bytes
    state: str
    ppid: int
    threads: int
    start_ticks: int
    cpu_ticks: int
    """In user and kernel mode, its own and that of the children which it has collected."""
    session: int
    terminal: int
    """The device number of its controlling terminal, 0 for none."""
    resident_pages: int

    @property
    def ended(self) -> bool:
        """A zombie is dead, unless only its first thread ended and others go on."""
        return self.state in "XZ" and self.threads <= 1


def parse_stat(stat: bytes) -> ProcStat:
    """Read a stat line; the second field, a name, may itself hold spaces, parentheses and any byte (proc(5))."""
    name, _, rest = stat[stat.index(b"(") + 1 :].rpartition(b") ")
    fields = rest.split()
    return ProcStat(
        name=name,
        state=fields[0].decode(),
        ppid=int(fields[1]),
        threads=int(fields[17]),
        start_ticks=int(fields[19]),
        cpu_ticks=sum(map(int, fields[11:15])),
        session=int(fields[3]),
        terminal=int(fields[4]),
        resident_pages=int(fields[21]),
    )


def pids(proc: Path = PROC) -> Iterator[int]:
    """The processes that /proc shows now."""
    return (int(each.name) for each in proc.iterdir() if each.name.isdecimal())


class SystemProcesses:
    """The processes that /proc shows to this account. ``name_of`` is the name of a uid; a daemon's does not wait."""

    def __init__(self, proc: Path = PROC, *, name_of: Callable[[int], str] = name_of, cgroups: Path = CGROUPS) -> None:
        self._proc = proc
        self._cgroups = cgroups
        self._name_of = name_of

    def look(self, pids: Collection[int]) -> Mapping[int, ProcessFacts]:
        """The facts about those pids that are processes."""
        found = ((pid, self._look_at(pid)) for pid in pids)
        return {pid: facts for pid, facts in found if facts is not None}

    async def footprints(self, pids: Collection[int]) -> Mapping[int, Footprint]:
        """See :meth:`~notebookd.ports.processes.Processes.footprints`. In a thread: a machine has many processes."""
        return await asyncio.to_thread(self._footprints, pids) if pids else {}

    def _footprints(self, pids: Collection[int]) -> Mapping[int, Footprint]:
        own = self._namespace_of(os.getpid())
        wanted = {pid: namespace for pid in pids if (namespace := self._namespace_of(pid)) not in {None, own}}
        ticks: Counter[str | None] = Counter(dict.fromkeys(wanted.values(), 0))
        pages: Counter[str | None] = Counter()
        for each in self._pids():
            if (namespace := self._namespace_of(each)) in ticks:
                taken = self._taken(each)
                ticks[namespace] += taken[0]
                pages[namespace] += taken[1]
        return {
            pid: Footprint(cpu_s=ticks[namespace] / _TICKS_PER_S, memory_bytes=pages[namespace] * _PAGE_BYTES)
            for pid, namespace in wanted.items()
        }

    def oom_kills(self, pid: int) -> int | None:
        """See :meth:`~notebookd.ports.processes.Processes.oom_kills`."""
        try:
            group = _UNIFIED.search((self._proc / str(pid) / "cgroup").read_text())
            if pid <= 0 or group is None:
                return None
            told = (self._cgroups / group[1].lstrip("/") / "memory.events").read_text()
        except (OSError, ValueError):
            return None
        counted = _OOM_KILL.search(told)
        return int(counted[1]) if counted else None

    def _pids(self) -> Iterator[int]:
        with os.scandir(self._proc) as entries:
            yield from (int(entry.name) for entry in entries if entry.name.isdigit())

    def _namespace_of(self, pid: int) -> str | None:
        try:
            folder = os.open(f"{self._proc}/{pid}", PROCESS_FOLDER)
        except OSError:
            return None
        try:
            return _pid_namespace(folder)
        finally:
            os.close(folder)

    def _taken(self, pid: int) -> tuple[int, int]:
        """Ticks of CPU and pages of memory. Nothing of a process that is gone: whoever collected it has its ticks."""
        try:
            stat = parse_stat((self._proc / str(pid) / "stat").read_bytes())
        except (OSError, ValueError, IndexError):
            return 0, 0
        return stat.cpu_ticks, stat.resident_pages

    def _look_at(self, pid: int) -> ProcessFacts | None:
        if pid <= 0:
            return None
        try:
            folder = os.open(f"{self._proc}/{pid}", PROCESS_FOLDER)
        except OSError:
            return None
        try:
            return self.describe(pid, folder)
        except (OSError, ValueError, IndexError):
            return None
        finally:
            os.close(folder)

    def describe(self, pid: int, folder: int) -> ProcessFacts | None:
        """The facts about the process whose folder is open as ``folder``; None when it ended, though nobody has
        collected it. Raises OSError when it is gone."""
        stat = parse_stat(_read(folder, "stat", STAT_LIMIT_BYTES))
        if stat.ended:
            return None
        container = _CONTAINER.search(_read(folder, "cgroup", CGROUP_LIMIT_BYTES))
        return ProcessFacts(
            pid=pid,
            started=stat.start_ticks,
            user=self._name_of(os.fstat(folder).st_uid),
            command=printable(stat.name.decode("utf-8", "replace")),
            container_id=container.group(1).decode() if container else None,
            pid_namespace=_pid_namespace(folder),
        )


def _pid_namespace(folder: int) -> str | None:
    try:
        seen = os.stat("ns/pid", dir_fd=folder)
    except OSError:
        return None
    return f"{seen.st_dev}:{seen.st_ino}"


def _read(folder: int, name: str, limit: int) -> bytes:
    """A file's bytes up to ``limit``; /proc gives a page or so at a time."""
    descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder)
    try:
        data = b""
        while len(data) < limit and (part := os.read(descriptor, limit - len(data))):
            data += part
        return data
    finally:
        os.close(descriptor)
