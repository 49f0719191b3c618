# SPDX-License-Identifier: Apache-2.0
"""A start with checked mounts, against answers of Podman that the tests write: nothing runs that was not looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.podman import PodmanEngine
from notebookd.adapters.podman import engine as podman_engine
from notebookd.adapters.podman.kept_logs import Logs
from notebookd.adapters.podman.seccomp import Profile
from notebookd.errors import ContainerMissing, EngineUnavailable
from notebookd.ports.engine import Mount

ID, NAME = "ab" * 32, "notebookd-x"
MOUNT = Mount(source="/srv/data", target="/data", identity=(1, 2))


class Podman:
    """Answers each inspection with the next state, the last one for ever; notes what it is told to do."""

    def __init__(self, *states: str | None) -> None:
        self._states = list(states)
        self.told: list[str] = []

    async def run(self, call: Callable[[Any], Any]) -> Any:
        return call(self)

    def get(self, _path: str, _action: str) -> dict[str, Any] | None:
        state = self._states.pop(0) if len(self._states) > 1 else self._states[0]
        if state is None:
            return None
        labels = {"io.notebookd.instance": "i"}
        return {"Id": ID, "Name": NAME, "Config": {"Labels": labels}, "State": {"Status": state, "Pid": 0}}

    def post(self, path: str, _action: str, **_rest: Any) -> None:
        self.told.append(path.rpartition("/")[2])


async def start(podman: Podman) -> None:
    profile = Profile(Path("/nonexistent"))
    engine = PodmanEngine(Path(__file__), "i", podman, None, profile, SystemClock(), Logs(None))  # type: ignore[arg-type]
    await engine.start(NAME, checked=[MOUNT])


async def test_what_is_not_ready_is_not_started() -> None:
    podman = Podman("created")
    with pytest.raises(EngineUnavailable, match="mounts cannot be looked at"):
        await start(podman)
    assert podman.told == ["init"]


async def test_what_went_meanwhile_is_missing() -> None:
    podman = Podman("created", "created", None)
    with pytest.raises(ContainerMissing):
        await start(podman)
    assert podman.told == ["init"]


async def test_what_is_never_cleared_up_is_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(podman_engine, "CLEAR_WITHIN_S", 0.0)
    podman = Podman("exited")
    with pytest.raises(EngineUnavailable, match="not cleared up"):
        await start(podman)
    assert podman.told == []
