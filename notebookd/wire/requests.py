# SPDX-License-Identifier: Apache-2.0
"""The bodies that callers send."""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from notebookd.wire.base import Request
from notebookd.wire.parts import EnvVar, NotebookEnv, Resources, Volume

__all__ = ["DataSyncRequest", "ExtendRequest", "LabelUpdate", "NotebookPatch", "NotebookSpec"]


class NotebookSpec(Request, frozen=True):
    """Body of ``POST /v1/notebook`` and ``POST /v1/notebook/command``.

    ``None`` means unset here: the SDK sends null for what its caller did not give.
    """

    env: NotebookEnv
    env_vars: list[EnvVar] | UnsetType | None = UNSET
    labels: dict[str, str | None] | UnsetType | None = UNSET
    name: str | UnsetType | None = UNSET
    resources: Resources | UnsetType = UNSET
    ssh_public_keys: list[str] | UnsetType | None = UNSET
    timeout_auto_restart: bool | UnsetType | None = UNSET
    unsecure_http: bool | UnsetType | None = UNSET
    volumes: list[Volume] | UnsetType | None = UNSET


class NotebookPatch(Request, frozen=True):
    """Body of ``PUT /v1/notebook/{id}``. ``UNSET`` leaves a field as it is, ``None`` resets it to its default."""

    labels: dict[str, str | None] | UnsetType | None = UNSET
    resources: Resources | UnsetType | None = UNSET
    ssh_public_keys: list[str] | UnsetType | None = UNSET
    timeout_auto_restart: bool | UnsetType | None = UNSET
    unsecure_http: bool | UnsetType | None = UNSET
    volumes: list[Volume] | UnsetType | None = UNSET


class LabelUpdate(Request, frozen=True):
    """Body of ``PUT /v1/notebook/{id}/label``. An empty, null or absent value removes the label."""

    name: str
    value: str | UnsetType | None = UNSET


class ExtendRequest(Request, frozen=True):
    """Body of ``PUT /v1/notebook/{id}/extend``: exactly one of a duration (``"2d"``) and a time (RFC 3339)."""

    duration: str | UnsetType = UNSET
    until: str | UnsetType = UNSET


class DataSyncRequest(Request, frozen=True):
    """Body of ``POST /v1/notebook/{id}/datasync``: all volumes, or the one named by its id or mount path."""

    direction: Literal["pull", "push"]
    app_id: str | UnsetType | None = UNSET
    job_id: str | UnsetType | None = UNSET
    manual: bool | UnsetType = UNSET
    volume: str | UnsetType | None = UNSET
