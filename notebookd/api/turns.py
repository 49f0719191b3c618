# SPDX-License-Identifier: Apache-2.0
"""Work that takes the loop for long, one piece at a time for each person.

Reading events and figures is cheap once, and dear when somebody asks for it forty times at once. Their own requests
wait for each other; in between, everybody else has a turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary

from aiohttp import web

from notebookd.ports.clock import Clock


class Turns:
    """Whose turn it is, by person."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def of(self, name: str) -> AsyncIterator[None]:
        """Wait until no other piece of work of that person is under way; let everybody else go before the next."""
        lock = self._locks.get(name)
        if lock is None:
            lock = self._locks[name] = asyncio.Lock()
        async with lock:
            yield
            await self._clock.sleep(0)


TURNS: Final = web.AppKey("turns", Turns)
