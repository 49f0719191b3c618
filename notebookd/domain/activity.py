# SPDX-License-Identifier: Apache-2.0
"""What can be seen of a running notebook's use, at one moment. :mod:`notebookd.domain.idleness` makes sense of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from notebookd.domain.observed import Seen


class ActivityApi(StrEnum):
    """What an editor tells of what goes on in it: Jupyter's REST API, or nothing."""

    JUPYTER = "jupyter"
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
class GpuLoad:
    """How busy a leased GPU is now, 0 to 1; None when it does not tell."""

    index: int
    utilisation: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Signals:
    """Everything that was seen at one look. ``editor`` Known(None) is one without an activity API; ``gpus`` holds the
    run's own."""

    browser: Seen[GatewayUse]
    editor: Seen[EditorActivity | None]
    gpus: Seen[tuple[GpuLoad, ...]]
