# SPDX-License-Identifier: Apache-2.0
"""What the daemon answers about notebooks, in the shapes of the OVHcloud AI API v1.

A field that is ``UNSET`` is left out, and no ``None`` is ever put into these shapes: the SDK fails on null. Times are
texts made by :func:`~notebookd.wire.base.rfc3339`, durations whole seconds, sizes bytes.
"""

from __future__ import annotations

from msgspec import UNSET, UnsetType, field

from notebookd.wire import parts
from notebookd.wire.base import Answer, JobStateName, StateName, Time, Uuid

__all__ = [
    "Command",
    "DataStoreSource",
    "DataSync",
    "DataSyncProgress",
    "DataSyncSpec",
    "DataSyncStatus",
    "EnvVar",
    "Info",
    "JobStateHistory",
    "JobStatus",
    "Links",
    "Metadata",
    "Notebook",
    "NotebookEnv",
    "NotebookList",
    "NotebookStatus",
    "Resources",
    "Spec",
    "StandaloneSource",
    "UrlSource",
    "Volume",
    "VolumeStatus",
    "Workspace",
]


class NotebookEnv(parts.NotebookEnv, frozen=True, forbid_unknown_fields=False):
    """The editor and framework of a notebook, the version filled in."""


class EnvVar(parts.EnvVar, frozen=True, forbid_unknown_fields=False):
    """One environment variable of the editor."""


class Resources(parts.Resources, frozen=True, forbid_unknown_fields=False):
    """What the notebook has, derived values filled in."""

    gpu_brand: str | UnsetType = UNSET
    gpu_memory: parts.Count | UnsetType = UNSET
    gpu_model: str | UnsetType = UNSET


class DataStoreSource(parts.DataStoreSource, frozen=True, forbid_unknown_fields=False):
    """A datastore's container and prefix."""


class UrlSource(parts.UrlSource, frozen=True, forbid_unknown_fields=False):
    """A git repository's address."""


class StandaloneSource(parts.StandaloneSource, frozen=True, forbid_unknown_fields=False):
    """Scratch space."""


class Volume(Answer, frozen=True):
    """A volume with exactly one source; ``permission`` is ``RO``, ``RW`` or ``RWD``."""

    mount_path: str
    permission: str
    cache: bool
    data_store: DataStoreSource | UnsetType = UNSET
    public_git: UrlSource | UnsetType = UNSET
    standalone: StandaloneSource | UnsetType = UNSET


class Spec(Answer, frozen=True):
    """A notebook's spec as it is stored, everything generated or derived filled in."""

    env: NotebookEnv
    resources: Resources
    name: str
    env_vars: list[EnvVar] | UnsetType = UNSET
    labels: dict[str, str] | UnsetType = UNSET
    ssh_public_keys: list[str] | UnsetType = UNSET
    timeout_auto_restart: bool | UnsetType = UNSET
    unsecure_http: bool | UnsetType = UNSET
    volumes: list[Volume] | UnsetType = UNSET


class Info(Answer, frozen=True):
    """Why a state is what it is: a stable code, a sentence, and the values in it."""

    code: str
    message: str
    arguments: dict[str, str] | UnsetType = UNSET


class JobStateHistory(Answer, frozen=True):
    """When a run entered a state."""

    date: Time
    state: JobStateName


class DataSyncSpec(Answer, frozen=True):
    """What a transfer was asked to do. ``kind`` is finer than ``direction``: ``pull``, ``push``, ``snapshot`` of the
    workspace (a push) or ``restore`` of one (a pull)."""

    direction: str
    kind: str | UnsetType = UNSET
    manual: bool | UnsetType = UNSET
    volume: str | UnsetType = UNSET


class VolumeStatus(Answer, frozen=True):
    """When a volume was last pulled and pushed."""

    id: str
    mount_path: str
    last_pulled_created_at: Time | UnsetType = UNSET
    last_pushed_created_at: Time | UnsetType = UNSET
    user_volume_id: str | UnsetType = UNSET


