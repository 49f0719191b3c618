# SPDX-License-Identifier: Apache-2.0
"""Random lives of a machine: orders, time, faults, and a daemon that dies at any step of them, as SIGKILL has it.

Each life after a crash goes on from the world exactly as the crash left it. Unlike in the scenes of
``tests/scenario/test_crash.py`` nobody asks again: what was answered is done, what was not is done or never was.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notebookd.domain.ids import NotebookId
from notebookd.errors import GpusUnavailable, NotebookdError
from notebookd.testing.crashing import Crash, Turnstile
from notebookd.testing.house import House, World, make_world, open_house
from tests.scenario.crash_record import assert_billed_by_history, assert_never_leased_twice, read_record
from tests.scenario.crash_trial import assert_disk, assert_nobody_shares
from tests.scenario.crash_worlds import Camera, Frozen, thaw
from tests.scenario.play import ALICE, assert_sound, containers_of, create

Step = tuple[Any, ...]
MAX_RUNNING_S = 600
number = st.integers(0, 3)
steps: st.SearchStrategy[Step] = st.one_of(
    st.tuples(st.just("create"), st.booleans()),
    st.tuples(st.sampled_from(["start", "stop", "stop", "restart", "delete"]), number),
    st.tuples(st.just("extend"), number, st.sampled_from([30, 700])),
    st.tuples(st.just("exit"), number, st.sampled_from([0, 3])),
    st.tuples(st.just("wait"), st.sampled_from([0.2, 5, 10, 59.9, 61, 300])),
    st.tuples(st.sampled_from(["engine down", "engine up", "reboot", "GPUs unseen", "GPUs seen"])),
    st.tuples(st.just("crash"), st.integers(1, 60), st.sampled_from([0, 0, 30, 700])),
)
schedules = st.lists(steps, min_size=3, max_size=16)


@dataclass(slots=True)
class Life:
    """What people were told, over all daemons."""

    world: World
    promised: list[NotebookId] = field(default_factory=list)
    given_up: set[NotebookId] = field(default_factory=set)
    """Whose deletion was asked for, answered or not."""
    deleted: set[NotebookId] = field(default_factory=set)


async def live(schedule: Sequence[Step], folder: Path) -> None:
    """Play it, one daemon after another, and look at the world when all is well again."""
    life = Life(make_world(folder, settings={"lifecycle": {"max_running": f"{MAX_RUNNING_S}s"}}))
    left = list(schedule)
    while left:
        await _one_daemon(life, left)
    life.world.engine.reachable = True
    life.world.gpus.become_available()
    async with open_house(life.world) as house:
        for _ in range(8):
            await house.pass_time(20)
        assert_sound(house)
        assert_disk(house)
        assert_nobody_shares(house)
        alive = {each for each in life.promised if house.store.find_entry(each) is not None}
        assert set(life.promised) - life.given_up <= alive, "a notebook is lost"
        assert not alive & life.deleted, "a deletion that was answered was undone"
    record = read_record(life.world)
    assert_never_leased_twice(record)
    assert_billed_by_history(record)


async def _one_daemon(life: Life, left: list[Step]) -> None:
    """As far as a crash, or to the end of the schedule."""
    remains: list[Frozen] = []
    down_s = 0.0
    camera = Camera(life.world)
    house: House | None = None

    def see(step: str) -> None:
        if step == "after engine.start" and house is not None:
            assert_nobody_shares(house)
        if crash_at is not None and len(gate.steps) == crash_at:
            remains.append(camera.freeze())

    crash_at: int | None = None
    gate = Turnstile(see)
    gate.arm()
    try:
        async with open_house(life.world, gate) as house:
            await house.quiet()
            while left:
                step = left.pop(0)
                if step[0] == "reboot":
                    break
                if step[0] == "crash":
                    _, crash_at, down_s = step
                    gate.arm(crash_at)
                else:
                    await _take(life, house, step)
            else:
                return
    except Crash:
        life.world = thaw(remains[0])
        life.world.clock.step(down_s)
        return
    life.world.engine.reboot()
    life.world.clock.reboot()


async def _take(life: Life, house: House, step: Step) -> None:
    world = house.world
    match step:
        case ("create", again):
            with suppress(GpusUnavailable):
                life.promised.append(await create(house, auto_restart=again))
        case ("wait", seconds):
            await house.pass_time(seconds)
        case ("engine down" | "engine up" as word,):
            world.engine.reachable = word == "engine up"
        case ("GPUs unseen",):
            world.gpus.become_unavailable()
        case ("GPUs seen",):
            world.gpus.become_available()
        case (verb, index, *more) if life.promised:
            await _order(life, house, verb, life.promised[index % len(life.promised)], more)
    await house.quiet()


async def _order(life: Life, house: House, verb: str, notebook: NotebookId, more: Sequence[Any]) -> None:
    """One that is refused changes nothing."""
    try:
        match verb:
            case "start":
                await house.notebooks.start(ALICE, notebook)
            case "stop":
                await house.notebooks.stop(ALICE, notebook)
            case "restart":
                await house.notebooks.restart(ALICE, notebook)
            case "extend":
                await house.notebooks.extend(ALICE, notebook, by=timedelta(seconds=more[0]))
            case "delete":
                life.given_up.add(notebook)
                await house.notebooks.delete(ALICE, notebook, force=True)
                life.deleted.add(notebook)
            case "exit":
                for container in containers_of(house.world, notebook):
                    house.world.engine.end(container.spec.name, more[0])
    except NotebookdError:
        return


def play(schedule: Sequence[Step]) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        asyncio.run(live(schedule, Path(folder) / "machine"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schedules)
def test_no_schedule_loses_a_notebook_shares_a_gpu_or_bills_a_wrong_minute(schedule: list[Step]) -> None:
    play(schedule)


@pytest.mark.long
@pytest.mark.timeout(1800)
@settings(max_examples=5000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(schedules)
def test_no_schedule_of_very_many_does(schedule: list[Step]) -> None:
    play(schedule)
