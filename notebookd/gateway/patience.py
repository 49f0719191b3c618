# SPDX-License-Identifier: Apache-2.0
"""How long the gateway waits for those who take their time. Nobody who is slow holds up anybody else; these bounds are
for what he takes up meanwhile: a descriptor, some memory, a connection of the editor's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiohttp import StreamReader

from notebookd.http_doors import HEAD_S

__all__ = ["Patience", "Stalled", "chunks"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds: until the head of a connection's first request is there; until the next request's is, however many
    bytes of it came; and until the next bytes of a body come. A websocket may be silent for ever."""

    head_s: float = HEAD_S
    keep_alive_s: float = 75.0
    body_s: float = 120.0
    connections: int = 2048
    """At once, of one account of this machine."""


class Stalled(Exception):
    """A request's body stopped coming."""


async def chunks(content: StreamReader, patience_s: float) -> AsyncIterator[bytes]:
    """A body as it comes. Raises Stalled when nothing comes for that long; what its reader takes does not count."""
    while True:
        try:
            async with asyncio.timeout(patience_s):
                chunk = await content.readany()
        except TimeoutError:
            raise Stalled from None
        if not chunk:
            return
        yield chunk
