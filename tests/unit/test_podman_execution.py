# SPDX-License-Identifier: Apache-2.0
"""The connection of a command in a container, against an engine that is a few lines of this file."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

from notebookd.adapters.podman.calls import Calls
from notebookd.adapters.podman.execution import PodmanExec, _upgrade

SWITCH = b"HTTP/1.1 101 UPGRADED\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
FRAME = b"\x01\0\0\0\0\0\0\x05"


async def test_input_that_the_command_left_unread_does_not_cost_its_output(tmp_path: Path) -> None:
    async def engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(SWITCH + (FRAME + b"hello") * 1000)
        await writer.drain()
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await closing.wait()
        writer.transport.abort()

    closing = asyncio.Event()
    async with await asyncio.start_unix_server(engine, tmp_path / "s"):
        streams = await _upgrade(tmp_path / "s", "1", tty=False)
        running = PodmanExec(cast(Calls, None), "1", *streams, tty=False)
        await running.write(b"x" * 200_000)
        closing.set()
        assert b"".join([each.data async for each in running.output()]) == b"hello" * 1000


async def test_input_that_comes_after_the_commands_end_does_not_cost_its_output(tmp_path: Path) -> None:
    async def engine(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readuntil(b"}")
        writer.write(SWITCH + (FRAME + b"hello") * 1000)
        writer.close()
        await writer.wait_closed()
        closed.set()

    closed = asyncio.Event()
    async with await asyncio.start_unix_server(engine, tmp_path / "s"):
        streams = await _upgrade(tmp_path / "s", "1", tty=False)
        running = PodmanExec(cast(Calls, None), "1", *streams, tty=False)
        output = running.output()
        read = [(await anext(output)).data]
        await closed.wait()
        for _ in range(3):
            await running.write(b"x")
            await asyncio.sleep(0)
        assert b"".join(read + [each.data async for each in output]) == b"hello" * 1000
