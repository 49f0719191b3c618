# SPDX-License-Identifier: Apache-2.0
"""What happened, for the record: every mutation and every change of state leaves one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from notebookd.domain.ids import NotebookId, RunId

PLATFORM = "notebookd"
"""The actor of what nobody asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """An entry of the record. ``type`` is ``<noun>.<what happened>``; ``before`` and ``after`` are notebook states."""

    type: str
    at: datetime
    actor: str = PLATFORM
    notebook_id: NotebookId | None = None
    run_id: RunId | None = None
    owner: str | None = None
    before: str | None = None
    after: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    id: int = 0
