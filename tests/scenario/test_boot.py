# SPDX-License-Identifier: Apache-2.0
"""The machine goes down and comes back."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebookd.domain.run import NotebookState
from notebookd.testing.house import World, make_world, open_house
from tests.scenario.play import (
    ALICE,
    STARTED,
    assert_sound,
    container_of,
    create,
    entry,
    history,
    leased,
    outcome,
    state,
)


def reboot(world: World, *, clean: bool = False) -> None:
    """The machine goes down, with its containers ended in order or not, and comes up."""
    for name in list(world.engine.containers) if clean else ():
        world.engine.end(name, 0)
    world.engine.reboot()
    world.clock.reboot()


@pytest.fixture
def settled_world(tmp_path: Path) -> World:
    """A machine whose admin wants nothing to start by itself."""
    return make_world(tmp_path, settings={"lifecycle": {"start_after_boot": False}})


@pytest.mark.parametrize("clean", [False, True], ids=["power cut", "clean shutdown"])
async def test_what_ran_when_the_machine_went_down_was_interrupted_by_the_platform(
    settled_world: World, clean: bool
) -> None:
    world = settled_world
    async with open_house(world) as house:
        notebook = await create(house)
    reboot(world, clean=clean)
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
    reboot(world)
    async with open_house(world) as house:
        await house.quiet()
        assert history(house, notebook)[-2:] == ["FINALIZING", "INTERRUPTED"]
        assert outcome(house, notebook) == ("INTERRUPTED", "JOB_INTERRUPTED")
        assert_sound(house)


@pytest.mark.parametrize("clean", [False, True], ids=["power cut", "clean shutdown"])
async def test_what_ran_when_the_machine_went_down_runs_again_as_a_new_run_with_the_same_files(
    world: World, clean: bool
) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        before = entry(house, notebook)
    reboot(world, clean=clean)
    async with open_house(world) as house:
        await house.quiet()
        now = entry(house, notebook)
        ended, again = house.store.list_runs(notebook)
        assert (ended.id, ended.state, again.id) == (before.run.id, "INTERRUPTED", now.run.id)
        assert ended.outcome is not None
        assert ended.outcome.code == "JOB_INTERRUPTED_BY_PLATFORM"
        assert history(house, notebook) == STARTED
        assert now.notebook.token != before.notebook.token, "the token is of a start"
        assert now.notebook.workspace_made
        assert_sound(house)


async def test_after_a_boot_the_places_in_the_queue_are_as_before(world: World) -> None:
    async with open_house(world) as house:
        made = [await create(house) for _ in range(5)]
    reboot(world)
    async with open_house(world) as house:
        await house.quiet()
        assert [state(house, each) for each in made] == [*["RUNNING"] * 2, *["STARTING"] * 3]
        assert_sound(house)


async def test_what_was_stopped_before_the_boot_was_seen_stays_stopped(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.reachable = False
        await house.notebooks.stop(ALICE, notebook)
    world.engine.reachable = True
    reboot(world)
    async with open_house(world) as house:
        await house.quiet()
        assert state(house, notebook) is NotebookState.STOPPED
        assert len(house.store.list_runs(notebook)) == 1


async def test_what_waited_when_the_machine_went_down_waits_on(settled_world: World) -> None:
    world = settled_world
    async with open_house(world) as house:
        holder = await create(house, gpu=2)
        waiting = await create(house)
    reboot(world)
    async with open_house(world) as house:
        await house.quiet()
        assert state(house, holder) is NotebookState.STOPPED
        assert state(house, waiting) is NotebookState.RUNNING
        assert_sound(house)


async def test_what_booted_when_the_machine_went_down_was_interrupted(settled_world: World) -> None:
    world = settled_world
    world.editor.silent = True
    async with open_house(world) as house:
        notebook = await create(house)
        assert container_of(world, notebook).started_at is not None
    reboot(world)
    async with open_house(world) as house:
        await house.quiet()
        assert history(house, notebook) == ["PENDING", "FINALIZING", "INTERRUPTED"]
        assert_sound(house)


async def test_a_notebook_can_be_started_after_a_boot(settled_world: World) -> None:
    world = settled_world
    async with open_house(world) as house:
        notebook = await create(house)
    reboot(world)
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
