# SPDX-License-Identifier: Apache-2.0
"""Group commit: who decides when, and who shares a commit with whom.

To commit means to wait for the disk, and a busy event loop makes each wait longer. So transactions that wait share one:

1. The first who comes *leads*. It opens the database's transaction and decides: it reads and writes in one piece,
   without a turn of the loop in between, so nobody sees half of it.
2. Whoever came meanwhile *follows*. The leader admits as many as decide in about 20 ms, in the order in which they
   came. They decide one after the other, each in a savepoint: one that fails takes back its own changes alone, and the
   next one reads what those before it wrote.
3. The leader commits. Nobody of the group is answered before. A commit that fails fails all of them, also those who
   changed nothing: they may have decided by what is now taken back.
4. The lead passes to the first of those who came in the meantime.

A transaction that comes alone waits for nobody. A caller who is cancelled while it waits for its turn takes no part;
later, it waits for the commit like all others, and is cancelled then.

Example: A, B and C want to stop one notebook each, and A comes first. A leads, decides, and admits B and C. B finds its
notebook deleted and fails; its savepoint is taken back. C decides. One commit makes A and C durable. Then all three are
answered: A and C that it is done, B why not.

This module knows no SQL: ``begin`` and ``commit`` do that, see :mod:`notebookd.adapters.sqlite.store`.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

_DECIDE_S = 0.02
"""How long the members of one group may decide together: so long nothing else has a turn of the loop."""
_FEWEST, _MOST = 16, 128
_PACE = 0.1


class GroupCommit:
    """Turns to decide, and commits that those who waited share."""

    def __init__(self, begin: Callable[[], Awaitable[None]], commit: Callable[[], Awaitable[None]]) -> None:
        """``begin`` opens the database's transaction, ``commit`` makes durable what was decided since. What they raise
        is what the members of the group are told. Neither may be cut short by a cancelled caller."""
        self._begin = begin
        self._commit = commit
        self._led = False
        self._waiting: deque[asyncio.Future[bool]] = deque()
        """Who waits for a turn; the result is whether they lead."""
        self._committed: asyncio.Future[None] | None = None
        """Of the group that decides now."""
        self._undecided = 0
        self._all_decided: asyncio.Future[None] | None = None
        self._pace_s = _DECIDE_S / _MOST
        """How long one decision takes, on a moving average."""

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Decide in this block, in one piece (see :func:`one_piece`); when it is left, the decision is durable."""
        leads = await self._wait_for_turn()
        if leads:
            await self._lead()
        committed = self._committed
        assert committed is not None
        began = time.perf_counter()
        try:
            yield
        finally:
            self._pace_s += _PACE * (time.perf_counter() - began - self._pace_s)
            if leads:
                await self._conclude()
            else:
                self._decided()
                await through(committed)

    async def _wait_for_turn(self) -> bool:
        """Wait for one's turn; whether one leads."""
        if not self._led:
            self._led = True
            return True
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting.remove(turn)
            elif turn.result():
                self._pass_on()
            else:
                self._decided()
            raise

    async def _lead(self) -> None:
        try:
            await self._begin()
        except BaseException:
            self._pass_on()
            raise
        self._committed = asyncio.get_running_loop().create_future()

    async def _conclude(self) -> None:
        """Let those who wait decide, commit for all, and pass the lead on."""
        committed, fault = self._committed, None
        assert committed is not None
        cancelled = await self._admit()
        try:
            await self._commit()
        except BaseException as raised:  # noqa: BLE001 - whatever it is, the whole group is told
            fault = raised
        self._committed = None
        self._pass_on()
        if fault is None:
            committed.set_result(None)
        else:
            committed.set_exception(fault)
            committed.exception()  # somebody has heard it: the leader
            raise fault
        if cancelled is not None:
            raise cancelled

    async def _admit(self) -> asyncio.CancelledError | None:
        """Give a turn to those who wait, as many as decide in good time, and wait until they have."""
        most = max(_FEWEST, min(_MOST, int(_DECIDE_S / self._pace_s)))
        followers = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        if not followers:
            return None
        self._undecided = len(followers)
        self._all_decided = asyncio.get_running_loop().create_future()
        for turn in followers:
            turn.set_result(False)
        try:
            await through(self._all_decided)
        except asyncio.CancelledError as cancelled:
            return cancelled
        return None

    def _decided(self) -> None:
        self._undecided -= 1
        if self._undecided == 0 and self._all_decided is not None:
            self._all_decided.set_result(None)

    def _pass_on(self) -> None:
        if self._waiting:
            self._waiting.popleft().set_result(True)
        else:
            self._led = False


@contextmanager
def one_piece() -> Iterator[None]:
    """Find out whether a block let others run, which would then have seen half a decision.

    Raises:
        RuntimeError: it did.
    """
    others: list[bool] = []
    watch = asyncio.get_running_loop().call_soon(others.append, True)
    try:
        yield
    finally:
        watch.cancel()
    if others:
        raise RuntimeError("a transaction let others run before it had decided")


async def through(future: asyncio.Future[None]) -> None:
    """Wait until ``future`` is done; a caller who is cancelled meanwhile is cancelled then."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError as raised:
            cancelled = raised
        except Exception:  # noqa: BLE001 - the future's own, which is told below
            break
    if cancelled is not None:
        raise cancelled
    future.result()
