# SPDX-License-Identifier: Apache-2.0
"""A container as seen from outside, after the engine's word was checked against its process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from notebookd.domain.run import Run


class ContainerStatus(StrEnum):
    """What a container is, after the engine's word was checked against its process."""

    CREATED = "created"
    """Created and never started in this boot."""
    RUNNING = "running"
    """The engine says so *and* its pid is alive with the recorded start time."""
    EXITED = "exited"
    """Ended; ``exit_code`` and ``finished_at`` are the engine's."""
    LOST = "lost"
    """The engine's word and the process disagree (dead pid under "running", "created" with a start time):
    the container has ended, its exit code and end are unknown (both None)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container as observed. ``pid`` is the host pid of its init, None unless RUNNING. Times are aware UTC."""

    id: str
    name: str
    labels: Mapping[str, str]
    status: ContainerStatus
    image_digest: str | None
    pid: int | None
    started_at: datetime | None
    finished_at: datetime | None
    exit_code: int | None
    oom_killed: bool = False
    """Whether the engine knows that something in it was killed for memory."""


def container_name(run: Run) -> str:
    """The deterministic name of a run's container."""
    return f"notebookd-{run.id}"
