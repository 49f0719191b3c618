# SPDX-License-Identifier: Apache-2.0
"""What only the real engine can be asked: broken and silent connections, a restarted daemon, large streams."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from notebookd.adapters.podman import PodmanEngine
from notebookd.errors import EngineUnavailable, MountMoved, NotebookdError
from notebookd.ports.engine import EVENTS_CONNECTED, Container, ContainerStatus
from tests.contract.podman_world import PodmanWorld, eventually, wait_gone

pytestmark = pytest.mark.engine


class Proxy:
    """A socket in front of the engine that can be cut, or fall silent."""

    def __init__(self, path: Path, engine: Path) -> None:
        self.path = path
        self._engine = engine
        self._writers: list[asyncio.StreamWriter] = []
        self.silent = False

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        server = await asyncio.start_unix_server(self._carry, self.path)
        try:
            yield
        finally:
            server.close()
            self.cut()

    def cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_unix_connection(self._engine)
        self._writers += [writer, there_writer]
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._copy(reader, there_writer))
            tasks.create_task(self._copy(there_reader, writer))

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65536):
                if not self.silent:
                    writer.write(data)
                    await writer.drain()
            if writer.can_write_eof() and not self.silent:
                writer.write_eof()
        except OSError:
            writer.transport.abort()


@pytest.fixture
async def proxy(podman: PodmanWorld) -> AsyncIterator[Proxy]:
    path = Path(f"/tmp/notebookd-{uuid.uuid4().hex[:8]}.sock")
    proxy = Proxy(path, podman.socket)
    async with proxy.serve():
        yield proxy
    path.unlink(missing_ok=True)


async def begun(podman: PodmanWorld, script: str) -> Container:
    spec = podman.spec("sh", "-c", script)
    await podman.engine.create(spec)
    return await podman.engine.start(spec.name)


async def test_broken_streams_are_unavailable(podman: PodmanWorld, proxy: Proxy) -> None:
    running = await begun(podman, "echo one; exec sleep 300")
    async with PodmanEngine.open(proxy.path, podman.instance, profile=podman.profile) as engine, asyncio.timeout(15):
        events = engine.events()
        assert (await anext(events)).kind == EVENTS_CONNECTED
        logs = engine.logs(running.name, follow=True)
        assert (await anext(logs)).content == "one"
        proxy.cut()
        with pytest.raises(EngineUnavailable):
            await anext(events)
        with pytest.raises(EngineUnavailable):
            await anext(logs)
        assert await engine.find(running.name) == running  # the calls have another connection, and get a new one


async def test_a_command_in_a_folder_that_is_not_there_says_so(podman: PodmanWorld) -> None:
    running = await begun(podman, "exec sleep 300")
    more = podman.engine.exec(running.name, ("true",), tty=False, stdin=False, folder="/no/such")
    async with asyncio.timeout(15), more as session:
        written = b"".join([piece.data async for piece in session.output()])
        assert b"/no/such" in written
        assert await session.exit_code() in {126, 127}


async def test_broken_exec_is_unavailable(podman: PodmanWorld, proxy: Proxy) -> None:
    running = await begun(podman, "exec sleep 300")
    async with PodmanEngine.open(proxy.path, podman.instance, profile=podman.profile) as engine, asyncio.timeout(15):
        command = ("sh", "-c", "echo one; sleep 200")
        async with engine.exec(running.name, command, tty=False, stdin=False) as session:
            output = session.output()
            assert (await anext(output)).data == b"one\n"
            proxy.cut()
            with pytest.raises((EngineUnavailable, StopAsyncIteration)):
                await anext(output)
            with pytest.raises(NotebookdError):
                await session.exit_code()


async def test_silent_engine_is_unavailable_in_time(podman: PodmanWorld, proxy: Proxy) -> None:
    running = await begun(podman, "exec sleep 300")
    async with (
        PodmanEngine.open(proxy.path, podman.instance, profile=podman.profile, timeout_s=0.3) as engine,
        asyncio.timeout(15),
    ):
        assert await engine.find(running.name) == running
        proxy.silent = True
        calls: list[Callable[[], object]] = [
            lambda: engine.find(running.name),
            lambda: engine.stop(running.name, grace_s=0),
            lambda: anext(engine.events()),
            lambda: engine.exec(running.name, ("true",), tty=False, stdin=False).__aenter__(),
        ]
        for call in calls:
            with pytest.raises(EngineUnavailable):
                await call()  # type: ignore[misc]
    assert await podman.engine.find(running.name) == running


async def test_new_daemon_knows_a_container_whose_conmon_died(podman: PodmanWorld) -> None:
    running = await begun(podman, "exec sleep 300")
    await podman.kill_conmon(running.name, process_too=False)
    async with PodmanEngine.open(podman.socket, podman.instance, profile=podman.profile) as second:
        assert await second.find(running.name) == running
        stopped = await second.stop(running.name, grace_s=0)
        assert stopped is not None
        assert stopped.status is ContainerStatus.LOST
    assert running.pid is not None
    await wait_gone(running.pid)


async def test_conmon_that_dies_under_a_stop_does_not_hold_it(podman: PodmanWorld) -> None:
    running = await begun(podman, "exec sleep 300")
    conmon = podman.inspect(running.name)["State"]["ConmonPid"]
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        stopping = tasks.create_task(podman.engine.stop(running.name, grace_s=3))
        await asyncio.sleep(0.5)
        os.kill(conmon, signal.SIGKILL)
    stopped = stopping.result()
    assert stopped is not None
    assert stopped.status in (ContainerStatus.LOST, ContainerStatus.EXITED)
    await podman.engine.remove(running.name)
    assert await podman.engine.find(running.name) is None


async def test_checked_start_waits_for_what_clears_up_after_the_run_before(podman: PodmanWorld) -> None:
    mount = podman.folder("/data")
    spec = podman.spec("sh", "-c", "exec sleep 300", mounts=(mount,))
    await podman.engine.create(spec)
    await podman.engine.start(spec.name, checked=[mount])
    podman.swap(mount)
    with hold_cleanup(podman.inspect(spec.name)) as held:
        await podman.engine.stop(spec.name, grace_s=0)
        await held.wait()
        starting = asyncio.create_task(podman.engine.start(spec.name, checked=[mount]))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(starting), 0.5)
        assert podman.inspect(spec.name)["State"]["Status"] == "exited"
    with pytest.raises(MountMoved):
        await starting


async def test_what_attends_to_a_command_holds_no_start_up(podman: PodmanWorld) -> None:
    mount = podman.folder("/data")
    spec = podman.spec("sh", "-c", "exec sleep 300", mounts=(mount,))
    await podman.engine.create(spec)
    await podman.engine.start(spec.name, checked=[mount])
    async with podman.engine.exec(spec.name, ("true",), tty=False, stdin=False) as session:
        assert await session.exit_code() == 0
    await podman.engine.stop(spec.name, grace_s=0)
    async with asyncio.timeout(10):
        await podman.engine.start(spec.name, checked=[mount])


class Held:
    """The program by which Podman clears up after a container, stopped as soon as it is there."""

    def __init__(self, container: dict[str, Any]) -> None:
        self._id = container["Id"].encode()
        self._conmon = container["State"]["ConmonPid"]
        self.pid = 0

    async def wait(self) -> None:
        async with asyncio.timeout(15):
            while not self.pid:
                await asyncio.sleep(0.01)

    def watch(self) -> None:
        deadline = time.monotonic() + 15
        while not self.pid and time.monotonic() < deadline:
            with suppress(OSError):
                for word in Path(f"/proc/{self._conmon}/task/{self._conmon}/children").read_text().split():
                    command = Path(f"/proc/{word}/cmdline").read_bytes().split(b"\0")
                    if b"cleanup" in command and self._id in command:
                        os.kill(int(word), signal.SIGSTOP)
                        self.pid = int(word)


@contextmanager
def hold_cleanup(container: dict[str, Any]) -> Iterator[Held]:
    held = Held(container)
    watcher = threading.Thread(target=held.watch)
    watcher.start()
    try:
        yield held
    finally:
        watcher.join()
        if held.pid:
            os.kill(held.pid, signal.SIGCONT)


async def test_large_streams_pass_whole(podman: PodmanWorld) -> None:
    running = await begun(podman, "exec sleep 300")
    async with asyncio.timeout(30):
        script = ("head", "-c", "5000000", "/dev/zero")
        async with podman.engine.exec(running.name, script, tty=False, stdin=False) as session:
            assert sum([len(piece.data) async for piece in session.output()]) == 5_000_000
        async with podman.engine.exec(running.name, ("wc", "-c"), tty=False, stdin=True) as session:
            await session.write(b"x" * 1_000_000)
            await session.close_stdin()
            assert b"".join([piece.data async for piece in session.output()]).strip() == b"1000000"


@pytest.mark.parametrize("tty", [False, True])
async def test_command_is_hung_up_when_its_caller_leaves(podman: PodmanWorld, tty: bool) -> None:
    running = await begun(podman, "exec sleep 300")
    seconds = f"3{uuid.uuid4().int % 10**6:06d}"

    def sleepers() -> list[Path]:
        return [path for path in Path("/proc").glob("[0-9]*/cmdline") if seconds in read(path)]

    async def look() -> list[Path]:
        return sleepers()

    async with podman.engine.exec(running.name, ("sleep", seconds), tty=tty, stdin=tty):
        await eventually(look, bool)
    assert await eventually(look, lambda found: not found) == []


def read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


async def test_long_lines_come_whole(podman: PodmanWorld) -> None:
    running = await begun(podman, "head -c 20000 /dev/zero | tr '\\0' x; echo; echo after")
    await eventually(lambda: podman.engine.find(running.name), lambda c: c.status is ContainerStatus.EXITED)
    contents = [line.content async for line in podman.engine.logs(running.name)]
    assert contents == ["x" * 20000, "after"]


async def test_many_calls_at_once(podman: PodmanWorld) -> None:
    specs = [podman.spec("sh", "-c", f"exit {number}") for number in range(12)]

    async def run(number: int) -> int | None:
        spec = specs[number]
        await podman.engine.create(spec)
        await podman.engine.start(spec.name)
        ended = await eventually(
            lambda: podman.engine.find(spec.name), lambda c: c.status is not ContainerStatus.RUNNING
        )
        code: int | None = ended.exit_code
        return code

    async with asyncio.TaskGroup() as tasks:
        runs = [tasks.create_task(run(number)) for number in range(12)]
    assert [done.result() for done in runs] == list(range(12))
