# SPDX-License-Identifier: Apache-2.0
"""How many notebooks may be at the same step at once, when a thousand of them have something to do in one instant.

Each step is short, and all of them together would hold the event loop up, or the store, and with it whoever asks the
API for something. So only some begin a look in one turn of the loop, between which everybody else has their turn; and
only some wait for a commit at once, so that somebody who comes meanwhile waits for those alone. Who is alone waits for
nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque

LOOKS_AT_ONCE = 8
"""In one turn of the loop; a look takes about a fifth of a millisecond before it waits for anything."""
COMMITS_AT_ONCE = 16
"""They share it."""


class Pace:
    """Lets so many through in each turn of the event loop, in the order in which they come."""

    def __init__(self, at_once: int = LOOKS_AT_ONCE) -> None:
        self._at_once = at_once
        self._passed = 0
        """In this turn of the loop."""
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def turn(self) -> None:
        """Go on at once, or in a later turn of the loop."""
        if self._passed < self._at_once and not self._waiting:
            self._pass()
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn

    def _pass(self) -> None:
        if self._passed == 0:
            asyncio.get_running_loop().call_soon(self._next)
        self._passed += 1

    def _next(self) -> None:
        """The next turn of the loop."""
        self._passed = 0
        while self._waiting and self._passed < self._at_once:
            turn = self._waiting.popleft()
            if not turn.done():  # whoever waited for it may have been cancelled
                self._pass()
                turn.set_result(None)
