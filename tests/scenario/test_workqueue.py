# SPDX-License-Identifier: Apache-2.0
"""The work queue by itself: one worker a key, no wake lost, patience with what is transient."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from notebookd.errors import EngineUnavailable
from notebookd.reconciler.workqueue import WorkQueue
from notebookd.testing.clock import START, FakeClock


class Worker:
    """Notes each look; holds those of keys in ``gates``, fails those of keys in ``failing``."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self.looks: list[tuple[str, float]] = []
        self.active: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.failing: dict[str, int] = {}
        self.again: dict[str, list[float]] = {}

    def seen(self, key: str) -> int:
        return sum(1 for each, _ in self.looks if each == key)

    async def __call__(self, key: str, disturbed: asyncio.Event) -> datetime | None:
        self.looks.append((key, (self._clock.now() - START).total_seconds()))
        self.active[key] = self.active.get(key, 0) + 1
        self.most[key] = max(self.most.get(key, 0), self.active[key])
        try:
            if key in self.gates:
                await self.gates[key].wait()
            if self.failing.get(key, 0) > 0:
                self.failing[key] -= 1
                raise EngineUnavailable("cannot look: no answer")
        finally:
            self.active[key] -= 1
        again = self.again.get(key, [])
        return self._clock.now() + timedelta(seconds=again.pop(0)) if again else None


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def worker(clock: FakeClock) -> Worker:
    return Worker(clock)


@asynccontextmanager
async def serving(clock: FakeClock, worker: Worker) -> AsyncIterator[WorkQueue]:
    queue = WorkQueue(clock)
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(queue.run(worker))
        await clock.advance(0)
        yield queue
        task.cancel()


async def test_a_key_is_worked_on_by_one_at_a_time_and_keys_side_by_side(clock: FakeClock, worker: Worker) -> None:
    worker.gates = {"a": asyncio.Event(), "b": asyncio.Event()}
    async with serving(clock, worker) as queue:
        for _ in range(5):
            queue.wake("a")
            queue.wake("b")
            await clock.advance(0)
        assert worker.active == {"a": 1, "b": 1}
        assert queue.busy
        for gate in worker.gates.values():
            gate.set()
        await clock.advance(0)
        assert worker.most == {"a": 1, "b": 1}
        assert not queue.busy


async def test_many_wakes_during_a_look_are_one_more_look(clock: FakeClock, worker: Worker) -> None:
    worker.gates["a"] = asyncio.Event()
    async with serving(clock, worker) as queue:
        queue.wake("a")
        await clock.advance(0)
        for _ in range(100):
            queue.wake("a")
        worker.gates["a"].set()
        await clock.advance(0)
        assert worker.seen("a") == 2


async def test_keys_that_came_and_went_leave_no_timers_behind(clock: FakeClock, worker: Worker) -> None:
    week_s, kept = 7 * 86_400, [f"kept-{number}" for number in range(20)]
    async with serving(clock, worker) as queue:
        for key in kept:
            worker.again[key] = [week_s]
            queue.wake(key)
        for number in range(500):
            worker.again[f"gone-{number}"] = [week_s, 60]
            for _ in range(3):  # due in a week, due in a minute, never again
                queue.wake(f"gone-{number}")
                await clock.advance(0)
        assert queue.timers < 150
        await clock.advance(week_s + 1)
        assert [worker.seen(key) for key in kept] == [2] * len(kept), "those that are due are"
        assert worker.seen("gone-0") == 3


async def test_many_wakes_before_a_look_are_one_look(clock: FakeClock, worker: Worker) -> None:
    async with serving(clock, worker) as queue:
        for _ in range(100):
            queue.wake("a")
        await clock.advance(0)
        assert worker.seen("a") <= 2


async def test_a_wake_before_the_queue_serves_is_kept(clock: FakeClock, worker: Worker) -> None:
    queue = WorkQueue(clock)
    queue.wake("early")
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(queue.run(worker))
        await clock.advance(0)
        assert worker.seen("early") == 1
        task.cancel()


async def test_a_transient_error_is_retried_with_growing_patience(clock: FakeClock, worker: Worker) -> None:
    worker.failing["a"] = 12
    async with serving(clock, worker) as queue:
        queue.wake("a")
        await clock.advance(600)
        assert worker.seen("a") == 13
        times = [at for _, at in worker.looks]
        pauses = [later - earlier for earlier, later in pairwise(times)]
        assert pauses[0] < 1
        assert pauses[3] > pauses[0]
        assert all(pause <= 15 * 1.25 + 0.001 for pause in pauses)
        assert all(pause >= 15 * 0.75 for pause in pauses[-4:])


