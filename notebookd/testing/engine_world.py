# SPDX-License-Identifier: Apache-2.0
"""What an engine keeps while daemons come and go: the world behind :class:`~notebookd.testing.engine.FakeEngine`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from notebookd.errors import DeviceUnresolvable, EngineError, EngineUnavailable, ImageMissing, NameTaken
from notebookd.ports.engine import (
    LABEL_PREFIX,
    Container,
    ContainerSpec,
    ContainerStatus,
    EngineEvent,
    Image,
    LogLine,
)
from notebookd.testing.engine_script import Cat, Exit, Read, Say, Sleep, Step, TerminalSize, Trap, steps_of

INSTANCE_LABEL = f"{LABEL_PREFIX}instance"
KILLED, TERMINATED = 137, 143
FIRST_PID = 100_000
FOR_EVER = timedelta(days=36500)
STREAMS = {1: "stdout", 2: "stderr"}
ROOTFS = Image(digest="", names=(), size_bytes=0)
"""What a container without an image is made of."""


@dataclass(slots=True)
class FakeContainer:
    """A container of the world. Tests may look at it; they change it through the world."""

    id: str
    spec: ContainerSpec
    labels: Mapping[str, str]
    image_digest: str | None
    status: ContainerStatus = ContainerStatus.CREATED
    conmon: bool = True
    pid: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    exit_code: int | None = None
    oom_killed: bool = False
    term_code: int | None = TERMINATED
    grace_s: float | None = None
    wake_at: datetime | None = None
    steps: list[Step] = field(default_factory=list)
    output: list[LogLine] = field(default_factory=list)

    def seen(self) -> Container:
        """As the port shows it."""
        return Container(
            id=self.id,
            name=self.spec.name,
            labels=dict(self.labels),
            status=self.status,
            image_digest=self.image_digest,
            pid=self.pid,
            started_at=self.started_at,
            finished_at=self.finished_at,
            exit_code=self.exit_code,
            oom_killed=self.oom_killed,
        )


@dataclass(slots=True)
class Hold:
    """A call that waits: ``entered`` is set when one came, :meth:`release` lets all of them on."""

    entered: asyncio.Event = field(default_factory=asyncio.Event)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def release(self) -> None:
        """Let held calls go on."""
        self.gate.set()


@dataclass(slots=True)
class _Fault:
    method: str
    error: EngineError
    times: int
    after: bool


class FakeEngineWorld:
    """What an engine keeps while daemons come and go, and the faults that a test lets happen to it."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self.containers: dict[str, FakeContainer] = {}
        self.image_files: dict[tuple[str, str], bytes] = {}
        """Contents by image and path."""
        self.images: dict[str, Image] = {}
        self.registry: dict[str, Image] = {}
        """What can be pulled, by name."""
        self.prepared: set[tuple[str, int]] = set()
        """Digests of images and the uids that their layers were made over for."""
        self.marks: set[str] = set()
        self.survivors: set[int] = set()
        """Processes that live on although their container's storage is gone."""
        self.unresolvable: set[str] = set()
        self.moved: set[str] = set()
        """Targets of mounts at which something else stands than what was checked."""
        self.controllers = frozenset({"cpu", "memory", "pids"})
        self.calls: list[tuple[str, str]] = []
        """Every call of the port, as (method, container name or image reference)."""
        self._reachable = True
        self._serial = 0
        self._faults: list[_Fault] = []
        self._holds: dict[str, Hold] = {}
        self._surprises: dict[str, Callable[[], None]] = {}
        self._subscribers: dict[asyncio.Queue[EngineEvent | None], str] = {}
        self._changed = asyncio.Event()

    def __getstate__(self) -> dict[str, Any]:
        """For a copy: everything that outlives a daemon, and nobody who listens."""
        return {**self.__dict__, "_subscribers": {}, "_changed": asyncio.Event()}

    # what a test lets happen

    @property
    def reachable(self) -> bool:
        """Whether the engine answers. While it does not, every call raises EngineUnavailable and events break."""
        return self._reachable

    @reachable.setter
    def reachable(self, value: bool) -> None:
        self._reachable = value
        if not value:
            for queue in self._subscribers:
                queue.put_nowait(None)
            self._wake()

    def add_image(self, name: str) -> Image:
        """Put an image into the storage."""
        digest = "sha256:" + hashlib.sha256(name.encode()).hexdigest()
        self.images[name] = Image(digest=digest, names=(name,), size_bytes=1_000_000)
        return self.images[name]

    def put_image(self, image: Image) -> None:
        """Put an image into the storage; others lose the names that it has."""
        for key, other in list(self.images.items()):
            del self.images[key]
            kept = tuple(name for name in other.names if name not in image.names)
            if other.digest != image.digest:
                self.images[kept[0] if kept else other.digest] = replace(other, names=kept)
            else:
                image = replace(image, names=(*kept, *image.names))
        self.images[image.names[0] if image.names else image.digest] = image

    def fail(self, method: str, error: EngineError, *, times: int = 1, after: bool = False) -> None:
        """Let the next ``times`` calls of ``method`` raise; with ``after`` when the work is already done."""
        self._faults.append(_Fault(method, error, times, after))

    def before(self, method: str, befall: Callable[[], None]) -> None:
        """Have something befall the world when ``method`` is called next, before it does anything."""
        self._surprises[method] = befall

    def hold(self, method: str) -> Hold:
        """Let calls of ``method`` wait until released."""
        self._holds[method] = Hold()
        return self._holds[method]

    def end(self, name: str, exit_code: int, *, oom_killed: bool = False) -> None:
        """The container's process ends by itself."""
        self.containers[name].oom_killed = oom_killed
        self._finish(self.containers[name], exit_code)

    def kill_conmon(self, name: str) -> None:
        """Its conmon dies, its process goes on: however that ends, nobody will record it."""
        self.containers[name].conmon = False

    def lose(self, name: str) -> None:
        """Conmon and process die together: LOST, and no event tells of it."""
        self.kill_conmon(name)
        self._finish(self.containers[name], KILLED)

    def reboot(self) -> None:
        """The machine goes down uncleanly: what ran is LOST."""
        for name, container in self.containers.items():
            if container.status is ContainerStatus.RUNNING:
                self.lose(name)

    def lose_storage(self) -> None:
        """The engine comes back on an empty storage: no containers, images or marks. Processes live on."""
        self.survivors |= {container.pid for container in self.containers.values() if container.pid is not None}
        self.containers.clear()
        self.images.clear()
        self.marks.clear()

    def lives(self, pid: int) -> bool:
        """Whether a process is there, in a container that is known or one that is not any more."""
        return pid in self.survivors or any(container.pid == pid for container in self.containers.values())

    def move(self, target: str) -> None:
        """Somebody swaps what will stand at a mount's target, by a link at its source or on the way to the target."""
        self.moved.add(target)

    def say(self, name: str, text: str, *, stream: int = 1) -> None:
        """The container writes lines."""
        for line in text.splitlines():
            self.containers[name].output.append(LogLine(at=self.now(), stream=STREAMS[stream], content=line))
        self._wake()

    def announce(self, event: EngineEvent) -> None:
        """Tell all who listen of a container that is not of this world's making."""
        for queue in self._subscribers:
            queue.put_nowait(event)

    def settle(self) -> None:
        """Let every container go on that slept until now; each call of the port does this first."""
        for container in list(self.containers.values()):
            self._go_on(container)

    # what engines attached to it do

    @asynccontextmanager
    async def call(self, method: str, subject: str = "") -> AsyncIterator[None]:
        """One call of the port: recorded, held, failed as the test said."""
        self.calls.append((method, subject))
        self._surprises.pop(method, lambda: None)()
        if (hold := self._holds.get(method)) is not None:
            hold.entered.set()
            await hold.gate.wait()
        self._check(method, after=False)
        self.settle()
        yield
        self._check(method, after=True)

    def new_container(self, spec: ContainerSpec, labels: Mapping[str, str]) -> FakeContainer:
        """Create one."""
        image = ROOTFS if spec.rootfs is not None else self.image(spec.image)
        if image is None:
            raise ImageMissing(f"cannot create container {spec.name}: {spec.image}: image not known")
        if spec.name in self.containers:
            raise NameTaken(f"cannot create container {spec.name}: that name is already in use")
        self._serial += 1
        container_id = hashlib.sha256(f"{self._serial} {spec.name}".encode()).hexdigest()
        created = FakeContainer(id=container_id, spec=spec, labels=labels, image_digest=image.digest or None)
        self.containers[spec.name] = created
        self._publish(created, "create")
        return created

    def begin(self, container: FakeContainer) -> None:
        """Start one."""
        for device in container.spec.devices:
            if device in self.unresolvable:
                raise DeviceUnresolvable(f"cannot start container {container.spec.name}: unresolvable {device}")
        program = next(iter(container.spec.command), "")
        if program.startswith("/no/such/"):
            raise EngineError(f"cannot start container {container.spec.name}: cannot run {program}: No such file")
        self._serial += 1
        container.status = ContainerStatus.RUNNING
        container.conmon = True
        container.pid = FIRST_PID + self._serial
        # Two starts differ in their time, as they do on a machine, also where a test's clock stands still.
        container.started_at = self.now() + timedelta(microseconds=self._serial)
        container.finished_at = container.exit_code = container.wake_at = None
        container.term_code = TERMINATED
        container.steps = list(steps_of(container.spec.command, container.spec.env, editor=True))
        self._publish(container, "start")
        self._go_on(container)

    def terminate(self, container: FakeContainer, *, grace_s: float = 0) -> None:
        """SIGTERM and, where that is ignored, SIGKILL; the grace is noted and takes no time here."""
        container.grace_s = grace_s
        if container.status is ContainerStatus.RUNNING:
            code = container.term_code if grace_s else None
            self._finish(container, KILLED if code is None else code)

    def discard(self, container: FakeContainer) -> None:
        """Remove one."""
        self.terminate(container)
        del self.containers[container.spec.name]
        self._publish(container, "remove")
        self._wake()

    def image(self, reference: str) -> Image | None:
        """By name or digest."""
        return next((i for i in self.images.values() if reference in (*i.names, i.digest)), None)

    async def changed(self) -> None:
        """Wait until anything happens."""
        await self._changed.wait()

    @asynccontextmanager
    async def subscription(self, instance: str) -> AsyncIterator[asyncio.Queue[EngineEvent | None]]:
        """Events of an instance; None when the stream breaks."""
        queue: asyncio.Queue[EngineEvent | None] = asyncio.Queue()
        self._subscribers[queue] = instance
        try:
            yield queue
        finally:
            del self._subscribers[queue]

    def _check(self, method: str, *, after: bool) -> None:
        if not self._reachable:
            raise EngineUnavailable(f"cannot {method}: the engine did not answer")
        for fault in self._faults:
            if fault.method == method and fault.after is after and fault.times > 0:
                fault.times -= 1
                raise fault.error

    def _go_on(self, container: FakeContainer) -> None:
        while container.status is ContainerStatus.RUNNING:
            if container.wake_at is not None and self.now() < container.wake_at:
                return
            container.wake_at = None
            match container.steps.pop(0) if container.steps else Exit(0):
                case Say(text, stream):
                    self.say(container.spec.name, text, stream=stream)
                case Exit(code):
                    self._finish(container, code)
                case Sleep(seconds):
                    container.wake_at = self.now() + (FOR_EVER if seconds is None else timedelta(seconds=seconds))
                case Trap(code):
                    container.term_code = code
                case Read() | Cat() | TerminalSize():
                    pass  # a container's stdin is at its end

    def _finish(self, container: FakeContainer, exit_code: int) -> None:
        container.pid = None
        if container.conmon:
            container.status = ContainerStatus.EXITED
            container.exit_code, container.finished_at = exit_code, self.now()
            self._publish(container, "died")
        else:
            container.status = ContainerStatus.LOST
        self._wake()

    def _publish(self, container: FakeContainer, kind: str) -> None:
        event = EngineEvent(container=container.spec.name, kind=kind, labels=dict(container.labels))
        for queue, instance in self._subscribers.items():
            if container.labels[INSTANCE_LABEL] == instance:
                queue.put_nowait(event)

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
