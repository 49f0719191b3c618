# SPDX-License-Identifier: Apache-2.0
"""What a member's connections cost before a request has begun."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from notebookd.api.serving import Doors, serving

FIELDS = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 8000) for number in range(100))
ASK = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def _hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


@pytest.fixture
def doors() -> Doors:
    return Doors()


@pytest.fixture
async def door(public_folder: Path, doors: Doors) -> AsyncIterator[Path]:
    """A server with these bounds, on a socket that is open to all."""
    path = public_folder / "door.sock"
    app = web.Application()
    app.router.add_get("/", _hello)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    path.chmod(0o666)
    listener.listen()
    listener.setblocking(False)
    async with serving(app, [listener], backlog=64, doors=doors):
        yield path


async def answer_of(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(10):
        return await reader.readuntil(b"\r\n\r\n")


async def trickle(writer: asyncio.StreamWriter, text: bytes, step: int, pause_s: float) -> None:
    for at in range(0, len(text), step):
        writer.write(text[at : at + step])
        await writer.drain()
        await asyncio.sleep(pause_s)


async def test_the_fields_of_a_head_have_a_bound_together(door: Path) -> None:
    _, writer = await asyncio.open_unix_connection(str(door))
    writer.write(b"GET / HTTP/1.1\r\n")
    with pytest.raises(ConnectionError):
        await trickle(writer, FIELDS, 4000, 0.002)
    writer.close()


@pytest.mark.parametrize("doors", [Doors(head_s=0.2, keep_alive_s=0.2)])
@pytest.mark.parametrize("before", [b"", ASK])
async def test_a_head_that_trickles_is_not_waited_for(door: Path, before: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(str(door))
    if before:
        writer.write(before)
        await answer_of(reader)
        await reader.readexactly(len("hello"))
    writer.write(b"GET / HTTP/1.1\r\nX: ")
    with pytest.raises(ConnectionError):
        await trickle(writer, b"x" * 500, 1, 0.02)
    writer.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as other accounts")
@pytest.mark.parametrize("doors", [Doors(connections=3)])
async def test_an_account_has_so_many_connections_and_others_have_theirs(door: Path) -> None:
    held: list[asyncio.StreamWriter] = []

    async def ask_as(uid: int) -> bytes:
        os.seteuid(uid)
        try:
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(str(door))
        finally:
            os.seteuid(0)
        reader, writer = await asyncio.open_unix_connection(sock=connection)
        held.append(writer)
        writer.write(ASK)
        return (await answer_of(reader)).split()[1]

    assert [await ask_as(4001) for _ in range(4)] == [b"200", b"200", b"200", b"429"]
    assert await ask_as(4002) == b"200"
    assert [await ask_as(0) for _ in range(5)] == [b"200"] * 5
    held[0].close()
    await held[0].wait_closed()
    await asyncio.sleep(0.1)
    assert await ask_as(4001) == b"200"
    for writer in held:
        writer.close()