class DataSyncProgress(Answer, frozen=True):
    """How far one volume of a transfer is, in files but for the bytes. ``info`` is a text, unlike everywhere else: what
    is transferred. ``reason`` is how it stands, or why it failed."""

    id: str
    data_sync_id: Uuid
    direction: str
    state: str
    completed: int | UnsetType = UNSET
    created_at: Time | UnsetType = UNSET
    deleted: int | UnsetType = UNSET
    eta: int | UnsetType = UNSET
    failed: int | UnsetType = UNSET
    info: str | UnsetType = UNSET
    notebook_volume: Volume | UnsetType = UNSET
    processed: int | UnsetType = UNSET
    reason: Info | UnsetType = UNSET
    skipped: int | UnsetType = UNSET
    total: int | UnsetType = UNSET
    total_bytes: int | UnsetType = UNSET
    transferred_bytes: int | UnsetType = UNSET
    updated_at: Time | UnsetType = UNSET
    volume_status: VolumeStatus | UnsetType = UNSET


class DataSyncStatus(Answer, frozen=True):
    """How a transfer goes."""

    queued_at: Time
    state: str
    ended_at: Time | UnsetType = UNSET
    info: Info | UnsetType = UNSET
    progress: list[DataSyncProgress] | UnsetType = UNSET
    started_at: Time | UnsetType = UNSET


class DataSync(Answer, frozen=True):
    """A transfer."""

    id: Uuid
    created_at: Time
    updated_at: Time
    spec: DataSyncSpec
    status: DataSyncStatus


class JobStatus(Answer, frozen=True):
    """The latest run of a notebook. ``duration`` counts RUNNING in this run; ``timeout_at`` from the latest entry."""

    state: JobStateName
    history: list[JobStateHistory]
    queued_at: Time
    duration: int
    data_sync: list[DataSync] | UnsetType = UNSET
    exit_code: int | UnsetType = UNSET
    finalized_at: Time | UnsetType = UNSET
    info: Info | UnsetType = UNSET
    initializing_at: Time | UnsetType = UNSET
    last_transition_date: Time | UnsetType = UNSET
    started_at: Time | UnsetType = UNSET
    stopped_at: Time | UnsetType = UNSET
    timeout_at: Time | UnsetType = UNSET
    url: str | UnsetType = UNSET
    volumes: list[VolumeStatus] | UnsetType = UNSET


class Workspace(Answer, frozen=True):
    """Bytes that the workspace may still take, and uses where that is known."""

    storage_free: int
    storage_used: int | UnsetType = UNSET


class NotebookStatus(Answer, frozen=True):
    """What is. ``duration`` counts RUNNING over all runs; ``url`` never changes."""

    state: StateName
    url: str
    data_sync: list[DataSync] | UnsetType = UNSET
    duration: int | UnsetType = UNSET
    info: Info | UnsetType = UNSET
    last_job_status: JobStatus | UnsetType = UNSET
    last_started_at: Time | UnsetType = UNSET
    last_stopped_at: Time | UnsetType = UNSET
    monitoring_url: str | UnsetType = UNSET
    ssh_url: str | UnsetType = UNSET
    volumes: list[VolumeStatus] | UnsetType = UNSET
    workspace: Workspace | UnsetType = UNSET


class Notebook(Answer, frozen=True):
    """A notebook: what was asked for and what is."""

    id: Uuid
    created_at: Time
    updated_at: Time
    spec: Spec
    status: NotebookStatus
    user: str


class Links(Answer, frozen=True):
    """Where the next page is, when there is one."""

    next_: str | UnsetType = field(default=UNSET, name="next")


class Metadata(Answer, frozen=True):
    """Which page of how many. Pages count from 1; ``links`` is always there."""

    current_page: int
    page_count: int
    total: int
    links: Links


class NotebookList(Answer, frozen=True):
    """A page of notebooks."""

    items: list[Notebook]
    metadata: Metadata


class Command(Answer, frozen=True):
    """The command line that equals a spec."""

    command: str
