# SPDX-License-Identifier: Apache-2.0
"""An engine in memory, for tests of whatever stands on the engine port.

It passes the contract suite of the real adapter (``tests/contract/test_engine_contract.py``). The *world* (containers,
images, the storage's marks, faults) is an object of its own: drop a :class:`FakeEngine`, as a crash of the daemon
does, and attach a new one to the same :class:`FakeEngineWorld`. Nothing here waits for real time: time is what
``now`` says, and a container that sleeps has ended when somebody looks after that time.

Faults: ``world.reachable = False``; ``world.fail("create", error, after=True)``; ``world.hold("start")``;
``world.kill_conmon(name)``, ``lose(name)``, ``reboot()``, ``lose_storage()``; ``world.move(target)``; and
``world.end(name, 3)``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import datetime

from notebookd.errors import ContainerMissing, EngineError, EngineUnavailable, MountMoved
from notebookd.ports.engine import (
    EVENTS_CONNECTED,
    Container,
    ContainerSpec,
    ContainerStatus,
    EngineEvent,
    EngineInfo,
    ExecSession,
    Image,
    LogLine,
    Mount,
)
from notebookd.testing.engine_exec import FakeExec
from notebookd.testing.engine_script import steps_of
from notebookd.testing.engine_world import INSTANCE_LABEL, FakeContainer, FakeEngineWorld, Hold

__all__ = ["FakeContainer", "FakeEngine", "FakeEngineWorld", "Hold"]


class FakeEngine:
    """An :class:`~notebookd.ports.engine.Engine` on a :class:`FakeEngineWorld`."""

    def __init__(self, world: FakeEngineWorld, instance: str) -> None:
        self.world = world
        self.instance = instance

    async def info(self) -> EngineInfo:
        """See :meth:`Engine.info`."""
        async with self.world.call("info"):
            return EngineInfo(
                version="fake",
                controllers=self.world.controllers,
                missing_controllers=frozenset({"cpu", "memory", "pids"}) - self.world.controllers,
                storage_known=self.instance in self.world.marks,
            )

    async def mark_storage(self) -> None:
        """See :meth:`Engine.mark_storage`."""
        async with self.world.call("mark_storage"):
            self.world.marks.add(self.instance)

    async def create(self, spec: ContainerSpec) -> Container:
        """See :meth:`Engine.create`."""
        async with self.world.call("create", spec.name):
            return self.world.new_container(spec, {**spec.labels, INSTANCE_LABEL: self.instance}).seen()

    async def read_file(self, name: str, path: str) -> bytes | None:
        """See :meth:`Engine.read_file`."""
        async with self.world.call("read_file", name):
            image = self._must_get(name, "read a file of").spec.image
            return self.world.image_files.get((image, path))

    async def start(self, name: str, *, checked: Sequence[Mount] = ()) -> Container:
        """See :meth:`Engine.start`."""
        async with self.world.call("start", name):
            container = self._must_get(name, "start")
            if container.status is ContainerStatus.LOST:
                raise EngineError(f"cannot start container {name}: its process is gone; remove it")
            if container.status is not ContainerStatus.RUNNING:
                for mount in checked:
                    if mount.identity is not None and mount.target in self.world.moved:
                        raise MountMoved(f"cannot start container {name}: another thing stands at {mount.target}")
                self.world.begin(container)
            return container.seen()

    async def stop(self, name: str, *, grace_s: float) -> Container | None:
        """See :meth:`Engine.stop`."""
        async with self.world.call("stop", name):
            if (container := self._get(name)) is None:
                return None
            self.world.terminate(container, grace_s=grace_s)
            return container.seen()

    async def remove(self, name: str) -> None:
        """See :meth:`Engine.remove`."""
        async with self.world.call("remove", name):
            if (container := self._get(name)) is not None:
                self.world.discard(container)

    async def find(self, name: str) -> Container | None:
        """See :meth:`Engine.find`."""
        async with self.world.call("find", name):
            container = self._get(name)
            return None if container is None else container.seen()

    async def lives(self, pid: int) -> bool:
        """See :meth:`Engine.lives`."""
        return self.world.lives(pid)

    async def list_containers(self) -> list[Container]:
        """See :meth:`Engine.list_containers`."""
        async with self.world.call("list_containers"):
            return [c.seen() for c in self.world.containers.values() if c.labels[INSTANCE_LABEL] == self.instance]

    async def find_image(self, reference: str) -> Image | None:
        """See :meth:`Engine.find_image`."""
        async with self.world.call("find_image", reference):
            return self.world.image(reference)

    async def events(self) -> AsyncIterator[EngineEvent]:
        """See :meth:`Engine.events`."""
        async with self.world.call("events"), self.world.subscription(self.instance) as queue:
            yield EngineEvent(container="", kind=EVENTS_CONNECTED)
            while (event := await queue.get()) is not None:
                yield event
            raise EngineUnavailable("cannot follow events: the stream ended")

    async def logs(
        self, name: str, *, since: datetime | None = None, tail: int | None = None, follow: bool = False
    ) -> AsyncIterator[LogLine]:
        """See :meth:`Engine.logs`."""
        async with self.world.call("logs", name):
            container = self._must_get(name, "read logs of")
        floor = since.replace(microsecond=0) if since else None
        lines = [line for line in container.output if floor is None or line.at >= floor]
        shown = len(container.output)
        for line in lines if tail is None else lines[max(0, len(lines) - tail) :]:
            yield line
        while follow:
            ended = container.status is not ContainerStatus.RUNNING
            fresh, shown = container.output[shown:], len(container.output)
            for line in fresh:
                yield line
            if ended or self.world.containers.get(name) is not container:
                return
            if shown == len(container.output) and container.status is ContainerStatus.RUNNING:
                await self.world.changed()
            if not self.world.reachable:
                raise EngineUnavailable("cannot read logs: the stream ended")

    async def hold_logs(self) -> None:
        """See :meth:`Engine.hold_logs`: nothing is thrown away here."""

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
        """See :meth:`Engine.exec`."""
        return self._exec(name, command, tty=tty, stdin=stdin, env=env or {}, folder=folder)

    @asynccontextmanager
    async def _exec(
        self,
        name: str,
        command: tuple[str, ...],
        *,
        tty: bool,
        stdin: bool,
        env: Mapping[str, str],
        folder: str,
    ) -> AsyncIterator[FakeExec]:
        async with self.world.call("exec", name):
            container = self._must_get(name, "run a command in")
            if container.status is not ContainerStatus.RUNNING:
                raise EngineError(f"cannot run a command in container {name}: it is not running")
        variables = {**container.spec.env, **env, "PWD": folder or "/"}
        running = FakeExec(steps_of(command, variables, editor=False), tty=tty, stdin=stdin)
        yield running

    def _get(self, name: str) -> FakeContainer | None:
        container = self.world.containers.get(name)
        if container is None or container.labels[INSTANCE_LABEL] != self.instance:
            return None
        return container

    def _must_get(self, name: str, verb: str) -> FakeContainer:
        container = self._get(name)
        if container is None:
            raise ContainerMissing(f"cannot {verb} container {name}: there is none")
        return container
