# SPDX-License-Identifier: Apache-2.0
"""The server around the application: on which sockets, and how many and how patiently."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from notebookd.api.peers import account_of
from notebookd.http_doors import HEAD_S, Doorkeeper
from notebookd.http_log import http_log

LINE_BYTES: Final = 16 * 1024
"""Of a request line: the longest path in a workspace (4096 bytes) takes three for each where it is percent-encoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Doors:
    """Seconds until the head of a connection's first request is there, and until the next request's is, however many
    bytes of it came; and how many ``connections`` one account has at once. None does not count them: on the gateway's
    socket one account carries many people."""

    head_s: float = HEAD_S
    keep_alive_s: float = 75.0
    connections: int | None = 256


@asynccontextmanager
async def serving(
    app: web.Application, listeners: Sequence[socket.socket], *, backlog: int, doors: Doors | None = None
) -> AsyncIterator[None]:
    """Serve on listening Unix sockets for as long as the block lasts.

    Nothing of a request is logged that makes no sense: it may bear a token.
    """
    doors = doors or Doors()
    runner = web.AppRunner(
        app,
        access_log=None,
        logger=http_log,
        keepalive_timeout=doors.keep_alive_s,
        max_line_size=LINE_BYTES,
        shutdown_timeout=1,
    )
    await runner.setup()
    assert runner.server is not None
    keeper = Doorkeeper(server=runner.server, patience_s=doors.head_s)
    if doors.connections is not None:
        keeper.whose, keeper.most_each = account_of, doors.connections
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(keeper, sock=one, backlog=backlog) for one in listeners]
    try:
        yield
    finally:
        for server in servers:
            server.close()
        keeper.close()
        await runner.cleanup()
