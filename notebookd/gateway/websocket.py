# SPDX-License-Identifier: Apache-2.0
"""One websocket passed on to the editor.

Messages, pings and pongs go through as they come, so that the ends' own heartbeats test the whole way. A close
is relayed with its code; an end that vanishes without one is told to the other as 1001 (the browser left) or 1011 (the
editor did).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import aiohttp
from aiohttp import WSCloseCode, WSMessage, WSMsgType, web
from multidict import CIMultiDict
from yarl import URL

__all__ = ["MAX_MESSAGE_BYTES", "forward_websocket"]

MAX_MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""A message is held whole while it passes. Larger ones end the connection with 1009. A figure in a notebook is a few
megabytes; files that people load come as requests, which stream."""

_CLOSE_TIMEOUT_S: Final = 5.0
_NEVER_SENT: Final = frozenset({0, 1005, 1006, 1015})
"""Codes that only ever *describe* a connection: "there was none", "broken off", "TLS failed"."""
_LOST: Final = frozenset({WSMsgType.CLOSED, WSMsgType.ERROR})

_End = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def forward_websocket(
    request: web.Request,
    session: aiohttp.ClientSession,
    url: URL,
    sent: CIMultiDict[str],
    *,
    opened: Callable[[web.WebSocketResponse], None],
    touched: Callable[[], None],
) -> web.StreamResponse:
    """Open a websocket to the editor, then accept the browser's, then pass messages until one end closes.

    ``opened`` is called once both ends stand, ``touched`` at each message. Raises
    :data:`~notebookd.gateway.editor.UNREACHABLE` as long as nothing was answered; an editor's refusal is
    among them, as ``WSServerHandshakeError``.
    """
    async with session.ws_connect(
        url,
        headers=sent,
        protocols=_offered(request),
        autoclose=False,
        autoping=False,
        max_msg_size=MAX_MESSAGE_BYTES,
        timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_TIMEOUT_S),
    ) as editor:
        browser = web.WebSocketResponse(
            protocols=(editor.protocol,) if editor.protocol else (),
            autoclose=False,
            autoping=False,
            compress=False,
            max_msg_size=MAX_MESSAGE_BYTES,
            timeout=_CLOSE_TIMEOUT_S,
        )
        await browser.prepare(request)
        opened(browser)
        async with asyncio.TaskGroup() as both:
            both.create_task(_pass_on(browser, editor, touched, lost=WSCloseCode.GOING_AWAY))
            both.create_task(_pass_on(editor, browser, touched, lost=WSCloseCode.INTERNAL_ERROR))
        return browser


def _offered(request: web.Request) -> tuple[str, ...]:
    values = request.headers.getall("Sec-WebSocket-Protocol", ())
    return tuple(name.strip() for value in values for name in value.split(",") if name.strip())


async def _pass_on(source: _End, sink: _End, touched: Callable[[], None], *, lost: WSCloseCode) -> None:
    """Pass messages until ``source`` ends, then end ``sink`` likewise (or find that it has ended)."""
    try:
        while True:
            message = await source.receive()
            if message.type is WSMsgType.CLOSE:
                await _close_both(source, sink, message)
                return
            if message.type is WSMsgType.CLOSING:
                return  # the other direction is closing this end and will see to both
            if message.type in _LOST:
                await sink.close(code=_code_of(source, lost))
                return
            await _send(sink, message)
            if message.type in {WSMsgType.TEXT, WSMsgType.BINARY}:
                touched()
    except ConnectionError:
        # The sink broke under our hands; its own reader sees that too and ends the source.
        await source.close(code=lost)


async def _send(sink: _End, message: WSMessage) -> None:
    match message.type:
        case WSMsgType.TEXT:
            await sink.send_str(message.data)
        case WSMsgType.BINARY:
            await sink.send_bytes(message.data)
        case WSMsgType.PING:
            await sink.ping(message.data)
        case WSMsgType.PONG:
            await sink.pong(message.data)
        case _:
            raise AssertionError(f"unexpected websocket message {message.type!r}")


async def _close_both(source: _End, sink: _End, message: WSMessage) -> None:
    code = int(message.data or 0)
    if code in _NEVER_SENT:
        code = WSCloseCode.OK
    reason = (message.extra or "").encode()
    await sink.close(code=code, message=reason)
    await source.close(code=code)


def _code_of(source: _End, lost: WSCloseCode) -> int:
    """What to tell the other end: what we told this one (a message too long, …), else that it is lost."""
    code = source.close_code or 0
    return lost if code in _NEVER_SENT or code == WSCloseCode.OK else int(code)
