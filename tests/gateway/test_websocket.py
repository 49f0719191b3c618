# SPDX-License-Identifier: Apache-2.0
"""Websockets through the gateway."""

from __future__ import annotations

import asyncio
import os

import aiohttp
import pytest
from aiohttp import WSMsgType

from notebookd.gateway.websocket import MAX_MESSAGE_BYTES
from notebookd.routes import remove_route

from .conftest import ALICE, BEARER, BOB, Deck, ToyEditor


async def test_messages_go_both_ways_at_any_size(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ws(headers=BEARER, max_msg_size=0) as ws:
        await ws.send_str("hé")
        assert await ws.receive_str(timeout=5) == "hé"
        for size in (0, 1, 125, 126, 65536, 20 * 1024 * 1024):
            data = os.urandom(size)
            await ws.send_bytes(data)
            assert await ws.receive_bytes(timeout=20) == data


@pytest.mark.parametrize("frames", [1, 2])
async def test_a_message_that_is_too_long_ends_its_connection_and_no_other(
    deck: Deck, editor: ToyEditor, frames: int
) -> None:
    async with deck.ws(headers=BEARER) as other, deck.ws(headers=BEARER, autoclose=False) as ws:
        part = bytes(MAX_MESSAGE_BYTES // frames + 1)
        for each in range(frames):
            last = each == frames - 1
            opcode = (WSMsgType.BINARY if each == 0 else WSMsgType.CONTINUATION) | (0x80 if last else 0)
            head = bytes((opcode, 0x80 | 127)) + len(part).to_bytes(8, "big") + bytes(4)
            assert ws._response.connection is not None
            ws._response.connection.transport.writelines((head, part))
        message = await ws.receive(timeout=10)
        assert (message.type, message.data) == (WSMsgType.CLOSE, 1009)
        async with asyncio.timeout(5):
            await editor.gone.wait()
        await other.send_str("still here")
        assert await other.receive_str(timeout=5) == "still here"


async def test_subprotocol_is_the_editors_choice(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ws(headers=BEARER, protocols=("other", "v1.kernel")) as ws:
        assert ws.protocol == "v1.kernel"
    async with deck.ws(headers=BEARER, protocols=("other",)) as ws:
        assert ws.protocol is None


async def test_handshake_reaches_the_editor_without_credentials(deck: Deck, editor: ToyEditor) -> None:
    cookie = await deck.log_in()
    async with deck.ws("/ws?session=1", headers={"Cookie": f"{cookie}; a=1", "Origin": deck.origin()}):
        pass
    assert editor.headers["Cookie"] == "a=1"
    assert editor.headers["Origin"] == deck.origin()
    assert editor.headers["Host"] == deck.base()
    async with deck.ws("/ws?session=1&token=secret-a"):
        pass
    assert editor.raw == ["/ws?session=1"] * 2
    assert editor.headers["Cookie"] == f"_xsrf={editor.headers['X-XSRFToken']}"


@pytest.mark.parametrize("code", [1000, 1001, 1011, 3000, 4999])
async def test_close_codes_are_relayed_both_ways(deck: Deck, editor: ToyEditor, code: int) -> None:
    async with deck.ws(headers=BEARER, autoclose=False) as ws:
        await ws.send_str(f"close {code}")
        message = await ws.receive(timeout=5)
        assert (message.type, message.data, message.extra) == (WSMsgType.CLOSE, code, "said so")
    async with asyncio.timeout(5):
        await editor.gone.wait()
    editor.gone.clear()
    async with deck.ws(headers=BEARER) as ws:
        await ws.close(code=code)
        assert ws.close_code == code
    async with asyncio.timeout(5):
        await editor.gone.wait()
    assert editor.closes == [code, code]


async def test_pings_test_the_whole_way(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ws(headers=BEARER, autoping=False) as ws:
        await ws.ping(b"there?")
        message = await ws.receive(timeout=5)
        assert (message.type, message.data) == (WSMsgType.PONG, b"there?")
    assert editor.pinged.is_set()


async def test_editor_that_vanishes_is_told(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ws(headers=BEARER) as ws:
        await ws.send_str("vanish")
        message = await ws.receive(timeout=5)
        assert message.type is WSMsgType.CLOSE
        assert message.data == 1011


async def test_browser_that_vanishes_is_noticed_by_the_editor(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ws(headers=BEARER) as ws:
        await ws.send_str("x")
        await ws.receive_str(timeout=5)
        ws._response.connection.transport.abort()
        async with asyncio.timeout(5):
            await editor.gone.wait()


ORIGINS = [
    # Origin, by session, by bearer, by nothing (unsecureHttp)
    ("home", True, True, True),
    ("http://evil.example", False, False, False),
    ("sibling", False, False, False),
    ("null", False, False, False),
    (None, False, True, False),
]


@pytest.mark.parametrize(("origin", "session", "bearer", "unsecured"), ORIGINS)
async def test_websockets_come_from_home(
    deck: Deck, editor: ToyEditor, origin: str | None, session: bool, bearer: bool, unsecured: bool
) -> None:
    named = {"home": deck.origin(), "sibling": deck.origin(BOB)}.get(origin or "", origin)
    sent = {} if named is None else {"Origin": named}

    async def opens(headers: dict[str, str]) -> bool:
        try:
            async with deck.ws(headers=headers):
                return True
        except aiohttp.WSServerHandshakeError as error:
            refusals.append(error.status)
            return False

    refusals: list[int] = []
    assert await opens({**sent, "Cookie": await deck.log_in()}) is session
    assert await opens({**sent, **BEARER}) is bearer
    deck.publish(unsecure_http=True)
    assert await opens(sent) is unsecured
    assert set(refusals) <= {403}


async def test_stranger_opens_no_websocket(deck: Deck, editor: ToyEditor) -> None:
    for headers, status in (({}, 401), ({"Authorization": "Bearer x"}, 403), ({"Origin": deck.origin()}, 401)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await deck.ws(headers=headers)
        assert refused.value.status == status
    assert editor.seen == []


async def test_editors_refusal_keeps_its_status(deck: Deck, editor: ToyEditor) -> None:
    for target, status in (("/bare?status=404", 404), ("/", 502)):
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await deck.ws(target, headers=BEARER)
        assert refused.value.status == status


async def test_no_redirect_leads_to_another_notebooks_editor(deck: Deck, editor: ToyEditor, serve) -> None:
    bob = await serve(BOB)
    deck.publish(BOB, token="secret-b")
    try:
        async with deck.ws("/redirect", headers=BEARER):
            pass
    except aiohttp.WSServerHandshakeError:
        pass
    assert bob.seen == []


async def test_open_websocket_outlives_routes_and_tokens(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ws(headers=BEARER) as ws:
        deck.publish(token="rotated")
        remove_route(deck.runtime / "routes", ALICE)
        await ws.send_str("still here")
        assert await ws.receive_str(timeout=5) == "still here"


async def test_backpressure_reaches_the_sender(deck: Deck, editor: ToyEditor) -> None:
    """A reader that does not read stops the writer, instead of filling the gateway's memory."""
    async with deck.ws(headers=BEARER, max_msg_size=0) as ws:
        sent = 0
        try:
            async with asyncio.timeout(1):
                while sent < 200:
                    await ws.send_bytes(bytes(1024 * 1024))
                    sent += 1
        except TimeoutError:
            sent += 1  # begun, and buffered by the client
        assert sent < 100
        for _ in range(sent):
            assert len(await ws.receive_bytes(timeout=5)) == 1024 * 1024


async def test_shutdown_says_farewell(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ws(headers=BEARER) as ws:
        await ws.send_str("x")
        await ws.receive_str(timeout=5)
        async with asyncio.TaskGroup() as group:
            group.create_task(deck.close_gateway())
            message = await ws.receive(timeout=5)
    assert (message.type, message.data) == (WSMsgType.CLOSE, 1001)
    activity = deck.activity()
    assert activity is not None
    assert activity.connections == 0
