# SPDX-License-Identifier: Apache-2.0
"""What could not be seen changes nothing; when it is seen again, everything converges."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from notebookd.domain.container import ContainerStatus
from notebookd.domain.run import NotebookState
from notebookd.errors import EngineError, EngineUnavailable, StoreUnavailable
from notebookd.ports.engine import ContainerSpec
from notebookd.testing.engine import FakeEngine
from notebookd.testing.house import World, open_house
from tests.scenario.play import (
    ALICE,
    STARTED,
    STOPPED,
    assert_sound,
    container_of,
    containers_of,
    create,
    entry,
    history,
    leased,
    look_around,
    outcome,
    state,
)


async def test_a_silent_engine_keeps_a_start_waiting_and_its_return_lets_it_run(world: World) -> None:
    world.engine.reachable = False
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(30)
        assert history(house, notebook) == ["PENDING"]
        assert leased(house, notebook)
        world.engine.reachable = True
        await house.pass_time(30)
        assert history(house, notebook) == STARTED
        assert_sound(house)


async def test_an_engine_that_goes_silent_takes_nothing_with_it(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        before = entry(house, notebook).run
        world.engine.reachable = False
        for _ in range(20):
            await house.pass_time(30)
        assert entry(house, notebook).run == before
        world.engine.reachable = True
        await house.pass_time(30)
        assert entry(house, notebook).run == before
        assert_sound(house)


@pytest.mark.parametrize("method", ["find", "list_containers", "stop", "remove", "events"])
async def test_an_engine_that_refuses_for_a_reason_of_its_own_is_asked_again(world: World, method: str) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.fail(method, EngineError("cannot: of its own"), times=3)
        await house.pass_time(30)
        assert history(house, notebook) == STARTED
        await house.services.notebooks.stop(ALICE, notebook)
        for _ in range(6):
            await house.pass_time(10)
        assert state(house, notebook) is NotebookState.STOPPED
        assert_sound(house)


async def test_a_daemon_that_comes_up_before_its_engine_waits_for_it(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        before = entry(house, notebook).run
    world.engine.reachable = False
    async with open_house(world) as house:
        await house.pass_time(120)
        assert entry(house, notebook).run == before
        world.engine.reachable = True
        await house.pass_time(30)
        assert entry(house, notebook).run == before
        assert_sound(house)


async def test_what_ended_behind_a_silent_engine_is_seen_when_it_is_back(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.reachable = False
        await house.quiet()
        world.engine.end(container_of(world, notebook).spec.name, 5)
        await house.pass_time(60)
        assert state(house, notebook) is NotebookState.RUNNING
        world.engine.reachable = True
        await house.pass_time(30)
        assert history(house, notebook) == [*STARTED, "FINALIZING", "FAILED"]
        assert_sound(house)


async def test_a_stop_while_the_engine_is_silent_is_carried_out_when_it_is_back(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.reachable = False
        await house.notebooks.stop(ALICE, notebook)
        await house.pass_time(60)
        assert state(house, notebook) is NotebookState.STOPPING
        assert leased(house, notebook)
        world.engine.reachable = True
        await house.pass_time(30)
        assert history(house, notebook) == STOPPED
        assert_sound(house)


async def test_a_delete_while_the_engine_is_silent_removes_nothing_before_it_is_back(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.reachable = False
        await house.notebooks.delete(ALICE, notebook, force=True)
        await house.pass_time(60)
        assert state(house, notebook) is NotebookState.DELETING
        assert (world.config.paths.workspaces / notebook).exists()
        world.engine.reachable = True
        await house.pass_time(30)
        assert house.store.find_entry(notebook) is None
        assert_sound(house)


@pytest.mark.parametrize("call", ["find", "create", "start"])
@pytest.mark.parametrize("after", [False, True], ids=["undone", "done"])
async def test_a_start_call_that_gets_no_answer_is_looked_at_anew(world: World, call: str, after: bool) -> None:
    world.engine.fail(call, EngineUnavailable(f"cannot {call}: no answer"), after=after)
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(30)
        assert history(house, notebook) == STARTED
        assert len([name for name, _ in world.engine.calls if name == "create"]) <= 2
        assert_sound(house)


@pytest.mark.parametrize("call", ["find", "stop", "logs", "remove"])
@pytest.mark.parametrize("after", [False, True], ids=["undone", "done"])
async def test_a_stop_call_that_gets_no_answer_is_looked_at_anew(world: World, call: str, after: bool) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.fail(call, EngineUnavailable(f"cannot {call}: no answer"), after=after)
        await house.notebooks.stop(ALICE, notebook)
        await house.pass_time(30)
        assert history(house, notebook) == STOPPED
        assert_sound(house)


@pytest.mark.parametrize("call", ["create", "start"])
@pytest.mark.parametrize("after", [False, True], ids=["undone", "done"])
async def test_a_start_that_the_engine_refuses_is_an_error_that_leaves_nothing(
    world: World, call: str, after: bool
) -> None:
    world.engine.fail(call, EngineError(f"cannot {call}: out of inodes"), after=after)
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(30)
        assert outcome(house, notebook) == ("ERROR", "JOB_ERROR")
        assert state(house, notebook) is NotebookState.ERROR
        assert_sound(house)


@pytest.mark.parametrize("call", ["stop", "remove"])
async def test_a_stop_that_the_engine_refuses_is_tried_again(world: World, call: str) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.fail(call, EngineError(f"cannot {call}: device busy"), times=3)
        await house.notebooks.stop(ALICE, notebook)
        for _ in range(5):
            await house.pass_time(30)
        assert history(house, notebook) == STOPPED
        assert_sound(house)


async def test_an_engine_on_another_storage_is_not_believed(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        before = entry(house, notebook).run
        kept, marks = dict(world.engine.containers), set(world.engine.marks)
        world.engine.lose_storage()
        await house.pass_time(60)
        assert entry(house, notebook).run == before
        assert leased(house, notebook)
        assert world.engine.marks == set(), "a strange storage must not be taken for ours"
        world.engine.containers.update(kept)
        world.engine.marks.update(marks)
        await house.pass_time(60)
        assert entry(house, notebook).run == before
        assert_sound_but_for_images(world)


def assert_sound_but_for_images(world: World) -> None:
    """The containers are as they were."""
    assert [each.status for each in world.engine.containers.values()] == [ContainerStatus.RUNNING]


async def test_a_daemon_restarted_over_another_storage_does_not_end_what_it_cannot_see(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        before = entry(house, notebook).run
    world.engine.lose_storage()
    async with open_house(world) as house:
        await house.pass_time(120)
        assert entry(house, notebook).run == before
        assert (world.config.paths.workspaces / notebook).exists()


async def test_on_another_storage_a_stopped_notebook_is_not_deleted_behind_our_back(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        world.engine.lose_storage()
        await house.pass_time(60)
        assert history(house, notebook) == STOPPED
        assert (world.config.paths.workspaces / notebook).exists()


async def test_a_container_of_an_unknown_run_is_removed(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        mine = container_of(world, notebook)
        engine = FakeEngine(world.engine, house.services.instance)
        stray = replace_labels(mine.spec, "notebookd-stray", {"io.notebookd.run": "no-such-run"})
        await engine.create(stray)
        await engine.start(stray.name)
        await look_around(house)
        assert set(world.engine.containers) == {mine.spec.name}
        assert state(house, notebook) is NotebookState.RUNNING


async def test_a_container_of_an_ended_run_is_removed(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        spec = container_of(world, notebook).spec
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        engine = FakeEngine(world.engine, house.services.instance)
        await engine.create(spec)
        await engine.start(spec.name)
        await look_around(house)
        assert spec.name not in world.engine.containers
        assert state(house, notebook) is NotebookState.RUNNING
        assert_sound(house)


async def test_a_container_of_the_latest_run_that_ended_is_removed(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        spec = container_of(world, notebook).spec
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        engine = FakeEngine(world.engine, house.services.instance)
        await engine.create(spec)
        await engine.start(spec.name)
        await look_around(house)
        assert containers_of(world, notebook) == []
        assert history(house, notebook) == STOPPED


async def test_a_container_of_another_instance_is_left_alone(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        stranger = FakeEngine(world.engine, "stranger")
        await stranger.create(replace_labels(container_of(world, notebook).spec, "not-ours", {}))
        await look_around(house)
        assert "not-ours" in world.engine.containers


def replace_labels(spec: ContainerSpec, name: str, labels: dict[str, str]) -> ContainerSpec:
    """A container like another, by another name and labels."""
    return replace(spec, name=name, labels={**spec.labels, **labels})


async def test_a_start_is_refused_while_the_disk_is_nearly_full_and_a_stop_is_not(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
    world.min_free_bytes = 2**62
    async with open_house(world) as house:
        with pytest.raises(StoreUnavailable, match=r"less than the 4194304\.0 TiB that are kept"):
            await create(house)
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        assert state(house, notebook) is NotebookState.STOPPED
        with pytest.raises(StoreUnavailable):
            await house.notebooks.start(ALICE, notebook)
        await house.notebooks.delete(ALICE, notebook, force=False)
        await house.quiet()
        assert house.store.find_entry(notebook) is None


async def test_a_conmon_that_died_is_no_end(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.kill_conmon(container_of(world, notebook).spec.name)
        await house.pass_time(60)
        assert state(house, notebook) is NotebookState.RUNNING
        await house.notebooks.stop(ALICE, notebook)
        await house.pass_time(1)
        assert history(house, notebook) == STOPPED
        assert_sound(house)


async def test_a_log_that_cannot_be_kept_does_not_hold_up_a_stop(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        logs = world.config.paths.logs
        shutil.rmtree(logs, ignore_errors=True)
        logs.write_text("a file where the folder should be")
        await house.services.notebooks.stop(ALICE, notebook)
        await house.pass_time(30)
        assert state(house, notebook) is NotebookState.STOPPED
        assert_sound(house)
