# SPDX-License-Identifier: Apache-2.0
"""The worlds in which the engine's contract is tried: what a test needs of both, and the fake one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from notebookd.ports.engine import ContainerSpec, Engine, Mount
from notebookd.testing.engine import FakeEngine, FakeEngineWorld
from tests.contract.podman_world import ABSENT_DEVICE, IMAGE, new_spec


class EngineWorld(Protocol):
    """An engine and what its surroundings can do to it."""

    instance: str
    engine: Engine
    stranger: Engine
    nowhere: Engine

    def spec(self, *command: str, **changes: Any) -> ContainerSpec: ...

    async def elapse(self, seconds: float) -> None: ...

    async def kill_conmon(self, name: str, *, process_too: bool) -> None: ...

    async def lose_mark(self) -> None: ...

    def folder(self, target: str) -> Mount:
        """A mount of a folder of the host's, as it was found by a walk."""
        ...

    def swap(self, mount: Mount) -> None:
        """Put a link to another folder in the place of its source."""
        ...


class FakeWorld:
    """The fake engine under a clock that the test moves."""

    def __init__(self) -> None:
        self._now = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
        self.instance = "contract"
        self.world = FakeEngineWorld(lambda: self._now)
        self.world.add_image(IMAGE)
        self.world.unresolvable.add(ABSENT_DEVICE)
        self.engine: Engine = FakeEngine(self.world, self.instance)
        self.stranger: Engine = FakeEngine(self.world, "stranger")
        dead = FakeEngineWorld(lambda: self._now)
        dead.reachable = False
        self.nowhere: Engine = FakeEngine(dead, self.instance)

    def spec(self, *command: str, **changes: Any) -> ContainerSpec:
        return new_spec(self.instance, command, changes)

    async def elapse(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self.world.settle()
        await asyncio.sleep(0)

    async def kill_conmon(self, name: str, *, process_too: bool) -> None:
        if process_too:
            self.world.lose(name)
        else:
            self.world.kill_conmon(name)

    async def lose_mark(self) -> None:
        self.world.marks.clear()

    def folder(self, target: str) -> Mount:
        return Mount(source=f"/srv{target}", target=target, identity=(1, 2))

    def swap(self, mount: Mount) -> None:
        self.world.move(mount.target)
