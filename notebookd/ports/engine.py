# SPDX-License-Identifier: Apache-2.0
"""The engine port: what notebookd asks of whatever runs containers.

Implementations: :mod:`notebookd.adapters.podman` (real) and :mod:`notebookd.testing.engine` (fake). Both pass
``tests/contract/test_engine_contract.py``. Times are timezone-aware UTC. Every method may raise
:class:`~notebookd.errors.EngineUnavailable`, which means *unknown*, never "absent".
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from notebookd.domain.container import Container, ContainerStatus

__all__ = ["Container", "ContainerStatus"]

LABEL_PREFIX = "io.notebookd."

EVENTS_CONNECTED = "connected"
"""The kind of the first event of every stream: from here on nothing is missed. Whoever looks at everything when it
comes needs no other care against what happened before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A bind mount. The source must exist. With ``identity`` (device and inode of what was found at the source by a
    walk that follows no link) :meth:`Engine.start` looks whether that is what stands at the target."""

    source: str
    target: str
    read_only: bool = False
    identity: tuple[int, int] | None = None


class Network(StrEnum):
    """What of a network a container has."""

    PRIVATE = "private"
    """The world outside, by a network of its own: the host's loopback is out of its reach, and no port is published."""
    HOST = "host"
    """The host's own: for movers to places that the administrator named."""
    NONE = "none"
    """Nothing but a loopback of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSpec:
    """Everything a container is created from. Hardening is not optional and therefore not in here: all
    capabilities dropped, no-new-privileges, keep-id user namespace, no published port, image health checks off,
    bounded k8s-file logs."""

    name: str
    image: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    labels: Mapping[str, str]
    mounts: tuple[Mount, ...]
    devices: tuple[str, ...] = ()
    """CDI names, ``nvidia.com/gpu=<UUID>``."""
    uid: int = 42420
    """uid and gid inside the container that the service account is mapped to."""
    workdir: str = "/workspace"
    hostname: str = "notebook"
    cpus: float | None = None
    memory_bytes: int | None = None
    pids: int = 4096
    rootfs: str | None = None
    """A folder of the host that is the container's root, read-only, instead of ``image``: for movers. It has a folder
    for each mount, and belongs to the engine's account."""
    network: Network = Network.PRIVATE
    tmpfs: tuple[str, ...] = ()
    """Where fresh folders in memory are mounted."""
    stop_signal: int = 15
    shm_bytes: int = 64 * 1024 * 1024
    log_bytes: int = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineInfo:
    """What the engine is. ``missing_controllers`` are the cgroup controllers among cpu, memory and pids that it
    lacks: limits that need them are left out, and health says so. ``storage_known`` is False when the storage
    bears no mark of this instance (see :meth:`Engine.mark_storage`)."""

    version: str
    controllers: frozenset[str]
    missing_controllers: frozenset[str]
    storage_known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image in the engine's storage. ``digest`` is the image id, ``sha256:<hex>``."""

    digest: str
    names: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEvent:
    """Something happened to a container of ours. Only ever used to wake somebody who then looks for himself.

    The first of a stream has the kind :data:`EVENTS_CONNECTED`, an empty ``container`` and no labels.
    """

    container: str
    kind: str
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A line of a container's output. ``at`` may be exact to the second only (Podman 4.3's logs are), ``stream`` is
    ``stdout`` or ``stderr``, ``content`` has no newline."""

    at: datetime
    stream: str
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecOutput:
    """Bytes a command in a container wrote: ``stream`` is 1 (stdout, and everything of a tty) or 2 (stderr)."""

    stream: int
    data: bytes


class ExecSession(Protocol):
    """A command running in a container, made by :meth:`Engine.exec`."""

    def output(self) -> AsyncIterator[ExecOutput]:
        """Yield output until the command ended."""
        ...

    async def write(self, data: bytes) -> None:
        """Send bytes to its stdin."""
        ...

    async def close_stdin(self) -> None:
        """End its stdin."""
        ...

    async def resize(self, *, width: int, height: int) -> None:
        """Tell its tty a new size in cells."""
        ...

    async def exit_code(self) -> int:
        """Its exit status; call after :meth:`output` is exhausted."""
        ...


class Engine(Protocol):
    """Runs containers that outlive notebookd. Only containers labelled ``io.notebookd.instance=<ours>`` exist
    as far as the port is concerned: no call lists, touches or removes another."""

    async def info(self) -> EngineInfo:
        """What the engine is."""
        ...

    async def mark_storage(self) -> None:
        """Leave a lasting mark of this instance in the engine's storage (idempotent): a storage that lost its
        mark is not the one whose containers we know."""
        ...

    async def create(self, spec: ContainerSpec) -> Container:
        """Create, without starting. Raises ImageMissing, NameTaken, DeviceUnresolvable (if already known here),
        EngineError."""
        ...

    async def read_file(self, name: str, path: str) -> bytes | None:
        """A file of a created container, as its image has it; None where there is none of a few MiB at most, by no
        link. Raises ContainerMissing."""
        ...

    async def start(self, name: str, *, checked: Sequence[Mount] = ()) -> Container:
        """Start a created or ended container and return it as it is then. Starting a running one changes nothing.

        What stands at the target of each of the ``checked`` mounts that have an identity, reached from the container's
        root without following a link, is compared with it before anything of the container runs. Raises MountMoved (the
        container is then CREATED or EXITED as before), ContainerMissing, DeviceUnresolvable, EngineError (also for a
        LOST container that the engine still takes for a running one: remove it and create it anew)."""
        ...

    async def stop(self, name: str, *, grace_s: float) -> Container | None:
        """SIGTERM to every process in it, wait up to ``grace_s``, SIGKILL; returns the container as it is then, with
        its command's exit code, None when there is none. :mod:`notebookd.domain.farewell` has the order: who holds a
        terminal with a program in it that takes its time has the grace once more. Without a grace, SIGKILL at once.
        A container whose conmon died is killed by its pid and is LOST. One never started stays CREATED. Idempotent."""
        ...

    async def remove(self, name: str) -> None:
        """Remove an ended container (kill it first if it is not). Idempotent."""
        ...

    async def find(self, name: str) -> Container | None:
        """The container of that name, None when the engine answers that there is none."""
        ...

    async def lives(self, pid: int) -> bool:
        """Whether that host pid is a living process inside some container: asked when the engine's storage no
        longer knows the container that the pid was recorded for."""
        ...

    async def list_containers(self) -> list[Container]:
        """All containers of this instance."""
        ...

    async def find_image(self, reference: str) -> Image | None:
        """The image of that name or digest, None when it is absent."""
        ...

    def events(self) -> AsyncIterator[EngineEvent]:
        """Events of this instance's containers from now on; ends with EngineUnavailable when the stream breaks."""
        ...

    def logs(
        self, name: str, *, since: datetime | None = None, tail: int | None = None, follow: bool = False
    ) -> AsyncIterator[LogLine]:
        """Its output so far, oldest first, then with ``follow`` as it comes until it ends. ``since`` is inclusive and
        cut to the second. Raises ContainerMissing."""
        ...

    async def hold_logs(self) -> None:
        """Keep what the bound on a log would have the engine throw away, as far as twice the bound. Asked every few
        seconds: what is written faster than once the bound in between may be missing, and then the log says so."""
        ...

    def exec(
        self,
        name: str,
        command: tuple[str, ...],
        *,
        tty: bool,
        stdin: bool,
        env: Mapping[str, str] | None = None,
        folder: str = "",
    ) -> AbstractAsyncContextManager[ExecSession]:
        """Run a command in a running container; leaving the context hangs it up. ``env`` comes on top of the
        container's variables, and ``folder`` (absolute) is where it runs instead of the container's own. A command
        that is not found in the container ends with 127 and says so on stderr. Raises ContainerMissing, EngineError."""
        ...
