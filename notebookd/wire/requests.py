# SPDX-License-Identifier: Apache-2.0
"""The bodies that callers send."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from notebookd.wire.base import Request
from notebookd.wire.parts import EnvVar, NotebookEnv, Resources, Volume, VolumeText

__all__ = ["DataSyncRequest", "ExtendRequest", "LabelUpdate", "NotebookPatch", "NotebookSpec", "Rename"]


LABEL = "^[A-Za-z0-9]([A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?$"
Name = Annotated[str, Meta(extra_json_schema={"pattern": "^[a-z0-9][a-z0-9-]{0,62}$"})]
LabelName = Annotated[str, Meta(extra_json_schema={"pattern": LABEL})]
LabelValue = Annotated[str, Meta(extra_json_schema={"maxLength": 255})]
Labels = Annotated[dict[str, LabelValue | None], Meta(extra_json_schema={"maxProperties": 64})]
EnvVars = Annotated[list[EnvVar], Meta(extra_json_schema={"maxItems": 256})]
Keys = Annotated[list[str], Meta(extra_json_schema={"maxItems": 10})]
Volumes = Annotated[list[Volume | VolumeText], Meta(extra_json_schema={"maxItems": 10})]


class NotebookSpec(Request, frozen=True):
    """Body of ``POST /v1/notebook`` and ``POST /v1/notebook/command``.

    ``None`` means unset here: the SDK sends null for what its caller did not give.
    """

    env: NotebookEnv
    env_vars: EnvVars | UnsetType | None = UNSET
    labels: Labels | UnsetType | None = UNSET
    name: Name | UnsetType | None = UNSET
    resources: Resources | UnsetType = UNSET
    ssh_public_keys: Keys | UnsetType | None = UNSET
    timeout_auto_restart: bool | UnsetType | None = UNSET
    unsecure_http: bool | UnsetType | None = UNSET
    volumes: Volumes | UnsetType | None = UNSET


class NotebookPatch(Request, frozen=True):
    """Body of ``PUT /v1/notebook/{id}``. ``UNSET`` leaves a field as it is, ``None`` resets it to its default.

    ``env`` never changes, and ``name`` by ``rename`` alone: they are taken when equal to what is stored, so that a spec
    may be put back whole.
    """

    env: NotebookEnv | UnsetType | None = UNSET
    env_vars: EnvVars | UnsetType | None = UNSET
    labels: Labels | UnsetType | None = UNSET
    name: Name | UnsetType | None = UNSET
    resources: Resources | UnsetType | None = UNSET
    ssh_public_keys: Keys | UnsetType | None = UNSET
    timeout_auto_restart: bool | UnsetType | None = UNSET
    unsecure_http: bool | UnsetType | None = UNSET
    volumes: Volumes | UnsetType | None = UNSET


class LabelUpdate(Request, frozen=True):
    """Body of ``PUT /v1/notebook/{id}/label``. An empty, null or absent value removes the label."""

    name: LabelName
    value: LabelValue | UnsetType | None = UNSET


class Rename(Request, frozen=True):
    """Body of ``PUT /v1/notebook/{id}/rename``: a name that its owner has not given to another notebook. A notebook
    that runs has it in its variables and as its host name from its next start on."""

    name: Name


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
