# SPDX-License-Identifier: Apache-2.0
"""The configuration as frozen values. Units stand in the names; defaults are in :mod:`notebookd.config.load`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Literal

GpuDriver = Literal["nvml", "simulated"]
ActivityApi = Literal["jupyter", "code-server", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where things lie. Everything else below these two follows from them."""

    state: Path
    runtime: Path

    @property
    def database(self) -> Path:
        """The SQLite file."""
        return self.state / "notebookd.db"

    @property
    def workspaces(self) -> Path:
        """One folder per notebook, mounted at /workspace."""
        return self.state / "workspaces"

    @property
    def volumes(self) -> Path:
        """Copies of volumes, by notebook and volume."""
        return self.state / "volumes"

    @property
    def cache(self) -> Path:
        """Copies that notebooks share, by source."""
        return self.state / "cache"

    def copy(self, notebook: str, volume: str) -> Path:
        """A notebook's own copy of a volume, in ``data``, and beside it what its movers keep."""
        return self.volumes / notebook / volume

    def shared(self, source: str) -> Path:
        """The copies of a source (as people write it) that notebooks share, by version below ``versions``."""
        return self.cache / sha256(source.encode()).hexdigest()

    @property
    def movers(self) -> Path:
        """What movers are told and say, by mover."""
        return self.state / "movers"

    @property
    def secrets(self) -> Path:
        """Keys that notebookd made for itself."""
        return self.state / "secrets"

    @property
    def snapshots(self) -> Path:
        """Where snapshots lie if the configuration says nothing else, by notebook."""
        return self.state / "snapshots"

    @property
    def seccomp(self) -> Path:
        """The containers' seccomp profile, made of the engine's own."""
        return self.state / "seccomp.json"

    @property
    def trust(self) -> Path:
        """What containers trust, by notebook."""
        return self.state / "trust"

    @property
    def trash(self) -> Path:
        """What is being removed."""
        return self.state / "trash"

    @property
    def logs(self) -> Path:
        """What remains of containers' output."""
        return self.state / "logs"

    @property
    def editors(self) -> Path:
        """One folder per notebook, mounted at /run/editor."""
        return self.runtime / "editors"

    @property
    def routes(self) -> Path:
        """One file per notebook, written for the gateway."""
        return self.runtime / "routes"

    @property
    def bearers(self) -> Path:
        """The socket by which the gateway passes on what comes for the API, where that is turned on."""
        return self.runtime / "gateway" / "api.sock"

    @property
    def activity(self) -> Path:
        """One file per notebook, written by the gateway."""
        return self.runtime / "activity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The API's socket, the group that may open it and the group whose members are admins."""

    socket: Path
    group: str
    admin_group: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """The container engine's API socket."""

    socket: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """Which GPUs there are and what a stranger may do on them before they count as taken. ``leftover_memory_bytes``:
    held by no process that is seen, more than this has a GPU leased last, and never where ``lease_leftover`` is
    false. ``xid`` has what follows from an Xid, ``note`` or ``quarantine``, where that is not what NVIDIA's catalogue
    says."""

    driver: GpuDriver
    simulated: int
    foreign_memory_bytes: int
    ignore_processes: tuple[str, ...]
    xid: Mapping[int, str]
    leftover_memory_bytes: int
    lease_leftover: bool
    poll_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifecycle:
    """How long things last. ``warn_before_s`` is sorted, longest first; ``idle_stop_s`` None is off."""

    max_running_s: float
    max_extension_s: float
    stop_grace_s: float
    start_timeout_s: float
    queue_timeout_s: float
    warn_before_s: tuple[float, ...]
    idle_stop_s: float | None
    start_after_boot: bool
    keep_workspace_on_delete: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """The one TCP listener. Notebooks are at ``url``, with the id for ``{id}``. ``trusted_proxies`` are the accounts
    whose connections carry other people: a reverse proxy's."""

    listen_host: str
    listen_port: int
    domain: str
    url: str
    api: bool
    trusted_proxies: tuple[str, ...] = ()

    def url_of(self, notebook: str) -> str:
        """The notebook's own origin; never changes."""
        return self.url.replace("{id}", notebook)


@dataclass(frozen=True, slots=True, kw_only=True)
class Billing:
    """What is billed. ``rates`` are integer micro-units of the currency per unit of a flavor and hour."""

    states: tuple[str, ...]
    currency: str
    rates: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaRule:
    """What one user may have. ``gpu_minutes_month`` 0 is no limit."""

    gpus: int
    notebooks: int
    gpu_minutes_month: int


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaOverride:
    """What differs for a user or a group; None is as for everybody."""

    gpus: int | None = None
    notebooks: int | None = None
    gpu_minutes_month: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The rule for everybody, and what differs by user and by group name."""

    default: QuotaRule
    users: Mapping[str, QuotaOverride]
    groups: Mapping[str, QuotaOverride]


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectoryDatastore:
    """A folder of the host, bind-mounted. ``read`` and ``write`` hold ``*``, user names and ``@group``."""

    alias: str
    path: Path
    read: tuple[str, ...]
    write: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RcloneDatastore:
    """A remote that rclone knows, copied in and out. ``config`` is rclone's configuration file."""

    alias: str
    remote: str
    config: Path
    read: tuple[str, ...]
    write: tuple[str, ...]


