# SPDX-License-Identifier: Apache-2.0
"""The notebook: what somebody asked for, and keeps over stop and start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from notebookd.domain.ids import NotebookId
from notebookd.domain.volumes import Volume


class Wanted(StrEnum):
    """What the notebook's owner wants of it now."""

    RUNNING = "running"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRequest:
    """Compute as asked for: units of a flavor of GPUs or of CPUs."""

    flavor: str
    units: int
    gpu: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookSpec:
    """What was asked for, validated and completed (see :mod:`notebookd.domain.spec`)."""

    name: str
    editor: str
    framework: str
    framework_version: str
    resources: ResourceRequest
    labels: Mapping[str, str] = field(default_factory=dict)
    env_vars: tuple[tuple[str, str], ...] = ()
    ssh_public_keys: tuple[str, ...] = ()
    timeout_auto_restart: bool = False
    unsecure_http: bool = False
    volumes: tuple[Volume, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notebook:
    """A notebook. ``version`` grows with every change (the ETag); times are aware UTC.

    ``token`` opens the editor through the gateway; it rotates at each start and is shown to the owner alone.
    ``session_secret`` is what browsers' sessions are made with; it goes on over stops and starts, until the owner
    renews it or the notebook is given to another.
    """

    id: NotebookId
    owner: str
    spec: NotebookSpec
    wanted: Wanted
    created_at: datetime
    updated_at: datetime
    token: str | None = None
    session_secret: str | None = None
    deleting_at: datetime | None = None
    workspace_made: bool = False
    """Whether a workspace was ever made: from then on a missing one is a fault and never made anew."""
    version: int = 0
