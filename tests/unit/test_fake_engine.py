# SPDX-License-Identifier: Apache-2.0
"""The faults that a test can let happen to the fake engine."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from notebookd.errors import EngineError, EngineUnavailable
from notebookd.ports.engine import ContainerSpec, ContainerStatus
from notebookd.testing.engine import FakeEngine, FakeEngineWorld

IMAGE = "localhost/notebookd/jupyterlab:1"


class Time:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.at = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def world(time: Time) -> FakeEngineWorld:
    world = FakeEngineWorld(time.now)
    world.add_image(IMAGE)
    return world


@pytest.fixture
def engine(world: FakeEngineWorld) -> FakeEngine:
    return FakeEngine(world, "fake")


def spec(name: str, *command: str) -> ContainerSpec:
    return ContainerSpec(name=name, image=IMAGE, command=command, env={}, labels={}, mounts=())


async def begin(engine: FakeEngine, name: str = "one", *command: str) -> None:
    await engine.create(spec(name, *(command or ("jupyter", "lab"))))
    await engine.start(name)


async def status(engine: FakeEngine, name: str = "one") -> ContainerStatus | None:
    found = await engine.find(name)
    return None if found is None else found.status


async def test_world_outlives_a_dropped_daemon(world: FakeEngineWorld, engine: FakeEngine) -> None:
    await begin(engine)
    assert await FakeEngine(world, "fake").find("one") == await engine.find("one")


async def test_editor_runs_until_it_is_stopped_and_exits_0(world: FakeEngineWorld, engine: FakeEngine) -> None:
    await begin(engine)
    assert await status(engine) is ContainerStatus.RUNNING
    stopped = await engine.stop("one", grace_s=30)
    assert stopped is not None
    assert stopped.exit_code == 0
    assert world.containers["one"].grace_s == 30


async def test_container_ends_when_the_test_says_so(world: FakeEngineWorld, engine: FakeEngine) -> None:
    await begin(engine)
    world.end("one", 3)
    found = await engine.find("one")
    assert found is not None
    assert (found.status, found.exit_code) == (ContainerStatus.EXITED, 3)


async def test_sleeping_container_ends_in_the_clocks_time(time: Time, engine: FakeEngine) -> None:
    await begin(engine, "one", "sh", "-c", "sleep 60; exit 4")
    time.at += timedelta(seconds=59)
    assert await status(engine) is ContainerStatus.RUNNING
    time.at += timedelta(seconds=2)
    assert await status(engine) is ContainerStatus.EXITED


async def test_call_fails_as_often_as_said_before_its_work(world: FakeEngineWorld, engine: FakeEngine) -> None:
    world.fail("create", EngineError("cannot create: no space"), times=2)
    for _ in range(2):
        with pytest.raises(EngineError, match="no space"):
            await engine.create(spec("one"))
    assert await status(engine) is None
    await engine.create(spec("one"))


async def test_answer_can_be_lost_after_the_work(world: FakeEngineWorld, engine: FakeEngine) -> None:
    world.fail("create", EngineUnavailable("cannot create: no answer"), after=True)
    with pytest.raises(EngineUnavailable):
        await engine.create(spec("one"))
    assert await status(engine) is ContainerStatus.CREATED


async def test_held_call_waits_until_released(world: FakeEngineWorld, engine: FakeEngine) -> None:
    hold = world.hold("create")
    async with asyncio.TaskGroup() as tasks:
        creating = tasks.create_task(engine.create(spec("one")))
        await hold.entered.wait()
        assert await status(engine) is None
        hold.release()
    assert creating.result().status is ContainerStatus.CREATED


async def test_unreachable_engine_breaks_streams_and_comes_back_as_it_was(
    world: FakeEngineWorld, engine: FakeEngine
) -> None:
    await begin(engine)
    events = engine.events()
    await anext(events)
    world.reachable = False
    with pytest.raises(EngineUnavailable):
        await anext(events)
    with pytest.raises(EngineUnavailable):
        await engine.find("one")
    world.reachable = True
    assert await status(engine) is ContainerStatus.RUNNING


async def test_reboot_loses_what_ran_and_no_more(world: FakeEngineWorld, engine: FakeEngine) -> None:
    await begin(engine)
    await begin(engine, "two", "true")
    world.reboot()
    assert await status(engine) is ContainerStatus.LOST
    assert await status(engine, "two") is ContainerStatus.EXITED


async def test_lost_storage_has_no_mark(world: FakeEngineWorld, engine: FakeEngine) -> None:
    await engine.mark_storage()
    await begin(engine)
    world.lose_storage()
    assert not (await engine.info()).storage_known
    assert await engine.list_containers() == []
    assert await engine.find_image(IMAGE) is None


async def test_calls_are_noted(world: FakeEngineWorld, engine: FakeEngine) -> None:
    await begin(engine)
    assert world.calls == [("create", "one"), ("start", "one")]
