# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from notebookd.adapters.clock import SystemClock
from notebookd.ports.clock import Clock
from notebookd.testing.clock import START, FakeClock


def conforms(clock: Clock) -> Clock:
    """For the type checker: both are clocks."""
    return clock


@pytest.mark.parametrize("clock", [SystemClock(), FakeClock()], ids=["system", "fake"])
def test_a_clock_is_aware_and_knows_its_boot(clock: Clock) -> None:
    assert conforms(clock).now().tzinfo is UTC
    assert clock.boottime() > 0
    assert clock.boot_id() == clock.boot_id()
    assert len(clock.boot_id()) == 36


async def test_the_system_clock_waits_for_real() -> None:
    clock = SystemClock()
    before, wall = clock.boottime(), clock.now()
    await clock.sleep(0.02)
    await clock.sleep_until(wall + timedelta(seconds=0.04))
    assert clock.boottime() - before >= 0.02
    assert clock.now() >= wall + timedelta(seconds=0.04)
    await clock.sleep(-1)
    await clock.sleep_until(wall)


def test_the_system_clock_reads_the_boot_id_of_the_kernel(tmp_path: Path) -> None:
    (tmp_path / "boot_id").write_text("0b3e\n")
    assert SystemClock(tmp_path / "boot_id").boot_id() == "0b3e"


async def test_sleepers_wake_in_the_order_of_their_times_and_see_that_time() -> None:
    clock = FakeClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, (clock.now() - START).total_seconds()))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 30.0), ("early", 10.0), ("also early", 10.0), ("never", 100.0)):
            group.create_task(sleeper(name, seconds))
        await clock.advance(50)
        assert woken == [("early", 10), ("also early", 10), ("late", 30)]
        assert clock.sleeping == 1
        await clock.advance(50)


async def test_a_loop_that_sleeps_sees_each_of_its_turns() -> None:
    clock = FakeClock()
    turns: list[float] = []

    async def ticker() -> None:
        for _ in range(5):
            await clock.sleep(60)
            turns.append((clock.now() - START).total_seconds())

    async with asyncio.TaskGroup() as group:
        group.create_task(ticker())
        await clock.advance(3600)
    assert turns == [60, 120, 180, 240, 300]


async def test_a_step_of_the_wall_clock_wakes_those_who_wait_for_it_only() -> None:
    clock = FakeClock()
    woken: list[str] = []

    async def by_length() -> None:
        await clock.sleep(10)
        woken.append("length")

    async def by_wall() -> None:
        await clock.sleep_until(START + timedelta(seconds=10))
        woken.append("wall")

    async with asyncio.TaskGroup() as group:
        group.create_task(by_length())
        group.create_task(by_wall())
        await clock.advance(0)
        before = clock.boottime()
        clock.step_wall(3600)
        await clock.advance(0)
        assert woken == ["wall"]
        assert clock.boottime() == before
        await clock.advance(10)
    assert woken == ["wall", "length"]


async def test_stepping_the_wall_clock_back_makes_those_who_wait_for_it_wait_longer() -> None:
    clock = FakeClock()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(clock.sleep_until(START + timedelta(seconds=10)))
        await clock.advance(0)
        clock.step_wall(-3600)
        await clock.advance(3600)
        assert not waiting.done()
        await clock.advance(10)
        assert waiting.done()


async def test_a_cancelled_sleeper_is_forgotten() -> None:
    clock = FakeClock()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(clock.sleep(10))
        await clock.advance(1)
        task.cancel()
        await clock.advance(0)
        assert clock.sleeping == 0


def test_a_boot_has_its_own_id_and_starts_its_clock_again() -> None:
    clock = FakeClock()
    first = clock.boot_id()
    clock.step(500)
    clock.reboot(down_s=60)
    assert clock.boot_id() != first
    assert clock.boottime() < 10
    assert clock.now() == START + timedelta(seconds=560)


async def test_time_does_not_pass_backwards() -> None:
    with pytest.raises(ValueError, match="step_wall"):
        await FakeClock().advance(-1)


def test_a_clock_tells_suspend_from_being_awake() -> None:
    system = SystemClock()
    assert 0 < system.awake() <= system.boottime()
    fake = FakeClock()
    fake.suspend(600)
    fake.step(5)
    assert fake.boottime() - fake.awake() == 600
    assert fake.now() - START == timedelta(seconds=605)
    fake.reboot()
    assert fake.awake() == fake.boottime()