Datastore = DirectoryDatastore | RcloneDatastore


@dataclass(frozen=True, slots=True, kw_only=True)
class Editor:
    """An editor as people choose it."""

    id: str
    name: str
    description: str = ""
    doc_url: str | None = None
    logo_url: str | None = None
    version: str | None = None
    incompatible_with: tuple[str, ...] = ()
    """Ids of frameworks that it is not offered with, whatever images there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """What is installed beside the editor, as people choose it."""

    id: str
    name: str
    description: str = ""
    doc_url: str | None = None
    logo_url: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogueEntry:
    """The image for an editor, a framework and a version of it.

    ``command`` serves the editor on the Unix socket ``/run/editor/editor.sock``; ``uid`` is the user it runs as inside;
    a GET of ``probe`` answers 200 when it is up. ``activity`` is how the editor tells what goes on in it: by Jupyter's
    REST API, by code-server's heartbeat, or not at all; idle stop goes by browsers and GPUs beside it, and by CPUs
    where it is not Jupyter's. ``saved_paths`` are kept over a stop, all of them in the workspace. ``labels`` go on
    every notebook made of it, unless its user gives them another value. One that is ``deprecated`` makes no new
    notebook; the text says what to take instead."""

    editor: str
    framework: str
    version: str
    image: str
    command: tuple[str, ...]
    uid: int
    probe: str
    activity: ActivityApi = "jupyter"
    saved_paths: tuple[str, ...] = ("/workspace",)
    labels: Mapping[str, str] = field(default_factory=dict)
    deprecated: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Images:
    """What there is to choose from: the entries of the configuration, then those of catalogue.d, then the built-in
    ones. The first ``added`` of them are not built in."""

    editors: tuple[Editor, ...]
    frameworks: tuple[Framework, ...]
    entries: tuple[CatalogueEntry, ...]
    added: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class FlavorOverride:
    """What the administrator wants otherwise in a flavor derived from the inventory; None is as derived.

    ``cpus``, ``memory_bytes`` and ``shm_bytes`` are per unit (one GPU, or one CPU of the CPU flavor); ``max_units``
    is the most that one notebook may ask for. ``groups`` are those whose members may use it; empty is everybody."""

    id: str
    description: str | None = None
    cpus: int | None = None
    memory_bytes: int | None = None
    shm_bytes: int | None = None
    max_units: int | None = None
    default: bool = False
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Room on the disk: below ``min_free_bytes`` or ``min_free_inodes`` nothing starts; the ballast is given up when
    the disk is full."""

    min_free_bytes: int
    min_free_inodes: int
    ballast_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Events:
    """How long the record of what happened is kept."""

    keep_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfers:
    """How data is carried in and out: movers ``at_once``, bytes a second of each (None: as many as there are), how many
    files may be where a volume comes from, what of Git is cloned and up to what size and time, how long shared copies
    are kept unused, and what files and folders are named that no push carries back (a shell's wildcards count)."""

    at_once: int
    bandwidth_bytes_s: int | None
    max_files: int
    git_schemes: tuple[str, ...]
    git_max_bytes: int
    git_timeout_s: float
    cache_keep_s: float
    push_exclude: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshots:
    """Snapshots of workspaces: whether one is taken ``at_stop``, how many are kept, and where. ``repository`` is a
    folder of the host, or ``remote:path`` of the rclone configuration ``config``; each notebook has a repository of its
    own in it. With ``exclude_caches`` folders that a ``CACHEDIR.TAG`` marks are left out."""

    at_stop: bool
    exclude_caches: bool
    keep: int
    repository: str
    config: Path

    @property
    def folder(self) -> Path | None:
        """The folder of the host, None where it is a remote."""
        return Path(self.repository) if self.repository.startswith("/") else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every notebook, mover and image build finds: variables, and certificates to trust beside the usual ones."""

    env: Mapping[str, str]
    ca_file: Path | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspaces:
    """What a workspace may take on the disk before its notebook is not started any more (None: as much as there is),
    and how often the workspaces of running notebooks are measured."""

    quota_bytes: int | None
    measure_every_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """The whole configuration. ``source`` is the file it came from, None when there is none; ``given`` has the dotted
    keys that stand in it."""

    source: Path | None
    paths: Paths
    api: Api
    engine: EngineConfig
    gpus: Gpus
    lifecycle: Lifecycle
    gateway: Gateway
    billing: Billing
    quota: Quota
    datastores: tuple[Datastore, ...]
    images: Images
    flavors: tuple[FlavorOverride, ...]
    store: Store
    events: Events
    transfers: Transfers
    snapshots: Snapshots
    workspace: Workspaces
    surroundings: Surroundings
    recipes: Path = Path("/usr/share/notebookd/images")
    """The folder of the recipes that images are built from: one folder each."""
    given: frozenset[str] = frozenset()
