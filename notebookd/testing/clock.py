# SPDX-License-Identifier: Apache-2.0
"""A clock that stands still until it is moved.

Sleepers wake in the order of their due times, and time stands at exactly the due time when one wakes, so a task
that sleeps in a loop sees each of its turns even when a test advances by a week at once.
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

START = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
"""Where a new :class:`FakeClock` stands: a Monday morning, UTC."""

SETTLE_TURNS = 25
"""Turns of the event loop given to woken tasks before time moves on."""


@dataclass(slots=True, eq=False, kw_only=True)
class _Sleeper:
    number: int
    woken: asyncio.Future[None]
    due_in: float | None = None  # by the clock's own timeline
    due_at: datetime | None = None  # by the wall clock


class FakeClock:
    """A :class:`~notebookd.ports.clock.Clock` moved by hand."""

    def __init__(self, start: datetime = START, *, boottime: float = 1000.0) -> None:
        self._now = start
        self._boottime = boottime
        self._asleep = 0.0
        self._boots = 0
        self._elapsed = 0.0
        self._slept = 0
        self._sleepers: list[_Sleeper] = []

    def __getstate__(self) -> dict[str, Any]:
        """For a copy: time stands where it does, and nobody sleeps on it."""
        return {**self.__dict__, "_sleepers": []}

    @property
    def sleeping(self) -> int:
        """How many tasks wait on this clock."""
        return len(self._sleepers)

    def now(self) -> datetime:
        """The wall clock, aware UTC."""
        return self._now

    def boottime(self) -> float:
        """Seconds since the present boot."""
        return self._boottime

    def awake(self) -> float:
        """Seconds since the present boot, suspend left out."""
        return self._boottime - self._asleep

    def boot_id(self) -> str:
        """A stable UUID per boot."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"boot-{self._boots}"))

    async def sleep(self, seconds: float) -> None:
        """Wait until the clock was advanced by that much."""
        if seconds <= 0:
            await _turn()
            return
        await self._wait(due_in=self._elapsed + seconds)

    async def sleep_until(self, at: datetime) -> None:
        """Wait until the wall clock was advanced or stepped to ``at``."""
        if at <= self._now:
            await _turn()
            return
        await self._wait(due_at=at)

    async def advance(self, seconds: float) -> None:
        """Let that much time pass, waking sleepers one due time after another and letting each run."""
        if seconds < 0:
            raise ValueError("time passes forwards only; step_wall moves the wall clock back")
        target = self._elapsed + seconds
        await _settle()
        while (due := self._next_due()) is not None and due <= target:
            self._move(max(due - self._elapsed, 0.0))
            self._wake_due()
            await _settle()
        self._move(target - self._elapsed)
        await _settle()

    def step(self, seconds: float) -> None:
        """Let time pass at once, without running anybody in between (for tests without an event loop)."""
        self._move(seconds)
        self._wake_due()

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forwards or back, as an administrator does: no time passes."""
        self._now += timedelta(seconds=seconds)
        self._wake_due()

    def suspend(self, seconds: float) -> None:
        """Put the machine to sleep for that long: both clocks go on, nobody notices before it is over."""
        self._asleep += seconds
        self.step(seconds)

    def reboot(self, *, down_s: float = 60.0) -> None:
        """Power off for ``down_s`` and boot: a new boot id, a boot clock that starts again."""
        self._move(down_s)
        self._boots += 1
        self._boottime = 1.0
        self._asleep = 0.0
        self._wake_due()

    def _move(self, seconds: float) -> None:
        self._elapsed += seconds
        self._boottime += seconds
        self._now += timedelta(seconds=seconds)

    async def _wait(self, *, due_in: float | None = None, due_at: datetime | None = None) -> None:
        self._slept += 1
        sleeper = _Sleeper(
            number=self._slept, woken=asyncio.get_running_loop().create_future(), due_in=due_in, due_at=due_at
        )
        self._sleepers.append(sleeper)
        try:
            await sleeper.woken
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    def _due(self, sleeper: _Sleeper) -> float:
        if sleeper.due_in is not None:
            return sleeper.due_in
        assert sleeper.due_at is not None
        return self._elapsed + (sleeper.due_at - self._now).total_seconds()

    def _next_due(self) -> float | None:
        return min((self._due(sleeper) for sleeper in self._sleepers), default=None)

    def _wake_due(self) -> None:
        # A microsecond of slack: wall times are rounded to one.
        due = [sleeper for sleeper in self._sleepers if self._due(sleeper) <= self._elapsed + 1e-6]
        for sleeper in sorted(due, key=lambda each: (self._due(each), each.number)):
            self._sleepers.remove(sleeper)
            if not sleeper.woken.done():
                sleeper.woken.set_result(None)


async def _turn() -> None:
    await asyncio.sleep(0)  # noqa: TID251 - a turn of the loop, not a wait


async def _settle() -> None:
    for _ in range(SETTLE_TURNS):
        await _turn()
