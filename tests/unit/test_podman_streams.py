# SPDX-License-Identifier: Apache-2.0
"""What a follower of a log waits by, against an engine that is a few lines of this file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from notebookd.adapters.podman.streams import Streams
from notebookd.errors import EngineError

OK = b"HTTP/1.0 200 OK\r\nContent-Type: application/octet-stream\r\n\r\n"


class Engine:
    """Says what it is told to say, to whoever asked last."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[tuple[bytes, asyncio.StreamWriter]] = asyncio.Queue()
        self.hung_up = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self.asked.put((await reader.readuntil(b"\r\n\r\n"), writer))
        await reader.read()
        writer.close()
        self.hung_up.set()


@asynccontextmanager
async def waiting(folder: Path) -> AsyncIterator[tuple[Engine, Streams]]:
    engine = Engine()
    streams = Streams(folder / "s", timeout_s=1)
    try:
        async with await asyncio.start_unix_server(engine.serve, folder / "s"), asyncio.timeout(10):
            yield engine, streams
            await engine.hung_up.wait()
    finally:
        await streams.aclose()


async def test_output_is_noticed_and_its_end_too(tmp_path: Path) -> None:
    async with waiting(tmp_path) as (engine, streams), streams.output("c1") as wait:
        asked, answer = await engine.asked.get()
        assert asked.startswith(b"GET /v4.0.0/libpod/containers/c1/logs?")
        assert await wait(0.01), "it was silent, and may still write"
        answer.write(OK + b"\1\0\0\0\0\0\0\1x")
        assert await wait(60)
        answer.close()
        while await wait(60):
            pass


async def test_nothing_is_left_of_a_wait_that_is_given_up(tmp_path: Path) -> None:
    before = asyncio.all_tasks()
    async with waiting(tmp_path) as (engine, streams), streams.output("c1") as wait:
        await engine.asked.get()
        assert await wait(0.01)
        mine = {task for task in asyncio.all_tasks() - before if "Engine.serve" not in repr(task)}
        assert mine == set(), "nothing waits but whoever calls"


@pytest.mark.parametrize("body", [b'{"message":"no such container"}', b"no such container"])
async def test_a_refusal_is_told(tmp_path: Path, body: bytes) -> None:
    async with waiting(tmp_path) as (engine, streams), streams.output("c1") as wait:
        _, answer = await engine.asked.get()
        answer.write(b"HTTP/1.0 500 Internal Server Error\r\nContent-Type: text/plain\r\n\r\n" + body)
        answer.close()
        with pytest.raises(EngineError, match="no such container"):
            await wait(5)


async def test_an_engine_that_is_away_is_told(tmp_path: Path) -> None:
    streams = Streams(tmp_path / "nobody", timeout_s=1)
    try:
        with pytest.raises(EngineError):
            async with streams.output("c1"):
                pass
    finally:
        await streams.aclose()
