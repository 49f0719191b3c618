# SPDX-License-Identifier: Apache-2.0
"""How long the gateway waits for those who take their time. Nobody who is slow holds up anybody else; these bounds are
for what he takes up meanwhile: a descriptor, some memory, a connection of the editor's."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from aiohttp import StreamReader, web

__all__ = ["Doorkeeper", "Patience", "Stalled", "chunks"]


_FEW: Final = 256
_MADE_WITHIN_S: Final = 1.0
"""A connection is known to the server a moment after its protocol was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Seconds: until the head of a connection's first request is there; until the next request's is, however many
    bytes of it came; and until the next bytes of a body come. A websocket may be silent for ever."""

    head_s: float = 30.0
    keep_alive_s: float = 75.0
    body_s: float = 120.0


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


@dataclass(slots=True, kw_only=True)
class Doorkeeper:
    """Makes connections' protocols, and closes those that are ``silent`` for too long: on which no request has begun.
    Those that went away by themselves are forgotten before they are many."""

    server: web.Server
    patience_s: float
    silent: dict[asyncio.BaseProtocol, float]
    _many: int = _FEW
    _timer: asyncio.TimerHandle | None = None

    def __call__(self) -> web.RequestHandler:
        """The protocol of a new connection."""
        loop = asyncio.get_running_loop()
        if len(self.silent) >= self._many:
            self._forget_gone(loop.time())
        handler = self.server()
        self.silent[handler] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self.patience_s, self._look)
        return handler

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._forget_gone(now)
        for handler in self.server.connections:
            if now - self.silent.get(handler, now) >= self.patience_s:
                del self.silent[handler]
                handler.force_close()
        wait_s = max(self.patience_s / 8, self.patience_s - (now - min(self.silent.values(), default=now)))
        self._timer = loop.call_later(wait_s, self._look) if self.silent else None

    def _forget_gone(self, now: float) -> None:
        there = set(self.server.connections)
        for handler, since in list(self.silent.items()):
            if handler not in there and now - since > _MADE_WITHIN_S:
                del self.silent[handler]
        self._many = 2 * len(self.silent) + _FEW
