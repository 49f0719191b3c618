# SPDX-License-Identifier: Apache-2.0
"""What can be seen of a running notebook's use, at one moment. :mod:`notebookd.domain.idleness` makes sense of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from notebookd.domain.observed import Known, Seen, Unknown


class ActivityApi(StrEnum):
    """What an editor tells of what goes on in it: Jupyter's REST API, code-server's heartbeat, or nothing."""

    JUPYTER = "jupyter"
    CODE_SERVER = "code-server"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One time by both clocks: ``at`` for people, ``boot_s`` (seconds since boot, suspend included) for lengths."""

    at: datetime
    boot_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayUse:
    """Open websockets now, and when something last went through (None: never)."""

    connections: int
    last_used_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """A kernel in an editor, as the editor has it: nothing of it is trusted."""

    id: str
    name: str
    state: str
    last_activity_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Terminal:
    """A terminal in an editor; output counts as activity."""

    name: str
    last_activity_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class EditorActivity:
    """What an editor tells of itself."""

    kernels: tuple[Kernel, ...] = ()
    terminals: tuple[Terminal, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """When code-server noted last that a connection to it was open: at each request, and every minute while there is
    one. None: never since its start. Programs in it move nothing."""

    last_at: datetime | None = None


EditorWord = EditorActivity | Heartbeat | None
"""What an editor tells, by the API that it has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuLoad:
    """How busy a leased GPU is now, 0 to 1; None when it does not tell."""

    index: int
    utilisation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTime:
    """Seconds of CPU that everything in the container whose init is ``pid`` had used at ``boot_s``."""

    pid: int
    used_s: float
    boot_s: float


def cpu_load(before: CpuTime | None, now: CpuTime) -> Seen[float]:
    """How many CPUs were busy on average between two readings; Unknown where they do not tell."""
    if before is None or before.pid != now.pid or before.boot_s >= now.boot_s:
        return Unknown("its programs have been looked at only once")
    if before.used_s > now.used_s:
        return Unknown("a program ended and took its count of CPU time with it")
    return Known((now.used_s - before.used_s) / (now.boot_s - before.boot_s))


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Everything that was seen at one look. ``editor`` is what the ``api`` tells, Known(None) where there is none;
    ``gpus`` holds the run's own; ``cpus`` is how many CPUs its programs keep busy, None where nobody asked."""

    browser: Seen[GatewayUse]
    editor: Seen[EditorWord]
    gpus: Seen[tuple[GpuLoad, ...]]
    cpus: Seen[float] | None = None
    api: ActivityApi = ActivityApi.JUPYTER
