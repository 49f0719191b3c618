# SPDX-License-Identifier: Apache-2.0
"""What the daemon answers about the machine, the caller and the catalogue, and how it refuses.

Capabilities and ``me`` have the SDK's shapes: nothing null. The board, the queue and the events are ours; a field there
that is declared ``| None`` is sent as null.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType, field

from notebookd.wire.answers import Resources
from notebookd.wire.base import Answer, StateName, Time, Uuid

__all__ = [
    "Access",
    "ConfigSetting",
    "ConfigShown",
    "Deadline",
    "Dependency",
    "Editor",
    "Event",
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
    "Health",
    "Index",
    "LogLine",
    "LogPage",
    "Me",
    "Queue",
    "QueueEntry",
    "Quotas",
    "Refusal",
    "ResourcesPerUnit",
    "Why",
]


class GpuInformation(Answer, frozen=True):
    """The GPU of a flavor; memory in bytes."""

    gpu_brand: str
    gpu_model: str
    gpu_memory: int


class ResourcesPerUnit(Answer, frozen=True):
    """What comes with one unit (one GPU, or one CPU) of a flavor."""

    cpu: int
    memory: int
    ephemeral_storage: int
    private_network: int | UnsetType = UNSET
    public_network: int | UnsetType = UNSET


class Flavor(Answer, frozen=True):
    """A kind of machine share. ``type`` is ``gpu`` or ``cpu``; ``free`` counts units free now. ``groups`` are those
    whose members may use it; without it, everybody may (both ours)."""

    id: str
    type: str
    description: str
    default: bool
    max_: int = field(name="max")
    free: int
    resources_per_unit: ResourcesPerUnit
    gpu_information: GpuInformation | UnsetType = UNSET
    groups: list[str] | UnsetType = UNSET


class Editor(Answer, frozen=True):
    """An editor in the catalogue. ``incompatible_with`` has the frameworks that it is not offered with; one that is
    ``deprecated`` is offered with none any more, and the text says what to take instead (both ours)."""

    id: str
    name: str
    description: str
    doc_url: str | UnsetType = UNSET
    logo_url: str | UnsetType = UNSET
    versions: list[str] | UnsetType = UNSET
    incompatible_with: list[str] | UnsetType = UNSET
    deprecated: str | UnsetType = UNSET


class Framework(Answer, frozen=True):
    """A framework in the catalogue; the first version is the default. ``deprecated_versions`` (ours) are for no new
    notebook: by version, what to take instead."""

    id: str
    name: str
    description: str
    versions: list[str]
    doc_url: str | UnsetType = UNSET
    logo_url: str | UnsetType = UNSET
    saved_paths: list[str] | UnsetType = UNSET
    deprecated_versions: dict[str, str] | UnsetType = UNSET


class Quotas(Answer, frozen=True):
    """What the caller may hold: ``CPU`` and ``GPU`` units, bytes of storage."""

    resources: dict[str, int]
    storage: int


class Me(Answer, frozen=True):
    """Who the daemon takes the caller for. ``tenant`` is the machine's instance id."""

    name: str
    role: str
    tenant: Uuid
    quotas: Quotas
    token_kind: str | UnsetType = UNSET


class GpuMemory(Answer, frozen=True):
    """Bytes of GPU memory."""

    total: int
    used: int


class GpuLease(Answer, frozen=True):
    """Who holds a GPU, since when, and when it is free at the latest (null: when its owner likes). ``name`` is the
    notebook's, for its owner and admins."""

    notebook: Uuid
    owner: str
    since: Time
    free_at: Time | None
    name: str | UnsetType = UNSET


class GpuProcess(Answer, frozen=True):
    """A process on a GPU; ``memory`` in bytes, ``notebook`` null when it is nobody's of ours."""

    pid: int
    user: str
    command: str
    memory: int | None
    notebook: Uuid | None


class GpuHealth(Answer, frozen=True):
    """``ok``, or what is wrong: the Xid, when, and the notebook that it hit. ``throttle`` says why its clocks are held
    down now, which makes it slow and not sick: ``power-cap``, ``power-brake``, ``thermal``, ``thermal-hardware``,
    ``hardware-slowdown``; left out when they are not."""

    status: str
    message: str | UnsetType = UNSET
    xid: int | UnsetType = UNSET
    at: Time | UnsetType = UNSET
    notebook: Uuid | UnsetType = UNSET
    throttle: list[str] | UnsetType = UNSET


