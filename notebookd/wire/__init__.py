# SPDX-License-Identifier: Apache-2.0
"""The shapes that cross the socket, used by the API and its clients alike.

Requests (:mod:`.requests`, made of the strict :mod:`.parts`) are decoded with :func:`decode`, which names every fault.
Answers (:mod:`.answers`, :mod:`.machine`) are encoded with :func:`encode`. A request's type and an answer's type of the
same thing differ in what they tolerate; where both exist, the answer's is ``answers.Volume`` and so on.

A shape's module is imported when the shape is first asked for: a command that shows one kind of thing does not load the
shapes of all others.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType

if TYPE_CHECKING:
    from notebookd.wire import answers
    from notebookd.wire.accounts import Chown, DiskRow, DiskUsage, Handover
    from notebookd.wire.answers import (
        Command,
        DataSync,
        DataSyncProgress,
        DataSyncSpec,
        DataSyncStatus,
        Info,
        JobStateHistory,
        JobStatus,
        Links,
        Metadata,
        Notebook,
        NotebookList,
        NotebookStatus,
        Spec,
        VolumeStatus,
        Workspace,
    )
    from notebookd.wire.base import Answer, Request, parse_rfc3339, rfc3339
    from notebookd.wire.data import (
        BackupCheck,
        Datastore,
        DatastoreList,
        NotebookBackup,
        NotebookBackupList,
        ObjectList,
        StoredObject,
    )
    from notebookd.wire.decoding import DecodeFaults, Fault, decode
    from notebookd.wire.images import (
        CatalogueUse,
        Image,
        ImageList,
        ImageOrder,
        ImageProgress,
        ImageRecipe,
        ImageUser,
        Timings,
        TimingStep,
    )
    from notebookd.wire.machine import (
        Access,
        ConfigSetting,
        ConfigShown,
        Deadline,
        Dependency,
        Editor,
        Event,
        Extended,
        FaultRow,
        Flavor,
        Framework,
        Gpu,
        GpuHealth,
        GpuInformation,
        GpuLease,
        GpuList,
        GpuMemory,
        GpuProcess,
        Health,
        Index,
        Load,
        LoadList,
        LogLine,
        LogPage,
        Me,
        Queue,
        QueueEntry,
        Quotas,
        Refusal,
        ResourcesPerUnit,
        Why,
    )
    from notebookd.wire.parts import (
        DataStoreSource,
        EnvVar,
        NotebookEnv,
        PrivateSwiftSource,
        Resources,
        StandaloneSource,
        UrlSource,
        Volume,
        VolumeText,
    )
    from notebookd.wire.requests import (
        DataSyncRequest,
        ExtendRequest,
        LabelUpdate,
        NotebookPatch,
        NotebookSpec,
        Rename,
    )
    from notebookd.wire.tokens import NewToken, Token, TokenList, TokenSpec, TokenStatus
    from notebookd.wire.usage import (
        Ending,
        Minutes,
        Price,
        Receipt,
        ReceiptGpu,
        ReceiptStay,
        Usage,
        UsageRow,
        group_word,
    )

__all__ = [
    "UNSET",
    "Access",
    "Answer",
    "BackupCheck",
    "Chown",
    "Command",
    "ConfigSetting",
    "ConfigShown",
    "DataStoreSource",
    "DataSync",
    "DataSyncProgress",
    "DataSyncRequest",
    "DataSyncSpec",
    "DataSyncStatus",
    "Datastore",
    "DatastoreList",
    "DiskRow",
    "DiskUsage",
    "Deadline",
    "DecodeFaults",
    "Dependency",
    "Editor",
    "EnvVar",
    "Event",
    "ExtendRequest",
    "Fault",
    "Extended",
    "FaultRow",
    "Flavor",
    "Framework",
    "Gpu",
    "GpuHealth",
    "GpuInformation",
    "GpuLease",
    "GpuList",
    "GpuMemory",
    "GpuProcess",
    "Handover",
    "Health",
    "Index",
    "Load",
    "LoadList",
    "CatalogueUse",
    "Image",
    "ImageList",
    "ImageOrder",
    "ImageProgress",
    "ImageRecipe",
    "ImageUser",
    "TimingStep",
    "Timings",
    "Info",
    "JobStateHistory",
    "JobStatus",
    "LabelUpdate",
    "Links",
    "LogLine",
    "LogPage",
    "Me",
    "Metadata",
    "Notebook",
    "NotebookBackup",
    "NotebookBackupList",
    "NotebookEnv",
    "NotebookList",
    "NotebookPatch",
    "NotebookSpec",
    "NotebookStatus",
    "ObjectList",
    "NewToken",
    "PrivateSwiftSource",
    "Queue",
    "QueueEntry",
    "Quotas",
    "Refusal",
    "Rename",
    "Request",
    "Resources",
    "ResourcesPerUnit",
    "Spec",
    "StandaloneSource",
    "StoredObject",
    "Token",
    "TokenList",
    "TokenSpec",
    "TokenStatus",
    "UnsetType",
    "UrlSource",
    "Volume",
    "VolumeStatus",
    "VolumeText",
    "Why",
    "Workspace",
    "answers",
    "decode",
    "encode",
    "parse_rfc3339",
    "rfc3339",
    "Ending",
    "Minutes",
    "Price",
    "Receipt",
    "ReceiptGpu",
    "ReceiptStay",
    "Usage",
    "UsageRow",
    "group_word",
]

_HOMES = {
    name: home
    for home, names in {
        "accounts": "Chown DiskRow DiskUsage Handover",
        "answers": (
            "Command DataSync DataSyncProgress DataSyncSpec DataSyncStatus Info JobStateHistory JobStatus "
            "Links Metadata Notebook NotebookList NotebookStatus Spec VolumeStatus Workspace"
        ),
        "base": "Answer Request parse_rfc3339 rfc3339",
        "data": "BackupCheck Datastore DatastoreList NotebookBackup NotebookBackupList ObjectList StoredObject",
        "decoding": "DecodeFaults Fault decode",
        "images": "CatalogueUse Image ImageList ImageOrder ImageProgress ImageRecipe ImageUser TimingStep Timings",
        "machine": (
            "Access ConfigSetting ConfigShown Deadline Dependency Editor Event Extended FaultRow Flavor "
            "Framework Gpu GpuHealth GpuInformation GpuLease GpuList GpuMemory GpuProcess Health Index "
            "Load LoadList LogLine LogPage Me Queue QueueEntry Quotas Refusal ResourcesPerUnit Why"
        ),
        "parts": (
            "DataStoreSource EnvVar NotebookEnv PrivateSwiftSource Resources StandaloneSource UrlSource "
            "Volume VolumeText"
        ),
        "requests": "DataSyncRequest ExtendRequest LabelUpdate NotebookPatch NotebookSpec Rename",
        "tokens": "NewToken Token TokenList TokenSpec TokenStatus",
        "usage": "Ending Minutes Price Receipt ReceiptGpu ReceiptStay Usage UsageRow group_word",
    }.items()
    for name in names.split()
}
"""In which module each is, as above."""

_ENCODER = msgspec.json.Encoder()


def encoded(body: bytes) -> Any:
    """A shape that is encoded already, as a part of another one."""
    return msgspec.Raw(body)


def encode(value: Any) -> bytes:
    """Encode a shape, or a list of shapes, as JSON."""
    return _ENCODER.encode(value)


def __getattr__(name: str) -> Any:
    """A shape, or a module of them, on first use."""
    home = _HOMES.get(name)
    if home is None and name != "answers":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{home or name}")
    value = getattr(module, name) if home else module
    globals()[name] = value
    return value
