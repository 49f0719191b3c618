# SPDX-License-Identifier: Apache-2.0
"""Those who take their time, and those who come in crowds: nobody else waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web

from notebookd.gateway.patience import Doorkeeper, Patience

from .conftest import BEARER, BOB, Deck, ToyEditor

SHORT = Patience(head_s=0.2, keep_alive_s=0.2, body_s=0.2)
HEAD = "POST /upload HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer secret-a\r\n"


class Line:
    """A connection of which every byte is ours to say."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, deck: Deck) -> Line:
        return cls(*await asyncio.open_connection("127.0.0.1", deck.port))

    async def say(self, text: str) -> None:
        self.writer.write(text.encode())
        await self.writer.drain()

    async def rest(self) -> bytes:
        """Whatever comes until the gateway hangs up."""
        async with asyncio.timeout(10):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""
            finally:
                self.writer.close()


@pytest.mark.parametrize("patience", [SHORT])
@pytest.mark.parametrize("said", ["", "G", "GET / HTTP/1.1\r\nHost: x\r\n", "GET /\r\n", "\r\n"])
async def test_a_head_that_does_not_come_to_its_end_is_not_waited_for(deck: Deck, said: str) -> None:
    line = await Line.open(deck)
    await line.say(said)
    assert await line.rest() == b""


@pytest.mark.parametrize("patience", [SHORT])
async def test_a_second_head_is_not_waited_for_either_however_it_trickles(deck: Deck, editor: ToyEditor) -> None:
    line = await Line.open(deck)
    await line.say(f"GET / HTTP/1.1\r\nHost: {deck.base()}\r\nAuthorization: Bearer secret-a\r\n\r\n")
    await line.reader.readuntil(b"body:")

    async def trickle() -> None:
        await line.say("GET / HTTP/1.1\r\nX: ")
        while True:
            await line.say("X")
            await asyncio.sleep(0.02)

    trickling = asyncio.create_task(trickle())
    assert await line.rest() == b""
    trickling.cancel()
    await asyncio.gather(trickling, return_exceptions=True)


@pytest.mark.parametrize("patience", [SHORT])
@pytest.mark.parametrize("how", ["Content-Length: 9\r\n\r\nhalf", "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"])
async def test_a_body_that_stops_coming_is_given_up(deck: Deck, editor: ToyEditor, how: str) -> None:
    line = await Line.open(deck)
    await line.say(HEAD.format(deck.base()) + how)
    answer = await line.reader.readuntil(b"\r\n\r\n")
    line.writer.close()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"".join(editor.chunks) == b"half"
    async with deck.ask("GET", "/", headers=BEARER) as next_one:
        assert next_one.status == 200


@pytest.mark.parametrize("patience", [SHORT])
async def test_patience_is_with_the_browser_and_not_with_the_editor(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ask("GET", "/stream", headers=BEARER) as answer, deck.ws(headers=BEARER) as socket:
        assert await answer.content.readany()
        await asyncio.sleep(0.5)
        editor.go.set()
        assert await answer.content.read() == b"data: last\n\n"
        await socket.send_str("still here")
        assert await socket.receive_str() == "still here"


async def test_a_thousand_idle_connections_are_nothing_to_anybody(
    deck: Deck, editor: ToyEditor, serve: Callable[[str], Any]
) -> None:
    await serve(BOB)
    deck.publish(BOB, token="secret-b")
    async with AsyncExitStack() as stack:
        socket = await stack.enter_async_context(deck.ws(headers=BEARER))
        for number in range(1000):
            line = await Line.open(deck)
            stack.callback(line.writer.close)
            if number % 2:
                await line.say(HEAD.format(deck.base()))
        sent = {"Authorization": "Bearer secret-b"}
        async with asyncio.timeout(5), deck.ask("GET", "/", host=deck.base(BOB), headers=sent) as answer:
            assert answer.status == 200
        await socket.send_str("still here")
        assert await socket.receive_str() == "still here"


async def test_nothing_is_kept_of_connections_that_went() -> None:
    async def nobody(_: web.BaseRequest) -> web.StreamResponse:
        raise AssertionError

    keeper = Doorkeeper(server=web.Server(nobody), patience_s=3600, silent={})
    for _ in range(5000):
        keeper()  # and it is gone before the next one comes
        keeper.silent = {handler: since - 2 for handler, since in keeper.silent.items()}
    keeper.close()
    assert len(keeper.silent) <= 256


async def test_one_users_flood_does_not_starve_anothers_websocket(
    deck: Deck, editor: ToyEditor, serve: Callable[[str], Any]
) -> None:
    await serve(BOB)
    deck.publish(BOB, token="secret-b")
    done = asyncio.Event()

    async def flood() -> int:
        asked = 0
        while not done.is_set():
            async with deck.ask("POST", "/", headers=BEARER, data=b"x" * 10_000) as answer:
                await answer.read()
            asked += 1
        return asked

    async with deck.ws(notebook=BOB, headers={"Authorization": "Bearer secret-b"}) as socket:
        crowd = [asyncio.create_task(flood()) for _ in range(100)]
        async with asyncio.timeout(20):
            for number in range(20):
                await socket.send_str(str(number))
                assert await socket.receive_str() == str(number)
        done.set()
        assert sum(await asyncio.gather(*crowd)) >= 100
