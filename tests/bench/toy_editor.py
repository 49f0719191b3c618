# SPDX-License-Identifier: Apache-2.0
"""``python -m tests.bench.toy_editor SOCKET``: an editor that only sends, and echoes, as fast as aiohttp does."""

from __future__ import annotations

import sys

from aiohttp import WSMsgType, web


async def small(_: web.Request) -> web.StreamResponse:
    """A word."""
    return web.Response(text="here")


async def echo(request: web.Request) -> web.StreamResponse:
    """Every message back."""
    there = web.WebSocketResponse(max_msg_size=0, compress=False)
    await there.prepare(request)
    async for message in there:
        if message.type is WSMsgType.BINARY:
            await there.send_bytes(message.data)
    return there


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/small", small)
    app.router.add_get("/echo", echo)
    web.run_app(app, path=sys.argv[1], access_log=None, print=lambda _: None)
