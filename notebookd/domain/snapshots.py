# SPDX-License-Identifier: Apache-2.0
"""Snapshots of workspaces."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from notebookd.domain.ids import NotebookId


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A workspace as it was when its notebook stopped. ``key`` is its id in the notebook's repository. ``size_bytes``
    and ``files`` are what a fork of it takes on the disk; what the snapshot itself takes is less."""

    id: str
    notebook_id: NotebookId
    owner: str
    taken_at: datetime
    key: str
    size_bytes: int
    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkspaceUse:
    """What a workspace took on the disk when it was measured."""

    used_bytes: int
    measured_at: datetime
