# SPDX-License-Identifier: Apache-2.0
"""Podman's words in the port's: errors, times, inspect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from notebookd.errors import (
    ContainerMissing,
    DeviceUnresolvable,
    EngineError,
    EngineUnavailable,
    ImageMissing,
    NameTaken,
)
from notebookd.ports.engine import Container, ContainerStatus, EngineInfo, Image

LIMIT_CONTROLLERS = frozenset({"cpu", "memory", "pids"})
UNAVAILABLE_HINT = "is the engine's unit running? `notebookd doctor` looks"
DEVICE_HINT = "the CDI spec of the GPUs is missing or stale: `sudo notebookd doctor` says why, and what cures it"
GONE_HINT = "where the CDI spec of a GPU names it, `sudo notebookd doctor` says so, and what cures it"

# Podman 4.3 answers 500 to all of these but the last; only the text tells them apart.
_CAUSES: tuple[tuple[str, type[EngineError]], ...] = (
    ("unresolvable cdi device", DeviceUnresolvable),
    ("cdi device injection failed", DeviceUnresolvable),
    ("setting up cdi devices", DeviceUnresolvable),
    ("image not known", ImageMissing),
    ("no such image", ImageMissing),
    ("name is already in use", NameTaken),
    ("is already in use by", NameTaken),
    ("no such container", ContainerMissing),
)

# crun's words for a file or a hook that is gone. A CDI spec may have named it; a mount of ours may have, too.
_GONE = ("error stat'ing file", "cannot stat", "error executing hook")

_BEFORE = frozenset({"configured", "created", "initialized"})
_AFTER = frozenset({"stopped", "exited", "removing"})


def error_of(action: str, text: str) -> EngineError:
    """The error for an answer whose message is ``text``; ``action`` is "create container X" or the like."""
    lowered = text.lower()
    for words, kind in _CAUSES:
        if words in lowered:
            return kind(f"cannot {action}: {text}", hint=DEVICE_HINT if kind is DeviceUnresolvable else None)
    return EngineError(f"cannot {action}: {text}", hint=GONE_HINT if any(words in lowered for words in _GONE) else None)


def is_mapping_race(error: EngineError) -> bool:
    """Whether a create failed in Podman's reading of /etc/subuid, which is not safe among several at once (4.3.1: seen
    with ten creates at a time). The same words, every time, where there really are no subordinate ids."""
    return "keep-id requires additional uids" in error.message.lower()


def lacks_init(error: EngineError) -> bool:
    """Whether a create failed because the engine finds no program to be a container's init."""
    return "container-init binary not found" in error.message.lower()


def unavailable(action: str, cause: BaseException | str) -> EngineUnavailable:
    """The error for an engine that did not answer."""
    text = str(cause) or type(cause).__name__
    return EngineUnavailable(f"cannot {action}: the engine did not answer: {text}", hint=UNAVAILABLE_HINT)


def parse_time(text: str | None) -> datetime | None:
    """A time of Podman's (RFC 3339, up to nanoseconds). Its zero, the year 1, is None."""
    if not text or text.startswith("0001-"):
        return None
    head, dot, rest = text.partition(".")
    if dot:
        digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
        text = f"{head}.{digits[:6].ljust(6, '0')}{rest[len(digits) :]}"
    return datetime.fromisoformat(text).astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inspected:
    """What Podman says of a container: its word, not yet checked against the process."""

    id: str
    name: str
    labels: Mapping[str, str]
    state: str
    image_digest: str | None
    pid: int
    conmon_pid: int
    started_at: datetime | None
    finished_at: datetime | None
    exit_code: int
    oom_killed: bool = False
    has_init: bool = False
    """Whether pid 1 is an init of Podman's, which has the container's command as its child."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> Inspected:
        """Read a libpod inspect answer."""
        state = body["State"]
        image = body.get("Image") or ""
        return cls(
            id=body["Id"],
            name=body["Name"],
            labels=body["Config"].get("Labels") or {},
            state=state["Status"],
            image_digest=digest_of(image) if image else None,
            pid=state.get("Pid") or 0,
            conmon_pid=state.get("ConmonPid") or 0,
            started_at=parse_time(state.get("StartedAt")),
            finished_at=parse_time(state.get("FinishedAt")),
            exit_code=state.get("ExitCode") or 0,
            oom_killed=state.get("OOMKilled") is True,
            has_init=bool((body.get("HostConfig") or {}).get("Init")),
        )

    @property
    def claims_process(self) -> bool:
        """Whether by Podman's word there is, or may be, a process."""
        return self.state not in _BEFORE | _AFTER

    @property
    def is_ready(self) -> bool:
        """Whether all of it was made but for its program."""
        return self.state == "initialized"

    def as_container(self, *, alive: bool) -> Container:
        """The container, ``alive`` telling whether the process that Podman claims is there."""
        status = self._status(alive=alive)
        ended = status is ContainerStatus.EXITED
        return Container(
            id=self.id,
            name=self.name,
            labels=self.labels,
            status=status,
            image_digest=self.image_digest,
            pid=self.pid if status is ContainerStatus.RUNNING else None,
            started_at=self.started_at,
            finished_at=self.finished_at if ended else None,
            exit_code=self.exit_code if ended and not self.is_ready else None,
            oom_killed=ended and self.oom_killed,
        )

    def _status(self, *, alive: bool) -> ContainerStatus:
        if self.claims_process:
            return ContainerStatus.RUNNING if alive else ContainerStatus.LOST
        if self.started_at is None:
            return ContainerStatus.CREATED
        if self.state in _BEFORE and not (self.is_ready and alive):
            return ContainerStatus.LOST
        # Podman has recorded an end, or it was lost.
        return ContainerStatus.EXITED if self.finished_at is not None else ContainerStatus.LOST


def digest_of(image_id: str) -> str:
    """An image id as ``sha256:<hex>``."""
    return image_id if image_id.startswith("sha256:") else f"sha256:{image_id}"


def image_of(body: Mapping[str, Any]) -> Image:
    """Read a libpod image inspect answer."""
    return Image(digest=digest_of(body["Id"]), names=tuple(body.get("RepoTags") or ()), size_bytes=body["Size"])


def info_of(body: Mapping[str, Any], *, storage_known: bool) -> EngineInfo:
    """Read a libpod info answer."""
    host = body["host"]
    controllers = frozenset(host.get("cgroupControllers") or ())
    return EngineInfo(
        version=body["version"]["Version"],
        controllers=controllers,
        missing_controllers=LIMIT_CONTROLLERS - controllers,
        storage_known=storage_known,
    )


def network_command_of(body: Mapping[str, Any]) -> str:
    """The program of rootless networking, from an info answer: slirp4netns where the engine has it.

    An engine from 5 on would choose pasta. But pasta reads the host's resolver at its start alone, so names stop
    resolving in a notebook when the host moves to another network; and it gives a container the host's own address, so
    that nothing on the host can be reached by it, such as a Git server beside notebookd.
    """
    host = body["host"]
    chosen = host.get("rootlessNetworkCmd") == "pasta" and not (host.get("slirp4netns") or {}).get("executable")
    return "pasta" if chosen else "slirp4netns"
