# SPDX-License-Identifier: Apache-2.0
"""The machine goes down and comes back."""

from __future__ import annotations

import pytest

from notebookd.domain.run import NotebookState
from notebookd.testing.house import World, open_house
from tests.scenario.play import (
    ALICE,
    STARTED,
    assert_sound,
    container_of,
    create,
    history,
    leased,
    outcome,
    state,
)


@pytest.mark.parametrize("clean", [False, True], ids=["power cut", "clean shutdown"])
async def test_what_ran_when_the_machine_went_down_was_interrupted_by_the_platform(world: World, clean: bool) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
    if clean:
        world.engine.end(next(iter(world.engine.containers)), 0)
    world.engine.reboot()
    world.clock.reboot()
    async with open_house(world) as house:
        await house.quiet()
        assert history(house, notebook) == [*STARTED, "FINALIZING", "INTERRUPTED"]
        assert outcome(house, notebook) == ("INTERRUPTED", "JOB_INTERRUPTED_BY_PLATFORM")
        assert state(house, notebook) is NotebookState.STOPPED
        assert leased(house, notebook) == []
        assert_sound(house)


async def test_what_was_being_stopped_when_the_machine_went_down_keeps_its_outcome(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.reachable = False
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
    world.engine.reachable = True
    world.engine.reboot()
    world.clock.reboot()
    async with open_house(world) as house:
        await house.quiet()
        assert history(house, notebook)[-2:] == ["FINALIZING", "INTERRUPTED"]
        assert outcome(house, notebook) == ("INTERRUPTED", "JOB_INTERRUPTED")
        assert_sound(house)


async def test_what_waited_when_the_machine_went_down_waits_on(world: World) -> None:
    async with open_house(world) as house:
        holder = await create(house, gpu=2)
        waiting = await create(house)
    world.engine.reboot()
    world.clock.reboot()
    async with open_house(world) as house:
        await house.quiet()
        assert state(house, holder) is NotebookState.STOPPED
        assert state(house, waiting) is NotebookState.RUNNING
        assert_sound(house)


async def test_what_booted_when_the_machine_went_down_was_interrupted(world: World) -> None:
    world.editor.silent = True
    async with open_house(world) as house:
        notebook = await create(house)
        assert container_of(world, notebook).started_at is not None
    world.engine.reboot()
    world.clock.reboot()
    async with open_house(world) as house:
        await house.quiet()
        assert history(house, notebook) == ["PENDING", "FINALIZING", "INTERRUPTED"]
        assert_sound(house)


async def test_a_notebook_starts_again_after_a_boot(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
    world.engine.reboot()
    world.clock.reboot()
    async with open_house(world) as house:
        await house.quiet()
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        assert history(house, notebook) == STARTED
        assert_sound(house)


async def test_a_deadline_that_passed_while_the_daemon_was_down_fires_when_it_is_back(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
    world.clock.step(world.policy.max_running_s + 3600)
    async with open_house(world) as house:
        await house.quiet()
        assert outcome(house, notebook) == ("TIMEOUT", "JOB_TIMEOUT")
        assert_sound(house)
