# SPDX-License-Identifier: Apache-2.0
"""The processes port: who a pid is.

Implementations: :mod:`notebookd.adapters.processes` and :mod:`notebookd.testing.processes`. Both pass
``tests/contract/test_processes_contract.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessFacts:
    """A process as it was at one moment.

    ``pid`` and ``started`` (clock ticks from boot to its start) together are its identity. ``user`` is the account
    that it acts as, or the uid as text where that has no name. ``command`` is the kernel's short name of the
    process, chosen by the process itself and made :func:`printable`; the command line is never read, since it may
    hold secrets. ``container_id`` is the outermost Podman container that its cgroup is named after: 64 hexadecimal
    digits, or None. Whoever owns a cgroup may name it so: a claim that wants the container's own word beside it.
    ``pid_namespace`` is ``device:inode`` of its pid namespace, equal for two processes exactly when they share one;
    None when this account may not see it or the process is going away."""

    pid: int
    started: int
    user: str
    command: str
    container_id: str | None
    pid_namespace: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """What the processes of a pid namespace take: seconds of CPU so far, those that ended and were collected by another
    of them among them; bytes of memory that are theirs now. Pages that several of them share are counted at each."""

    cpu_s: float
    memory_bytes: int


class Processes(Protocol):
    """The processes of this machine, numbered as the GPU driver numbers them: by the host's pids."""

    def look(self, pids: Collection[int]) -> Mapping[int, ProcessFacts]:
        """The facts about those pids. One that is no process, is no longer one, or is hidden from this account is
        left out. Quick and never raises; all facts about a pid are of one and the same process."""
        ...

    async def footprints(self, pids: Collection[int]) -> Mapping[int, Footprint]:
        """Of each of ``pids``: what the processes in its pid namespace take. One is left out when that cannot be seen,
        or its namespace is this process's own: a container's never is. Looks through all processes once. Never
        raises."""
        ...

    def oom_kills(self, pid: int) -> int | None:
        """How many processes the kernel has killed for want of memory in the cgroup that ``pid`` is in, since that was
        made. None where it does not tell: no such process, no memory controller. Quick and never raises."""
        ...


def printable(name: str) -> str:
    """``name`` with everything that could steer a terminal or hide text (control, escape and format characters, line
    ends) replaced by ``?``."""
    return "".join(character if character.isprintable() else "?" for character in name)
