# SPDX-License-Identifier: Apache-2.0
"""What a plan may ask to be done in the world. Each is idempotent: doing it twice is doing it once."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from notebookd.domain.run import Warned
from notebookd.domain.syncing import Errand


@dataclass(frozen=True, slots=True)
class PrepareFiles:
    """Make the workspace (or find its marker) and the editor's directory."""


@dataclass(frozen=True, slots=True)
class CreateContainer:
    """Create the run's container from the run's own record."""


@dataclass(frozen=True, slots=True)
class StartContainer:
    """Start the run's container."""


@dataclass(frozen=True, slots=True)
class AwaitEditor:
    """Probe the editor until it answers, somebody calls, or ``until``."""

    until: datetime


@dataclass(frozen=True, slots=True)
class StopContainer:
    """SIGTERM, grace, SIGKILL."""

    grace_s: float


@dataclass(frozen=True, slots=True)
class LeaveNotice:
    """Leave a text for the user in the workspace, and remember that he was warned."""

    reason: str
    text: str
    warned: Warned


@dataclass(frozen=True, slots=True)
class RemoveNotice:
    """Take the notice away: what it says is no longer so."""

    reason: str


@dataclass(frozen=True, slots=True)
class KeepLog:
    """Copy the container's log to the run's log file before the container goes."""


@dataclass(frozen=True, slots=True)
class RemoveContainer:
    """Remove the ended container and the editor's directory."""


@dataclass(frozen=True, slots=True)
class QuarantineGpu:
    """Keep a GPU from everybody: processes of a run whose container is gone do not leave it."""

    gpu_uuid: str
    lingering: str


@dataclass(frozen=True, slots=True)
class RemoveFiles:
    """Remove what a deleted notebook leaves: workspace, editor directory, logs, route."""


RunAction: TypeAlias = (
    PrepareFiles
    | CreateContainer
    | StartContainer
    | AwaitEditor
    | StopContainer
    | LeaveNotice
    | RemoveNotice
    | KeepLog
    | RemoveContainer
    | QuarantineGpu
    | RemoveFiles
)

Action: TypeAlias = RunAction | Errand
