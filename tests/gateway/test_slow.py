# SPDX-License-Identifier: Apache-2.0
"""Those who take their time, and those who come in crowds: nobody else waits for them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aiohttp import web
from aiohttp.http import HttpRequestParser
from aiohttp.http_exceptions import HttpProcessingError

from notebookd.gateway.patience import Patience
from notebookd.http_doors import HEAD_BYTES, Doorkeeper, bounded

from .accounts import ask_as, socket_of
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

    keeper = Doorkeeper(server=web.Server(nobody), patience_s=3600)
    for _ in range(5000):
        keeper.admit(asyncio.Transport())  # and it is gone before the next one comes
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


FIELDS = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 8000) for number in range(100))


async def until_cut(line: Line, text: bytes) -> int:
    """How many bytes of ``text`` go out before the gateway hangs up."""
    sent = 0
    try:
        for at in range(0, len(text), 4000):
            line.writer.write(text[at : at + 4000])
            await line.writer.drain()
            sent += len(text[at : at + 4000])
            await asyncio.sleep(0.002)
    except ConnectionError:
        pass
    return sent


@pytest.mark.parametrize(
    "before",
    [
        "GET / HTTP/1.1\r\n",
        HEAD + "Transfer-Encoding: chunked\r\n\r\n0\r\n",  # trailers
        HEAD + "Content-Length: 1\r\n\r\nxGET / HTTP/1.1\r\n",  # a second head
    ],
)
async def test_fields_have_a_bound_together(deck: Deck, editor: ToyEditor, before: str) -> None:
    line = await Line.open(deck)
    await line.say(before.format(deck.base()))
    assert await until_cut(line, FIELDS) < 300_000  # with what lies in the kernel's buffers
    line.writer.close()


async def test_a_head_that_comes_in_one_piece_has_the_same_bound(deck: Deck, editor: ToyEditor) -> None:
    head = f"GET / HTTP/1.1\r\nHost: {deck.base()}\r\nAuthorization: Bearer secret-a\r\nConnection: close\r\n"
    for count, status in ((7, b"200"), (9, b"400")):
        fields = "".join(f"X-{number}: {'x' * 8000}\r\n" for number in range(count))
        answer = await deck.raw(f"{head}{fields}\r\n".encode())
        assert answer.split()[1] == status


async def test_who_sends_a_large_body_in_vain_reads_why(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ask("POST", "/", headers={"Authorization": "Bearer wrong"}, data=b"x" * 1_000_000) as answer:
        assert answer.status == 403


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can connect as other accounts")
@pytest.mark.parametrize("patience", [Patience(connections=3)])
async def test_one_account_has_so_many_connections_and_others_have_theirs(deck: Deck, editor: ToyEditor) -> None:
    deck.publish(owner_uid=4001)
    held = []
    for _ in range(3):
        connection = socket_of(4002)
        connection.connect(("127.0.0.1", deck.port))
        held.append(connection)
    await asyncio.sleep(0.1)
    refused = await ask_as(4002, deck, "/")
    assert refused.status == 429
    assert "too-many-connections" in refused.page
    assert (await ask_as(4001, deck, "/", "Authorization: Bearer secret-a")).status == 200
    held.pop().close()
    await asyncio.sleep(0.1)
    assert (await ask_as(4002, deck, "/")).status == 401
    for one in held:
        one.close()


class Counting:
    """aiohttp's parser, and how much it was fed."""

    def __init__(self) -> None:
        loop = asyncio.get_running_loop()
        protocol = web.Server(lambda _: web.Response())()
        self.parser, self.fed = HttpRequestParser(protocol, loop, 2**16, max_field_size=16_000), 0

    def feed_data(self, data: bytes) -> tuple[list[Any], bool, bytes]:
        self.fed += len(data)
        fed: tuple[list[Any], bool, bytes] = self.parser.feed_data(data)
        return fed


async def test_what_lies_beyond_the_bound_is_not_parsed() -> None:
    parser = Counting()
    heads = bounded(parser, begun=lambda: None, cut=lambda: None)
    with pytest.raises(HttpProcessingError):
        heads.feed_data(b"GET / HTTP/1.1\r\n" + FIELDS)
    assert heads.feed_data(FIELDS) == ([], False, b"")
    assert parser.fed <= HEAD_BYTES + 1


async def test_a_body_and_the_next_request_come_in_one_piece() -> None:
    heads = bounded(Counting(), begun=lambda: None, cut=lambda: None)
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n" + b"b" * 100_000
    messages, upgraded, tail = heads.feed_data(one + one)
    assert (len(messages), upgraded, tail) == (2, False, b"")
    assert all(body.is_eof() for _, body in messages)
