# SPDX-License-Identifier: Apache-2.0
"""What a mover is to do: ``job.json``, and the places it finds things in."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from notebookd.mover.report import Code, Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where the mounts are. In a container always here; tests name others."""

    job: Path = Path("/job")
    volume: Path = Path("/volume")
    workspace: Path = Path("/workspace")
    repository: Path = Path("/repository")
    secrets: Path = Path("/secrets")
    scratch: Path = Path("/tmp")  # noqa: S108  a tmpfs of the container's own
    boot: Path = Path("/proc/sys/kernel/random/boot_id")

    @classmethod
    def of(cls, words: Sequence[str]) -> Places:
        """From words like ``volume=/srv/x``."""
        known = {each.name for each in fields(cls)}
        named = dict(word.split("=", 1) for word in words)
        if unknown := sorted(set(named) - known):
            raise ValueError(f"no such place: {', '.join(unknown)}")
        return cls(**{name: Path(folder) for name, folder in named.items()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One task with its fields as the daemon wrote them. The getters raise Fault for what is not of its kind."""

    task: str
    fields: Mapping[str, object]
    places: Places = Places()
    stamp: str = "19700101T000000"
    """When the task began, UTC, as it stands in names of files."""

    def text(self, name: str, default: str | None = None) -> str:
        """A string."""
        value = self.fields.get(name, default)
        if not isinstance(value, str) or "\0" in value:
            raise Fault(Code.ERROR, f"cannot read the job: {name!r} is no text")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of strings; empty when it is not there."""
        value = self.fields.get(name) or []
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise Fault(Code.ERROR, f"cannot read the job: {name!r} is no list of texts")
        return tuple(value)

    def flag(self, name: str) -> bool:
        """A boolean; False when it is not there."""
        value = self.fields.get(name, False)
        if not isinstance(value, bool):
            raise Fault(Code.ERROR, f"cannot read the job: {name!r} is neither true nor false")
        return value

    def limit(self, name: str) -> int | None:
        """A positive integer, or None: no limit."""
        value = self.fields.get(name)
        if value is None:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise Fault(Code.ERROR, f"cannot read the job: {name!r} is no positive integer")
        return value


def read_job(places: Places) -> Job:
    """The job that lies in the job folder."""
    try:
        said = json.loads((places.job / "job.json").read_bytes())
    except (OSError, ValueError) as error:
        raise Fault(Code.ERROR, f"cannot read the job: {type(error).__name__}") from error
    if not isinstance(said, dict) or not isinstance(said.get("task"), str):
        raise Fault(Code.ERROR, "cannot read the job: it names no task")
    return Job(task=said["task"], fields=said, places=places, stamp=time.strftime("%Y%m%dT%H%M%S", time.gmtime()))
