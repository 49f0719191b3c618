# SPDX-License-Identifier: Apache-2.0
"""A keyed work queue: each key by one worker at a time, keys side by side, one timer heap for all.

Waking a key says "look again", never what happened. A key woken while its worker runs is looked at once more after.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from notebookd.errors import EngineError, GpusUnavailable, StoreUnavailable, WorkspaceFault
from notebookd.ports.clock import Clock

log = logging.getLogger(__name__)

TRANSIENT = (EngineError, GpusUnavailable, StoreUnavailable, WorkspaceFault)
"""What may pass by itself: the world could not be seen or moved now."""
_FIRST_BACKOFF_S = 0.2
_LONGEST_BACKOFF_S = 15.0
_FEW_TIMERS = 64
_DUE_AT_ONCE = 64
"""How many timers of one instant are followed up in one turn of the event loop."""


@dataclass(slots=True)
class Slot:
    """What is known of a key. ``disturbed`` is set when it is woken while being worked on."""

    disturbed: asyncio.Event = field(default_factory=asyncio.Event)
    working: bool = False
    failures: int = 0
    woken_at: float = 0.0
    """When what is being worked on now was asked for; by the clock that counts what it is awake."""
    next_woken_at: float | None = None
    """The same of what was asked for meanwhile."""


Worker = Callable[[str, asyncio.Event], Awaitable[datetime | None]]


class WorkQueue:
    """Has every woken key worked on: a key that is woken before :meth:`run` waits for it. ``on_turn`` is told of each
    turn's key, and the seconds from the wake to the turn's end.
    """

    def __init__(self, clock: Clock, *, on_turn: Callable[[str, float], None] = lambda _key, _lag_s: None) -> None:
        self._on_turn = on_turn
        self._clock = clock
        self._worker: Worker | None = None
        self._slots: dict[str, Slot] = {}
        self._early: list[str] = []
        self._tasks: asyncio.TaskGroup | None = None
        self._timers: list[tuple[datetime, str]] = []
        self._due: dict[str, datetime] = {}
        self._sooner = asyncio.Event()

    def wake(self, key: str) -> None:
        """Have the key looked at."""
        slot = self._slots.setdefault(key, Slot())
        if slot.working:
            slot.disturbed.set()
            slot.next_woken_at = slot.next_woken_at or self._clock.awake()
        elif self._tasks is None:
            self._early.append(key)
        else:
            slot.working = True
            slot.woken_at = self._clock.awake()
            self._tasks.create_task(self._work(key, slot), name=f"reconcile {key}")

    def wake_at(self, key: str, at: datetime) -> None:
        """Have the key looked at then; the earliest of several wins."""
        due = self._due.get(key)
        if due is not None and due <= at:
            return
        self._due[key] = at
        heapq.heappush(self._timers, (at, key))
        if self._timers[0][0] == at:
            self._sooner.set()

    @property
    def busy(self) -> bool:
        """Whether any key is being worked on."""
        return any(slot.working for slot in self._slots.values())

    async def run(self, worker: Worker) -> None:
        """Call ``worker(key, disturbed)`` for every woken key until cancelled; it returns when to look again, or None.
        Its transient error is tried again with growing, jittered delay; any other ends this."""
        self._worker = worker
        async with asyncio.TaskGroup() as self._tasks:
            early, self._early = self._early, []
            for key in early:
                self.wake(key)
            await self._keep_time()

    async def _work(self, key: str, slot: Slot) -> None:
        try:
            while True:
                slot.disturbed.clear()
                again_at = await self._attempt(key, slot)
                now = self._clock.awake()
                self._on_turn(key, now - slot.woken_at)
                slot.woken_at, slot.next_woken_at = slot.next_woken_at or now, None
                if slot.disturbed.is_set():
                    continue
                break
        finally:
            slot.working = False
        if again_at is not None:
            self.wake_at(key, again_at)
        else:
            self._forget(key, slot)

    def _forget(self, key: str, slot: Slot) -> None:
        """Nothing will happen to the key by itself: what was due is not any more. Of a notebook that comes and goes
        the deadline would else be kept for days."""
        if slot.failures == 0:
            self._slots.pop(key, None)
        self._due.pop(key, None)
        if len(self._timers) > 2 * len(self._due) + _FEW_TIMERS:
            self._timers = [(at, each) for each, at in self._due.items()]
            heapq.heapify(self._timers)

    @property
    def timers(self) -> int:
        """How many are held, those among them that are not due any more."""
        return len(self._timers)

    async def _attempt(self, key: str, slot: Slot) -> datetime | None:
        try:
            assert self._worker is not None, "keys are worked on while it runs"
            again_at = await self._worker(key, slot.disturbed)
        except TRANSIENT as fault:
            slot.failures += 1
            delay = min(_FIRST_BACKOFF_S * 2 ** min(slot.failures, 10), _LONGEST_BACKOFF_S)
            delay *= random.uniform(0.75, 1.25)  # noqa: S311 - jitter, not a secret
            log.warning("%s: %s; looking again in %.1f s", key, fault, delay)
            return self._clock.now() + timedelta(seconds=delay)
        slot.failures = 0
        return again_at

    async def _keep_time(self) -> None:
        while True:
            self._sooner.clear()
            now = self._clock.now()
            for _ in range(_DUE_AT_ONCE):
                if not self._timers or self._timers[0][0] > now:
                    break
                at, key = heapq.heappop(self._timers)
                if self._due.get(key) == at:
                    del self._due[key]
                    self.wake(key)
            if self._timers and self._timers[0][0] <= now:
                await self._clock.sleep(0)  # others have a turn between those of one instant
            else:
                await self._until(self._timers[0][0] if self._timers else None)

    async def _until(self, at: datetime | None) -> None:
        if at is None:
            await self._sooner.wait()
            return
        async with asyncio.TaskGroup() as race:
            sleeper = race.create_task(self._clock.sleep_until(at))
            listener = race.create_task(self._sooner.wait())
            await asyncio.wait({sleeper, listener}, return_when=asyncio.FIRST_COMPLETED)
            sleeper.cancel()
            listener.cancel()