class Gpu(Answer, frozen=True):
    """A row of the board. Utilisation in percent, temperature in Celsius, power in watts; null: not readable now.
    ``pci_bus_id`` is where other tools and the kernel's log have it; neither it nor ``index`` is stable over boots.
    ``leftover`` is memory in bytes that no process on it holds: such a GPU is leased last. It is left out where that
    is no more than ``[gpus] leftover_memory``. ``drain_reason`` is what was said when it was drained."""

    uuid: str
    index: int
    name: str
    memory: GpuMemory | None
    utilisation: int | None
    temperature: int | None
    power: float | None
    state: str
    drained: bool
    foreign: bool
    lease: GpuLease | None
    processes: list[GpuProcess]
    health: GpuHealth
    pci_bus_id: str | UnsetType = UNSET
    leftover: int | UnsetType = UNSET
    drain_reason: str | UnsetType = UNSET


class GpuList(Answer, frozen=True):
    """The board. ``trouble`` says why the GPUs cannot be seen now: then the rows are those that were seen last."""

    items: list[Gpu]
    trouble: str | UnsetType = UNSET


class QueueEntry(Answer, frozen=True):
    """A waiting run. ``waits_for`` is a sentence; ``latest_start_at`` an upper bound, null when none is known."""

    notebook: Uuid
    name: str
    owner: str
    position: int
    asks_for: Resources
    waits_for: str
    latest_start_at: Time | None
    queued_at: Time


class Load(Answer, frozen=True):
    """What a running notebook takes of the machine now: how many CPUs were busy for it over the last seconds, left out
    at a first look; bytes of memory that its processes hold, where shared pages count for each."""

    notebook: Uuid
    memory: int
    cpus: float | UnsetType = UNSET


class LoadList(Answer, frozen=True):
    """The running notebooks' loads. One that cannot be seen is left out."""

    items: list[Load]


class Queue(Answer, frozen=True):
    """The waiting runs, first to start first."""

    items: list[QueueEntry]


class Deadline(Answer, frozen=True):
    """What will happen when, because of what, and what moves it."""

    reason: str
    at: Time
    why: str
    moved_by: str | UnsetType = UNSET


class Extended(Answer, frozen=True):
    """Where a notebook's deadline stands after an extension."""

    timeout_at: Time


class Why(Answer, frozen=True):
    """Why a notebook is as it is: sentences for people, the same as data for programs."""

    notebook: Uuid
    state: StateName
    sentences: list[str]
    deadlines: list[Deadline]
    waits_for: QueueEntry | UnsetType = UNSET


class Event(Answer, frozen=True):
    """Something that happened. Ids increase; ``before`` and ``after`` are notebook states."""

    id: int
    at: Time
    actor: str
    type: str
    notebook: Uuid | UnsetType = UNSET
    before: StateName | UnsetType = UNSET
    after: StateName | UnsetType = UNSET
    details: dict[str, Any] | UnsetType = UNSET


class LogLine(Answer, frozen=True):
    """A line that the editor wrote, without its line end."""

    timestamp: Time
    content: str


class LogPage(Answer, frozen=True):
    """The log, oldest line first. ``last_activity`` is left out while there is no line."""

    logs: list[LogLine]
    last_activity: Time | UnsetType = UNSET


class Dependency(Answer, frozen=True):
    """The state of something the daemon needs: ``ok``, ``degraded``, ``failed`` or ``unknown``."""

    status: str
    message: str | UnsetType = UNSET


class Health(Answer, frozen=True):
    """Readiness: ``ok``, ``degraded`` or ``failed``, and every dependency by name."""

    status: str
    version: str
    dependencies: dict[str, Dependency]


class Index(Answer, frozen=True):
    """What is served: routes beyond the OVHcloud AI API, and where all of them are described."""

    version: str
    extensions: list[str]
    openapi: str


class ConfigSetting(Answer, frozen=True):
    """A key of the configuration, dotted, and what holds for it. ``source`` is ``file`` or ``default``, for admins."""

    key: str
    value: Any
    source: str | UnsetType = UNSET


class ConfigShown(Answer, frozen=True):
    """The configuration in force, without secrets; to members the part that concerns them."""

    items: list[ConfigSetting]
    file: str | UnsetType = UNSET


class Access(Answer, frozen=True):
    """The way in, for the owner: the URL with the token in it, and the token. Both die at the next start."""

    url: str
    token: str


class FaultRow(Answer, frozen=True):
    """One fault of a body, as ``details.faults`` of a refusal holds it."""

    path: str
    message: str


class Refusal(Answer, frozen=True):
    """The body of every error."""

    message: str
    code: str
    hint: str | UnsetType = UNSET
    details: dict[str, Any] | UnsetType = UNSET
