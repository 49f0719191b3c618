# SPDX-License-Identifier: Apache-2.0
"""A process that dies at a chosen step: between any call of a port, or around any commit.

A :class:`Turnstile` numbers the steps. Each call through one of the ports below is two of them, before it and after
it: at the first nothing was done, at the second everything was and nobody heard of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from notebookd.adapters.files import LocalFiles
from notebookd.adapters.sqlite import SqliteStore
from notebookd.adapters.sqlite.store import SqliteTransaction
from notebookd.config import Paths
from notebookd.domain.run import NotebookId, RunId
from notebookd.ports.engine import Container, ContainerSpec, EngineInfo, LogLine
from notebookd.ports.files import NotebookFolders
from notebookd.testing.engine import FakeEngine, FakeEngineWorld

T = TypeVar("T")


class Crash(BaseException):
    """The process dies here. Not an Exception: nobody survives it by catching."""


class Turnstile:
    """Counts steps once armed, and crashes at the chosen one. Dead is dead: every later step crashes as well.

    ``idle`` is set while no call is out with a thread, which a test's clock knows nothing of."""

    def __init__(self) -> None:
        self.steps: list[str] = []
        self.idle = asyncio.Event()
        self.idle.set()
        self._crash_at: int | None = None
        self._armed = False
        self._dead = False
        self._out = 0

    def arm(self, crash_at: int | None = None) -> None:
        """Count from here on, from 1; crash at that step, or never."""
        self._armed, self._crash_at = True, crash_at
        self.steps.clear()

    def disarm(self) -> None:
        """Let everybody pass, unless dead."""
        self._armed = False

    def step(self, name: str) -> None:
        """Go on, or die."""
        if self._dead:
            raise Crash(name)
        if not self._armed:
            return
        self.steps.append(name)
        if len(self.steps) == self._crash_at:
            self._dead = True
            raise Crash(name)

    @asynccontextmanager
    async def threaded(self, name: str) -> AsyncIterator[None]:
        """Two steps around something that a thread does."""
        self.step(f"before {name}")
        self.went()
        try:
            yield
        finally:
            self.came()
        self.step(f"after {name}")

    def went(self) -> None:
        """Something goes to a thread."""
        self._out += 1
        self.idle.clear()

    def came(self) -> None:
        """It is back."""
        self._out -= 1
        if self._out == 0:
            self.idle.set()


class CrashingStore(SqliteStore):
    """The real store with steps around each commit. Set ``turnstile`` before the first transaction."""

    turnstile: Turnstile

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqliteTransaction]:
        """See :meth:`SqliteStore.transaction`; a crash before the commit leaves nothing of it."""
        self.turnstile.went()
        try:
            async with super().transaction() as opened:
                yield opened
                self.turnstile.step("before commit")
        finally:
            self.turnstile.came()
        self.turnstile.step("after commit")


class CrashingFiles(LocalFiles):
    """The real files with steps around each change."""

    def __init__(self, paths: Paths, turnstile: Turnstile) -> None:
        super().__init__(paths, keep_workspaces=False)
        self._turnstile = turnstile

    async def prepare(self, notebook_id: NotebookId, *, made: bool) -> NotebookFolders:
        """See :meth:`Files.prepare`."""
        async with self._turnstile.threaded("files.prepare"):
            return await super().prepare(notebook_id, made=made)

    async def clear_editor(self, notebook_id: NotebookId) -> None:
        """See :meth:`Files.clear_editor`."""
        async with self._turnstile.threaded("files.clear_editor"):
            await super().clear_editor(notebook_id)

    async def remove(self, notebook_id: NotebookId) -> None:
        """See :meth:`Files.remove`."""
        async with self._turnstile.threaded("files.remove"):
            await super().remove(notebook_id)

    async def leave_notice(self, notebook_id: NotebookId, reason: str, text: str | None) -> None:
        """See :meth:`Files.leave_notice`."""
        async with self._turnstile.threaded("files.leave_notice"):
            await super().leave_notice(notebook_id, reason, text)

    async def keep_log(self, notebook_id: NotebookId, run_id: RunId, lines: AsyncIterator[LogLine]) -> None:
        """See :meth:`Files.keep_log`."""
        async with self._turnstile.threaded("files.keep_log"):
            await super().keep_log(notebook_id, run_id, lines)


class CrashingEngine(FakeEngine):
    """The fake engine with steps around each call."""

    def __init__(self, world: FakeEngineWorld, instance: str, turnstile: Turnstile) -> None:
        super().__init__(world, instance)
        self._turnstile = turnstile

    async def info(self) -> EngineInfo:
        """See :meth:`Engine.info`."""
        self._turnstile.step("before engine.info")
        return self._after("engine.info", await super().info())

    async def mark_storage(self) -> None:
        """See :meth:`Engine.mark_storage`."""
        self._turnstile.step("before engine.mark_storage")
        await super().mark_storage()
        self._turnstile.step("after engine.mark_storage")

    async def create(self, spec: ContainerSpec) -> Container:
        """See :meth:`Engine.create`."""
        self._turnstile.step("before engine.create")
        return self._after("engine.create", await super().create(spec))

    async def start(self, name: str) -> Container:
        """See :meth:`Engine.start`."""
        self._turnstile.step("before engine.start")
        return self._after("engine.start", await super().start(name))

    async def stop(self, name: str, *, grace_s: float) -> Container | None:
        """See :meth:`Engine.stop`."""
        self._turnstile.step("before engine.stop")
        return self._after("engine.stop", await super().stop(name, grace_s=grace_s))

    async def remove(self, name: str) -> None:
        """See :meth:`Engine.remove`."""
        self._turnstile.step("before engine.remove")
        await super().remove(name)
        self._turnstile.step("after engine.remove")

    async def find(self, name: str) -> Container | None:
        """See :meth:`Engine.find`."""
        self._turnstile.step("before engine.find")
        return self._after("engine.find", await super().find(name))

    async def list_containers(self) -> list[Container]:
        """See :meth:`Engine.list_containers`."""
        self._turnstile.step("before engine.list_containers")
        return self._after("engine.list_containers", await super().list_containers())

    def _after(self, call: str, answer: T) -> T:
        self._turnstile.step(f"after {call}")
        return answer
