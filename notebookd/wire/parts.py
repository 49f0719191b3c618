# SPDX-License-Identifier: Apache-2.0
"""The pieces of a notebook's spec, in the strict form that requests use.

Names and types are those of the OVHcloud AI API v1. :mod:`notebookd.wire.answers` derives the lenient twins.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from notebookd.wire.base import Request

__all__ = [
    "DataStoreSource",
    "EnvVar",
    "NotebookEnv",
    "PrivateSwiftSource",
    "Resources",
    "StandaloneSource",
    "UrlSource",
    "Volume",
    "VolumeText",
]

Count = Annotated[int, Meta(ge=0)]
MountPath = Annotated[str, Meta(extra_json_schema={"pattern": "^/\\S*$", "maxLength": 50})]
PermissionWord = Annotated[str, Meta(extra_json_schema={"pattern": "^([rR]|[rR][oO]|[rR][wW]|[rR][wW][dD])$"})]
VolumeText = Annotated[
    str,
    Meta(description="As the command line has it: `container@alias/prefix:/mount:rw`, `https://….git:/mount`, …"),
]
"""A volume in the one grammar of people."""
EnvName = Annotated[str, Meta(extra_json_schema={"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"})]
EnvValue = Annotated[str, Meta(extra_json_schema={"maxLength": 32768})]


class NotebookEnv(Request, frozen=True):
    """Which editor runs on which framework. Without a version the catalogue's newest is taken."""

    editor_id: str
    framework_id: str
    framework_version: str | UnsetType = UNSET


class EnvVar(Request, frozen=True):
    """One environment variable of the editor."""

    name: EnvName
    value: EnvValue


class Resources(Request, frozen=True):
    """What a notebook asks for (``gpu``, ``cpu``, ``flavor``) and what derives from it (the rest; bytes, bits/s)."""

    cpu: Count | UnsetType = UNSET
    ephemeral_storage: Count | UnsetType = UNSET
    flavor: str | UnsetType = UNSET
    gpu: Count | UnsetType = UNSET
    gpu_brand: str | UnsetType | None = UNSET
    gpu_memory: Count | UnsetType | None = UNSET
    gpu_model: str | UnsetType | None = UNSET
    memory: Count | UnsetType = UNSET
    private_network: Count | UnsetType = UNSET
    public_network: Count | UnsetType = UNSET


class DataStoreSource(Request, frozen=True):
    """A container (which may be empty, meaning all of it) in a datastore, optionally a prefix in it."""

    alias: str
    container: str
    archive: str | UnsetType = UNSET
    internal: bool | UnsetType = UNSET
    prefix: str | UnsetType = UNSET


class PrivateSwiftSource(Request, frozen=True):
    """A cloud's object container, as the SDK can spell it."""

    container: str
    region: str
    archive: str | UnsetType = UNSET
    internal: bool | UnsetType = UNSET
    prefix: str | UnsetType = UNSET


class UrlSource(Request, frozen=True):
    """A public address: of a git repository, or of a public object container."""

    url: str


class StandaloneSource(Request, frozen=True):
    """Scratch space that belongs to the notebook. Nothing to say about it."""


class Volume(Request, frozen=True):
    """Data at a path in the notebook. Exactly one source is set; that is checked with the rest of the meaning."""

    mount_path: MountPath
    permission: PermissionWord
    cache: bool | UnsetType = UNSET
    data_store: DataStoreSource | UnsetType = UNSET
    private_swift: PrivateSwiftSource | UnsetType = UNSET
    public_git: UrlSource | UnsetType = UNSET
    public_swift: UrlSource | UnsetType = UNSET
    standalone: StandaloneSource | UnsetType = UNSET
    target_data_store: DataStoreSource | UnsetType = UNSET
    target_private_swift: PrivateSwiftSource | UnsetType = UNSET
