# SPDX-License-Identifier: Apache-2.0
"""What every engine does, tried on the fake and on a real Podman (marker ``engine``)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from notebookd.errors import (
    ContainerMissing,
    DeviceUnresolvable,
    EngineError,
    EngineUnavailable,
    ImageMissing,
    MountMoved,
    NameTaken,
)
from notebookd.ports.engine import EVENTS_CONNECTED, Container, ContainerStatus, EngineEvent, ExecSession, LogLine
from tests.contract.engine_worlds import EngineWorld, FakeWorld
from tests.contract.podman_world import ABSENT_DEVICE, IMAGE, eventually, podman_world

IMMORTAL = ("sh", "-c", "exec sleep 300")
POLITE = ("sh", "-c", "trap 'exit 5' TERM; sleep 1; sleep 1; sleep 1; sleep 1; sleep 1; sleep 1; sleep 1; sleep 1")


@pytest.fixture(params=["fake", pytest.param("podman", marks=pytest.mark.engine)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[EngineWorld]:
    if request.param == "fake":
        yield FakeWorld()
        return
    socket = os.environ.get("NOTEBOOKD_ENGINE")
    if not socket:
        pytest.skip("NOTEBOOKD_ENGINE names no engine")
    async with podman_world(Path(socket)) as real:
        yield real


async def begun(world: EngineWorld, *command: str) -> Container:
    spec = world.spec(*command)
    await world.engine.create(spec)
    return await world.engine.start(spec.name)


async def ended(world: EngineWorld, name: str) -> Container:
    async def look() -> Container:
        found = await world.engine.find(name)
        assert found is not None
        return found

    return await eventually(look, lambda c: c.status in (ContainerStatus.EXITED, ContainerStatus.LOST))


async def lines(stream: AsyncIterator[LogLine]) -> list[LogLine]:
    return [line async for line in stream]


async def printed(world: EngineWorld, name: str, count: int) -> list[LogLine]:
    return await eventually(lambda: lines(world.engine.logs(name)), lambda found: len(found) >= count)


# creating and starting


async def test_created_container_is_created_and_known_by_name(world: EngineWorld) -> None:
    spec = world.spec("true")
    created = await world.engine.create(spec)
    assert created.status is ContainerStatus.CREATED
    assert created == await world.engine.find(spec.name)
    assert (created.name, created.pid, created.started_at, created.exit_code) == (spec.name, None, None, None)
    assert dict(created.labels) == dict(spec.labels)


async def test_started_container_runs_with_pid_and_start_time(world: EngineWorld) -> None:
    running = await begun(world, *IMMORTAL)
    assert running.status is ContainerStatus.RUNNING
    assert running.pid is not None
    assert running.started_at is not None
    assert running.started_at.utcoffset() is not None
    assert (running.finished_at, running.exit_code) == (None, None)
    assert running == await world.engine.find(running.name)


async def test_container_tells_the_digest_of_its_image(world: EngineWorld) -> None:
    image = await world.engine.find_image(IMAGE)
    assert image is not None
    created = await world.engine.create(world.spec("true"))
    assert created.image_digest == image.digest


async def test_starting_a_running_container_changes_nothing(world: EngineWorld) -> None:
    running = await begun(world, *IMMORTAL)
    assert await world.engine.start(running.name) == running


async def test_container_started_again_has_another_start_time(world: EngineWorld) -> None:
    first = await begun(world, *IMMORTAL)
    await world.engine.stop(first.name, grace_s=0)
    second = await world.engine.start(first.name)
    assert second.status is ContainerStatus.RUNNING
    assert second.id == first.id
    assert second.started_at != first.started_at
    assert (second.finished_at, second.exit_code) == (None, None)


async def test_missing_image_is_told(world: EngineWorld) -> None:
    with pytest.raises(ImageMissing, match="cannot create container"):
        await world.engine.create(world.spec("true", image="localhost/notebookd-test/absent:1"))


async def test_taken_name_is_told(world: EngineWorld) -> None:
    spec = world.spec("true")
    await world.engine.create(spec)
    with pytest.raises(NameTaken):
        await world.engine.create(spec)


async def test_unresolvable_device_fails_closed(world: EngineWorld) -> None:
    spec = world.spec(*IMMORTAL, devices=(ABSENT_DEVICE,))

    async def attempt() -> None:
        await world.engine.create(spec)
        await world.engine.start(spec.name)

    with pytest.raises(DeviceUnresolvable):
        await attempt()
    found = await world.engine.find(spec.name)
    assert found is None or found.status is ContainerStatus.CREATED


async def test_starting_nothing_is_told(world: EngineWorld) -> None:
    with pytest.raises(ContainerMissing):
        await world.engine.start("notebookd-absent")


# mounts that are checked


async def test_container_starts_when_its_mounts_are_what_was_checked(world: EngineWorld) -> None:
    mount = world.folder("/data")
    spec = world.spec(*IMMORTAL, mounts=(mount,))
    await world.engine.create(spec)
    running = await world.engine.start(spec.name, checked=[mount])
    assert running.status is ContainerStatus.RUNNING
    assert running.pid is not None
    assert await world.engine.start(spec.name, checked=[mount]) == running


async def test_container_with_a_swapped_mount_never_runs(world: EngineWorld) -> None:
    mount = world.folder("/data")
    spec = world.spec("sh", "-c", "echo ran", mounts=(mount,))
    created = await world.engine.create(spec)
    world.swap(mount)
    for _ in range(2):
        with pytest.raises(MountMoved, match="/data"):
            await world.engine.start(spec.name, checked=[mount])
        assert await world.engine.find(spec.name) == created
    assert await lines(world.engine.logs(spec.name)) == []


async def test_mount_that_is_swapped_between_stop_and_start_is_found(world: EngineWorld) -> None:
    mount = world.folder("/data")
    spec = world.spec("sh", "-c", "echo ran; exec sleep 300", mounts=(mount,))
    await world.engine.create(spec)
    began = await world.engine.start(spec.name, checked=[mount])
    await printed(world, spec.name, 1)
    await world.engine.stop(spec.name, grace_s=0)
    again = await world.engine.start(spec.name, checked=[mount])
    assert again.started_at != began.started_at
    await printed(world, spec.name, 2)
    await world.engine.stop(spec.name, grace_s=0)
    world.swap(mount)
    with pytest.raises(MountMoved):
        await world.engine.start(spec.name, checked=[mount])
    found = await world.engine.find(spec.name)
    assert found is not None
    assert (found.status, found.started_at) == (ContainerStatus.EXITED, again.started_at)
    assert len(await lines(world.engine.logs(spec.name))) == 2


async def test_mounts_without_identity_are_not_checked(world: EngineWorld) -> None:
    mount = replace(world.folder("/data"), identity=None)
    spec = world.spec(*IMMORTAL, mounts=(mount,))
    await world.engine.create(spec)
    world.swap(mount)
    assert (await world.engine.start(spec.name, checked=[mount])).status is ContainerStatus.RUNNING


# ending


@pytest.mark.parametrize("code", [0, 1, 3, 137])
async def test_exit_code_is_kept(world: EngineWorld, code: int) -> None:
    container = await begun(world, "sh", "-c", f"exit {code}")
    gone = await ended(world, container.name)
    assert gone.status is ContainerStatus.EXITED
    assert (gone.exit_code, gone.pid) == (code, None)
    assert gone.finished_at is not None
    assert gone.started_at is not None
    assert gone.finished_at >= gone.started_at.replace(microsecond=0)


async def test_exit_code_is_never_lost_in_the_moment_of_the_end(world: EngineWorld) -> None:
    container = await begun(world, "sh", "-c", "sleep 0.3; exit 3")
    await world.elapse(0.25)
    async with asyncio.timeout(10):
        while (seen := await world.engine.find(container.name)) and seen.status is ContainerStatus.RUNNING:
            await world.elapse(0.001)
    assert seen is not None
    assert (seen.status, seen.exit_code) == (ContainerStatus.EXITED, 3)


async def test_stop_lets_it_end_by_itself(world: EngineWorld) -> None:
    container = await begun(world, *POLITE)
    await world.elapse(0.2)
    stopped = await world.engine.stop(container.name, grace_s=10)
    assert stopped is not None
    assert (stopped.status, stopped.exit_code) == (ContainerStatus.EXITED, 5)
    assert stopped == await world.engine.find(container.name)


async def test_stop_kills_after_the_grace(world: EngineWorld) -> None:
    container = await begun(world, "sh", "-c", "trap '' TERM; echo deaf; exec sleep 300")
    await printed(world, container.name, 1)
    stopped = await world.engine.stop(container.name, grace_s=0.5)
    assert stopped is not None
    assert (stopped.status, stopped.exit_code) == (ContainerStatus.EXITED, 137)


async def test_stop_ends_at_once_what_does_not_handle_the_signal(world: EngineWorld) -> None:
    container = await begun(world, *IMMORTAL)
    stopped = await world.engine.stop(container.name, grace_s=60)
    assert stopped is not None
    assert (stopped.status, stopped.exit_code) == (ContainerStatus.EXITED, 143)


async def test_stop_without_a_grace_kills(world: EngineWorld) -> None:
    container = await begun(world, *POLITE)
    stopped = await world.engine.stop(container.name, grace_s=0)
    assert stopped is not None
    assert (stopped.status, stopped.exit_code) == (ContainerStatus.EXITED, 137)


async def test_command_that_is_not_there_is_told_at_the_start(world: EngineWorld) -> None:
    spec = world.spec("/no/such/program", "--now")
    await world.engine.create(spec)
    with pytest.raises(EngineError, match="/no/such/program"):
        await world.engine.start(spec.name)


async def test_stop_is_idempotent(world: EngineWorld) -> None:
    container = await begun(world, "sh", "-c", "exit 3")
    gone = await ended(world, container.name)
    assert await world.engine.stop(container.name, grace_s=1) == gone
    assert await world.engine.stop("notebookd-absent", grace_s=1) is None


async def test_stop_of_a_container_never_started_leaves_it(world: EngineWorld) -> None:
    created = await world.engine.create(world.spec("true"))
    assert await world.engine.stop(created.name, grace_s=1) == created


@pytest.mark.parametrize("state", ["created", "running", "ended", "absent"])
async def test_remove_leaves_nothing(world: EngineWorld, state: str) -> None:
    spec = world.spec(*(IMMORTAL if state == "running" else ("true",)))
    if state != "absent":
        await world.engine.create(spec)
    if state in ("running", "ended"):
        await world.engine.start(spec.name)
    if state == "ended":
        await ended(world, spec.name)
    await world.engine.remove(spec.name)
    await world.engine.remove(spec.name)
    assert await world.engine.find(spec.name) is None
    if state == "running":
        await world.engine.create(spec)
        assert (await world.engine.start(spec.name)).status is ContainerStatus.RUNNING


# conmon's death


async def test_container_without_conmon_runs_on(world: EngineWorld) -> None:
    container = await begun(world, *IMMORTAL)
    await world.kill_conmon(container.name, process_too=False)
    assert await world.engine.find(container.name) == container


async def test_dead_process_under_a_dead_conmon_is_lost(world: EngineWorld) -> None:
    container = await begun(world, *IMMORTAL)
    await world.kill_conmon(container.name, process_too=True)
    found = await world.engine.find(container.name)
    assert found is not None
    assert found.status is ContainerStatus.LOST
    assert (found.pid, found.exit_code, found.finished_at) == (None, None, None)
    assert await world.engine.list_containers() == [found]


@pytest.mark.parametrize("process_too", [False, True])
async def test_stop_without_conmon_ends_it_as_lost(world: EngineWorld, process_too: bool) -> None:
    container = await begun(world, *IMMORTAL)
    await world.kill_conmon(container.name, process_too=process_too)
    async with asyncio.timeout(10):
        stopped = await world.engine.stop(container.name, grace_s=0.3)
    assert stopped is not None
    assert stopped.status is ContainerStatus.LOST
    assert await world.engine.stop(container.name, grace_s=0.3) == stopped


async def test_lost_container_cannot_start_again(world: EngineWorld) -> None:
    container = await begun(world, *IMMORTAL)
    await world.kill_conmon(container.name, process_too=True)
    with pytest.raises(EngineError, match="remove it"):
        await world.engine.start(container.name)


@pytest.mark.parametrize("process_too", [False, True])
async def test_container_without_conmon_is_removed(world: EngineWorld, process_too: bool) -> None:
    container = await begun(world, *IMMORTAL)
    await world.kill_conmon(container.name, process_too=process_too)
    async with asyncio.timeout(15):
        await world.engine.remove(container.name)
    assert await world.engine.find(container.name) is None


# others'


async def test_containers_of_another_instance_do_not_exist(world: EngineWorld) -> None:
    theirs = world.spec(*IMMORTAL)
    await world.stranger.create(theirs)
    running = await world.stranger.start(theirs.name)
    assert await world.engine.find(theirs.name) is None
    assert await world.engine.list_containers() == []
    assert await world.engine.stop(theirs.name, grace_s=0) is None
    await world.engine.remove(theirs.name)
    with pytest.raises(ContainerMissing):
        await world.engine.start(theirs.name)
    with pytest.raises(ContainerMissing):
        await lines(world.engine.logs(theirs.name))
    with pytest.raises(ContainerMissing):
        async with world.engine.exec(theirs.name, ("true",), tty=False, stdin=False):
            pass
    assert await world.stranger.find(theirs.name) == running


async def test_listing_shows_each_as_find_does(world: EngineWorld) -> None:
    running = await begun(world, *IMMORTAL)
    gone = await ended(world, (await begun(world, "sh", "-c", "exit 1")).name)
    created = await world.engine.create(world.spec("true"))
    listed = await world.engine.list_containers()
    assert sorted(c.name for c in listed) == sorted(c.name for c in (running, gone, created))
    for container in listed:
        assert container == await world.engine.find(container.name)


async def test_listing_shows_what_changed_since_each_was_seen(world: EngineWorld) -> None:
    running = [await begun(world, *IMMORTAL) for _ in range(3)]
    created = await world.engine.create(world.spec("true"))
    gone, lost, orphan, removed, again = [await begun(world, *IMMORTAL) for _ in range(5)]
    theirs = world.spec(*IMMORTAL)
    await world.stranger.create(theirs)
    await world.stranger.start(theirs.name)

    async def listed() -> dict[str, Container]:
        containers = await world.engine.list_containers()
        for each in containers:
            assert each == await world.engine.find(each.name)
        return {each.name: each for each in containers}

    seen = [*running, created, gone, lost, orphan, removed, again]
    assert await listed() == {each.name: each for each in seen}
    await world.engine.stop(gone.name, grace_s=0)
    await world.kill_conmon(lost.name, process_too=True)
    await world.kill_conmon(orphan.name, process_too=False)
    await world.engine.remove(removed.name)
    await world.engine.stop(again.name, grace_s=0)
    another = await world.engine.start(again.name)
    now = await listed()
    assert [now.pop(each.name) for each in (*running, created, orphan, again)] == [*running, created, orphan, another]
    assert now.pop(gone.name).exit_code == 137
    assert now.pop(lost.name).status is ContainerStatus.LOST
    assert now == {}


# an engine that is not there


async def test_unreachable_engine_is_unknown_never_absent(world: EngineWorld) -> None:
    spec = world.spec("true")
    calls = [
        world.nowhere.info(),
        world.nowhere.mark_storage(),
        world.nowhere.create(spec),
        world.nowhere.start(spec.name),
        world.nowhere.stop(spec.name, grace_s=1),
        world.nowhere.remove(spec.name),
        world.nowhere.find(spec.name),
        world.nowhere.list_containers(),
        world.nowhere.find_image(IMAGE),
        lines(world.nowhere.logs(spec.name)),
        anext(world.nowhere.events()),
        world.nowhere.exec(spec.name, ("true",), tty=False, stdin=False).__aenter__(),
    ]
    for call in calls:
        with pytest.raises(EngineUnavailable):
            await call


# the storage


async def test_storage_is_known_by_its_mark(world: EngineWorld) -> None:
    assert not (await world.engine.info()).storage_known
    await world.engine.mark_storage()
    await world.engine.mark_storage()
    assert (await world.engine.info()).storage_known
    assert not (await world.stranger.info()).storage_known
    await world.lose_mark()
    assert not (await world.engine.info()).storage_known


async def test_living_process_is_told_from_a_gone_one(world: EngineWorld) -> None:
    spec = world.spec("sleep", "60")
    await world.engine.create(spec)
    started = await world.engine.start(spec.name)
    assert started.pid is not None
    assert await world.engine.lives(started.pid)
    await world.engine.stop(spec.name, grace_s=0)
    assert not await world.engine.lives(started.pid)


async def test_info_tells_which_limits_cannot_be_set(world: EngineWorld) -> None:
    info = await world.engine.info()
    assert info.version
    assert info.missing_controllers == frozenset({"cpu", "memory", "pids"}) - info.controllers


async def test_image_is_found_by_name_and_by_digest(world: EngineWorld) -> None:
    image = await world.engine.find_image(IMAGE)
    assert image is not None
    assert image.digest.startswith("sha256:")
    assert IMAGE in image.names
    assert image.size_bytes > 0
    assert await world.engine.find_image(image.digest) == image
    assert await world.engine.find_image("localhost/notebookd-test/absent:1") is None
    assert await world.engine.find_image("sha256:" + "0" * 64) is None


async def test_container_is_created_from_an_image_named_by_digest(world: EngineWorld) -> None:
    image = await world.engine.find_image(IMAGE)
    assert image is not None
    created = await world.engine.create(world.spec("true", image=image.digest))
    assert created.image_digest == image.digest


# output


async def test_logs_hold_both_streams_in_lines(world: EngineWorld) -> None:
    container = await begun(world, "sh", "-c", "echo one $COLOUR; echo two >&2; printf three; exit 0")
    await ended(world, container.name)
    found = await printed(world, container.name, 3)
    assert {(line.stream, line.content) for line in found} == {
        ("stdout", "one teal"),
        ("stderr", "two"),
        ("stdout", "three"),
    }
    assert all(line.at.utcoffset() is not None for line in found)


async def test_logs_tail_shows_the_last_lines(world: EngineWorld) -> None:
    container = await begun(world, "sh", "-c", "echo 1; echo 2; echo 3; exit 0")
    await ended(world, container.name)
    await printed(world, container.name, 3)
    assert [line.content for line in await lines(world.engine.logs(container.name, tail=2))] == ["2", "3"]
    assert await lines(world.engine.logs(container.name, tail=0)) == []


async def test_logs_since_leaves_out_what_is_older(world: EngineWorld) -> None:
    container = await begun(world, "sh", "-c", "echo old; sleep 2.5; echo new; sleep 300")
    await printed(world, container.name, 1)
    await world.elapse(2.6)
    first, second = await printed(world, container.name, 2)
    assert (first.content, second.content) == ("old", "new")
    assert [line.content for line in await lines(world.engine.logs(container.name, since=second.at))] == ["new"]
    assert [line.content for line in await lines(world.engine.logs(container.name, since=first.at))] == ["old", "new"]


async def test_followed_logs_come_as_written_and_end_with_the_container(world: EngineWorld) -> None:
    container = await begun(world, "sh", "-c", "echo first; sleep 1; echo second; exit 0")
    seen: list[str] = []
    async with asyncio.timeout(15), asyncio.TaskGroup() as tasks:
        stream = world.engine.logs(container.name, follow=True)
        seen.append((await anext(stream)).content)
        tasks.create_task(world.elapse(1.1))
        seen.extend([line.content async for line in stream])
    assert seen == ["first", "second"]


async def test_logs_of_nothing_are_told(world: EngineWorld) -> None:
    with pytest.raises(ContainerMissing):
        await lines(world.engine.logs("notebookd-absent"))


# commands inside


async def said(session: ExecSession) -> tuple[bytes, bytes]:
    out, err = b"", b""
    async for piece in session.output():
        if piece.stream == 1:
            out += piece.data
        else:
            err += piece.data
    return out, err


async def test_command_inside_says_and_exits(world: EngineWorld) -> None:
    container = await begun(world, *IMMORTAL)
    script = ("sh", "-c", "echo out; echo err >&2; exit 7")
    async with asyncio.timeout(15), world.engine.exec(container.name, script, tty=False, stdin=False) as session:
        assert await said(session) == (b"out\n", b"err\n")
        assert await session.exit_code() == 7


async def test_command_inside_has_more_variables_and_a_folder(world: EngineWorld) -> None:
    container = await begun(world, *IMMORTAL)
    script = ("sh", "-c", "echo $GREETING; pwd")
    more = world.engine.exec(
        container.name, script, tty=False, stdin=False, env={"GREETING": "good morning"}, folder="/tmp"
    )
    async with asyncio.timeout(15), more as session:
        assert await said(session) == (b"good morning\n/tmp\n", b"")
        assert await session.exit_code() == 0


async def test_command_inside_reads_its_stdin_to_the_end(world: EngineWorld) -> None:
    container = await begun(world, *IMMORTAL)
    async with asyncio.timeout(15), world.engine.exec(container.name, ("cat",), tty=False, stdin=True) as session:
        await session.write(b"hello ")
        await session.write(b"world\n")
        await session.close_stdin()
        assert await said(session) == (b"hello world\n", b"")
        assert await session.exit_code() == 0


async def test_command_without_stdin_reads_nothing(world: EngineWorld) -> None:
    container = await begun(world, *IMMORTAL)
    async with asyncio.timeout(15), world.engine.exec(container.name, ("cat",), tty=False, stdin=False) as session:
        assert await said(session) == (b"", b"")
        assert await session.exit_code() == 0


async def test_terminal_inside_knows_its_size(world: EngineWorld) -> None:
    container = await begun(world, *IMMORTAL)
    script = ("sh", "-c", "read line; stty size; echo err >&2; exit 3")
    async with asyncio.timeout(15), world.engine.exec(container.name, script, tty=True, stdin=True) as session:
        await session.resize(width=77, height=30)
        await session.write(b"\n")
        out, err = await said(session)
        assert b"30 77\r\n" in out
        assert b"err\r\n" in out
        assert err == b""
        assert await session.exit_code() == 3


async def test_command_that_is_not_there_exits_127(world: EngineWorld) -> None:
    container = await begun(world, *IMMORTAL)
    async with asyncio.timeout(15), world.engine.exec(container.name, ("absent",), tty=False, stdin=False) as session:
        _, err = await said(session)
        assert b"not found" in err
        assert await session.exit_code() == 127


async def test_command_in_an_ended_container_is_refused(world: EngineWorld) -> None:
    container = await begun(world, "true")
    await ended(world, container.name)
    with pytest.raises(EngineError):
        async with world.engine.exec(container.name, ("true",), tty=False, stdin=False):
            pass
    with pytest.raises(ContainerMissing):
        async with world.engine.exec("notebookd-absent", ("true",), tty=False, stdin=False):
            pass


# events


async def test_events_begin_with_the_connection_and_miss_nothing_after(world: EngineWorld) -> None:
    seen: list[EngineEvent] = []
    stream = world.engine.events()
    async with asyncio.timeout(20):
        first = await anext(stream)
        assert (first.kind, first.container, dict(first.labels)) == (EVENTS_CONNECTED, "", {})
        await world.stranger.create(world.spec("true"))
        container = await begun(world, "sh", "-c", "exit 3")
        while not seen or seen[-1].kind != "died":
            seen.append(await anext(stream))
    assert {event.container for event in seen} == {container.name}
    assert {"create", "start", "died"} <= {event.kind for event in seen}
    assert all(event.labels["io.notebookd.notebook"] == "nb" for event in seen)
    await stream.aclose()
