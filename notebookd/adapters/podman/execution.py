# SPDX-License-Identifier: Apache-2.0
"""Commands in a running container: libpod's exec, whose connection turns into the command's own stream.

aiohttp does not hand out the connection of an upgrade that is no websocket, so the few lines of HTTP are here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from notebookd.adapters.podman.calls import Calls, Session
from notebookd.adapters.podman.liveness import hang_up
from notebookd.adapters.podman.streams import FRAME_HEADER, parse_header
from notebookd.adapters.podman.translate import error_of, unavailable
from notebookd.errors import EngineError
from notebookd.ports.engine import ExecOutput

CHUNK = 64 * 1024
EXIT_PAUSES_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8)
SWITCHING = 101


class PodmanExec:
    """An :class:`~notebookd.ports.engine.ExecSession` on an upgraded connection."""

    def __init__(
        self, calls: Calls, exec_id: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, tty: bool
    ) -> None:
        self._calls = calls
        self._id = exec_id
        self._reader = reader
        self._writer = writer
        self._tty = tty

    async def output(self) -> AsyncIterator[ExecOutput]:
        """Yield output until the command ended."""
        try:
            if self._tty:
                while data := await self._reader.read(CHUNK):
                    yield ExecOutput(stream=1, data=data)
                return
            while header := await self._header():
                stream, length = parse_header(header)
                while length:
                    data = await self._reader.read(min(length, CHUNK))
                    if not data:
                        raise unavailable("read a command's output", "the stream broke")
                    length -= len(data)
                    yield ExecOutput(stream=stream, data=data)
        except (OSError, asyncio.IncompleteReadError) as error:
            raise unavailable("read a command's output", error) from error

    async def write(self, data: bytes) -> None:
        """Send bytes to its stdin; what a command that ended did not read is dropped."""
        with suppress(ConnectionError):
            self._writer.write(data)
            await self._writer.drain()

    async def close_stdin(self) -> None:
        """End its stdin."""
        with suppress(OSError):
            self._writer.write_eof()

    async def resize(self, *, width: int, height: int) -> None:
        """Tell its tty a new size in cells."""
        params = {"w": width, "h": height}
        await self._calls.run(lambda s: s.post(f"/exec/{self._id}/resize", "resize a terminal", params=params))

    async def exit_code(self) -> int:
        """Its exit status. The engine may take a moment to record it after the output ended."""
        state = await self._state()
        for pause_s in EXIT_PAUSES_S:
            if not state["Running"]:
                break
            await self._calls.pause(pause_s)
            state = await self._state()
        if state["Running"]:
            raise EngineError("cannot read a command's exit status: it is still running")
        return int(state["ExitCode"])

    async def aclose(self) -> None:
        """Hang up: close the connection, and tell a command that still runs, as a lost terminal would."""
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()
        with suppress(EngineError):
            state = await self._state()
            if state["Running"]:
                hang_up(state.get("Pid") or 0)

    async def _header(self) -> bytes:
        try:
            return await self._reader.readexactly(FRAME_HEADER)
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return b""

    async def _state(self) -> dict[str, Any]:
        state = await self._calls.run(lambda s: s.get(f"/exec/{self._id}/json", "look at a command"))
        if state is None:
            raise EngineError("cannot look at a command: the engine has forgotten it")
        return dict(state)


def exec_body(
    command: tuple[str, ...], *, tty: bool, stdin: bool, env: Mapping[str, str], folder: str
) -> dict[str, Any]:
    """What the engine is asked to run."""
    variables = {**({"TERM": "xterm-256color"} if tty else {}), **env}
    body = {
        "Cmd": list(command),
        "AttachStdin": stdin,
        "AttachStdout": True,
        "AttachStderr": True,
        "Tty": tty,
        "DetachKeys": "",
        "Env": [f"{name}={value}" for name, value in variables.items()],
    }
    return {**body, "WorkingDir": folder} if folder else body


@asynccontextmanager
async def open_exec(
    calls: Calls, socket: Path, container_id: str, body: Mapping[str, Any]
) -> AsyncIterator[PodmanExec]:
    """Create the command and start it on a connection of its own."""
    tty = bool(body["Tty"])

    def create(session: Session) -> str:
        return str(session.post(f"/containers/{container_id}/exec", "run a command", body=body)["Id"])

    exec_id = await calls.run(create)
    try:
        async with asyncio.timeout(calls.timeout_s):
            reader, writer = await _upgrade(socket, exec_id, tty=tty)
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise unavailable("run a command", error) from error
    running = PodmanExec(calls, exec_id, reader, writer, tty=tty)
    try:
        yield running
    finally:
        await running.aclose()


class _Reader(asyncio.StreamReader):
    """The engine closes the connection of a command that ended with input unread or on its way, which is a reset or a
    broken pipe: an end like any other, before which everything is read that came."""

    def set_exception(self, exc: Exception) -> None:
        """The connection broke."""
        if isinstance(exc, ConnectionResetError | BrokenPipeError):
            self.feed_eof()
        else:
            super().set_exception(exc)


async def _connect(socket: Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    loop = asyncio.get_running_loop()
    reader = _Reader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await loop.create_unix_connection(lambda: protocol, str(socket))
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def _upgrade(socket: Path, exec_id: str, *, tty: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await _connect(socket)
    try:
        body = json.dumps({"Detach": False, "Tty": tty}).encode()
        head = (
            f"POST /v4.0.0/libpod/exec/{exec_id}/start HTTP/1.1\r\nHost: podman\r\nConnection: Upgrade\r\n"
            f"Upgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        if int(answer.split(" ", 2)[1]) == SWITCHING:
            return reader, writer
        refusal = await reader.readexactly(_content_length(answer))
    except BaseException:
        writer.close()
        raise
    writer.close()
    raise error_of("run a command", refusal.decode("utf-8", "replace"))


def _content_length(head: str) -> int:
    for line in head.lower().split("\r\n"):
        if line.startswith("content-length:"):
            return int(line.partition(":")[2])
    return 0