async def test_patience_is_short_again_after_a_success(clock: FakeClock, worker: Worker) -> None:
    worker.failing["a"] = 6
    async with serving(clock, worker) as queue:
        queue.wake("a")
        await clock.advance(100)
        assert worker.seen("a") == 7
        worker.failing["a"] = 1
        queue.wake("a")
        await clock.advance(1)
        assert worker.seen("a") == 9


async def test_a_wake_does_not_wait_for_the_patience_of_an_earlier_failure(clock: FakeClock, worker: Worker) -> None:
    worker.failing["a"] = 1
    async with serving(clock, worker) as queue:
        queue.wake("a")
        await clock.advance(0)
        queue.wake("a")
        await clock.advance(0)
        assert worker.looks == [("a", 0), ("a", 0)]


async def test_one_key_that_fails_holds_up_no_other(clock: FakeClock, worker: Worker) -> None:
    worker.failing["sick"] = 1000
    async with serving(clock, worker) as queue:
        queue.wake("sick")
        queue.wake("well")
        await clock.advance(0)
        assert worker.seen("well") == 1


async def test_a_look_is_taken_again_when_it_asked_for_it(clock: FakeClock, worker: Worker) -> None:
    worker.again["a"] = [10, 20]
    async with serving(clock, worker) as queue:
        queue.wake("a")
        await clock.advance(100)
        assert worker.looks == [("a", 0), ("a", 10), ("a", 30)]


async def test_the_earliest_of_several_times_wins(clock: FakeClock, worker: Worker) -> None:
    async with serving(clock, worker) as queue:
        queue.wake_at("a", START + timedelta(seconds=50))
        queue.wake_at("a", START + timedelta(seconds=5))
        queue.wake_at("a", START + timedelta(seconds=500))
        await clock.advance(1000)
        assert worker.looks == [("a", 5)]


async def test_timers_fire_in_order_whatever_order_they_came_in(clock: FakeClock, worker: Worker) -> None:
    async with serving(clock, worker) as queue:
        for delay in (30, 10, 20, 5):
            queue.wake_at(f"{delay}", START + timedelta(seconds=delay))
            await clock.advance(0)
        await clock.advance(60)
        assert worker.looks == [("5", 5), ("10", 10), ("20", 20), ("30", 30)]


async def test_a_time_that_has_passed_is_now(clock: FakeClock, worker: Worker) -> None:
    async with serving(clock, worker) as queue:
        queue.wake_at("late", START - timedelta(days=1))
        await clock.advance(0)
        assert worker.looks == [("late", 0)]


async def test_an_unknown_error_ends_the_queue(clock: FakeClock) -> None:
    async def broken(_key: str, _disturbed: asyncio.Event) -> datetime | None:
        raise RuntimeError("a defect")

    queue = WorkQueue(clock)
    queue.wake("a")
    with pytest.raises(ExceptionGroup) as ended:
        await queue.run(broken)
    assert ended.group_contains(RuntimeError, match="a defect")


async def test_nothing_is_remembered_of_keys_that_are_done_with(clock: FakeClock, worker: Worker) -> None:
    async with serving(clock, worker) as queue:
        for number in range(1000):
            queue.wake(str(number))
        await clock.advance(0)
        assert queue._slots == {}


async def test_a_turns_lag_counts_from_the_wake_that_it_answers(clock: FakeClock, worker: Worker) -> None:
    lags: list[tuple[str, float]] = []
    queue = WorkQueue(clock, on_turn=lambda key, lag_s: lags.append((key, lag_s)))
    worker.gates["a"] = asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(queue.run(worker))
        await clock.advance(0)
        queue.wake("a")
        await clock.advance(3)
        queue.wake("a")  # while it is worked on: the next turn answers this one
        await clock.advance(2)
        queue.wake("a")
        worker.gates["a"].set()
        await clock.advance(0)
        task.cancel()
    assert lags == [("a", 5.0), ("a", 2.0)]


async def test_others_have_a_turn_between_the_timers_of_one_instant(clock: FakeClock, worker: Worker) -> None:
    async with serving(clock, worker) as queue:
        for number in range(300):
            queue.wake_at(f"key-{number}", START + timedelta(seconds=5))
        seen: list[int] = []

        async def look() -> None:
            while len(worker.looks) < 300:
                seen.append(len(worker.looks))
                await asyncio.sleep(0)

        async with asyncio.timeout(20):
            looking = asyncio.create_task(look())
            await clock.advance(5)
            await looking
    assert max(later - earlier for earlier, later in pairwise([*seen, 300])) <= 128
