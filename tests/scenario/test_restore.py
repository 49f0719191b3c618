# SPDX-License-Identifier: Apache-2.0
"""A backup put in place on a machine that went on meanwhile: what is still so goes on, what is not ends in words, and
no file of a user's is touched."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from notebookd.adapters.sqlite.copies import restore_copy
from notebookd.domain.billing import minutes
from notebookd.domain.container import ContainerStatus
from notebookd.domain.ids import NotebookId
from notebookd.domain.run import NotebookState
from notebookd.testing.house import House, World, open_house
from notebookd.wire import parse_rfc3339, rfc3339
from tests.scenario.play import (
    ALICE,
    BOB,
    STARTED,
    assert_sound,
    container_of,
    containers_of,
    create,
    entry,
    events,
    history,
    leased,
    outcome,
    run_of,
    state,
)


async def backup(house: House) -> bytes:
    async with house.store.backup() as copy:
        return copy.read()


@asynccontextmanager
async def restored(world: World, copy: bytes) -> AsyncIterator[House]:
    """The next life of the daemon, on the backup."""
    restore_copy(io.BytesIO(copy), world.config.paths.database, world.clock.now(), other_instance=False)
    async with open_house(world) as house:
        for _ in range(4):
            await house.pass_time(15)
        yield house


async def stop(house: House, notebook: NotebookId) -> None:
    await house.notebooks.stop(ALICE, notebook)
    await house.pass_time(15)


def billed(house: House, notebook: NotebookId) -> list[int | None]:
    stays = [each for run in house.store.list_runs(notebook) for each in house.store.list_intervals(run.id)]
    return [None if each.length_ms is None else minutes(each.length_ms) for each in stays]


def why(house: House, notebook: NotebookId) -> str:
    """The words in which its run ended."""
    found = run_of(house, notebook).outcome
    assert found is not None
    return found.message


async def test_what_still_runs_goes_on_with_its_gpus_its_token_and_its_minutes(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(90)
        before = entry(house, notebook)
        copy = await backup(house)
        await house.pass_time(600)
    async with restored(world, copy) as house:
        after = entry(house, notebook)
        assert (after.run.id, after.notebook.token) == (before.run.id, before.notebook.token)
        assert container_of(world, notebook).status is ContainerStatus.RUNNING
        assert leased(house, notebook) == sorted(before.run.gpus)
        assert history(house, notebook) == STARTED
        await stop(house, notebook)
        assert billed(house, notebook) == [13], "from its start to its end, 765 seconds, as if nothing had been"
        assert_sound(house)


async def test_what_was_stopped_since_ends_in_words_and_is_billed_up_to_where_it_was_surely_seen(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        for _ in range(13):
            await house.pass_time(10)
        copy = await backup(house)
        await house.pass_time(600)
        await stop(house, notebook)
        told = billed(house, notebook)
    assert told == [13]
    async with restored(world, copy) as house:
        assert outcome(house, notebook) == ("ERROR", "JOB_ERROR")
        assert "the container is gone" in why(house, notebook)
        assert leased(house, notebook) == []
        assert billed(house, notebook) in ([2], [3])
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        assert history(house, notebook) == STARTED
        assert_sound(house)


async def test_a_notebook_made_since_is_nobodys_and_its_files_stay(world: World) -> None:
    async with open_house(world) as house:
        await create(house)
        copy = await backup(house)
        newer = await create(house, BOB)
        await house.pass_time(60)
        (world.config.paths.workspaces / newer / "thesis.txt").write_text("years")
        assert leased(house, newer)
    async with restored(world, copy) as house:
        assert house.store.find_entry(newer) is None
        assert containers_of(world, newer) == []
        assert (world.config.paths.workspaces / newer / "thesis.txt").read_text() == "years"
        assert not (world.config.paths.routes / newer).exists()
        assert sorted(each.gpu_uuid for each in house.store.list_leases()) == [house.inventory.units[0].uuid]
        again = await create(house, BOB)
        assert state(house, again) is NotebookState.RUNNING
        assert_sound(house)


async def test_of_a_notebook_started_anew_since_the_newer_run_gives_way(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(90)
        copy = await backup(house)
        await stop(house, notebook)
        await house.notebooks.start(ALICE, notebook)
        await house.pass_time(90)
        assert run_of(house, notebook).number == 2
    async with restored(world, copy) as house:
        assert run_of(house, notebook).number == 1
        assert outcome(house, notebook)[0] == "ERROR"
        assert containers_of(world, notebook) == []
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        assert (state(house, notebook), run_of(house, notebook).number) == (NotebookState.RUNNING, 2)
        assert len(billed(house, notebook)) == 2, "what the run that nobody knows used is billed to nobody"
        assert_sound(house)


async def test_a_notebook_deleted_since_is_there_without_its_files_and_says_so_at_its_start(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await stop(house, notebook)
        copy = await backup(house)
        await house.notebooks.delete(ALICE, notebook, force=False)
        await house.pass_time(15)
        assert not (world.config.paths.workspaces / notebook).exists()
    async with restored(world, copy) as house:
        assert state(house, notebook) is NotebookState.STOPPED
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        assert outcome(house, notebook)[0] == "ERROR"
        assert "its marker .workspace.initialized is missing" in why(house, notebook)
        await house.notebooks.delete(ALICE, notebook, force=True)
        await house.pass_time(15)
        assert house.store.find_entry(notebook) is None
        assert_sound(house)


async def test_a_notebook_that_waited_and_ran_since_waits_again_at_its_place(world: World) -> None:
    async with open_house(world) as house:
        first = await create(house, gpu=2)
        waiting = await create(house, BOB, gpu=2)
        copy = await backup(house)
        await stop(house, first)
        await house.pass_time(60)
        assert state(house, waiting) is NotebookState.RUNNING
    async with restored(world, copy) as house:
        assert outcome(house, first)[0] == "ERROR"
        assert history(house, waiting) == STARTED
        assert len(leased(house, waiting)) == 2
        assert_sound(house)


async def test_nobody_is_given_a_gpu_that_a_container_of_nobodys_stands_on(world: World) -> None:
    async with open_house(world) as house:
        first = await create(house, gpu=2)
        waiting = await create(house, BOB, gpu=2)
        copy = await backup(house)
        await house.notebooks.stop(BOB, waiting)
        await stop(house, first)
        newer = await create(house, gpu=2)
        assert leased(house, newer)
    stopping = world.engine.hold("stop")
    async with restored(world, copy) as house:
        assert containers_of(world, newer)
        assert not run_of(house, waiting).holds
        stopping.release()
        for _ in range(4):
            await house.pass_time(15)
        assert containers_of(world, newer) == []
        assert state(house, waiting) is NotebookState.RUNNING
        (told,) = [each.data for each in events(house) if each.type == "store.restored"]
        assert told["restored_at"] == rfc3339(parse_rfc3339(told["restored_at"]))
        assert_sound(house)


async def test_who_follows_the_events_by_id_misses_none_of_the_new_ones(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        copy = await backup(house)
        await stop(house, notebook)
        seen = house.store.last_event_id()
    async with restored(world, copy) as house:
        assert {each.notebook_id for each in events(house, after=seen)} == {None, notebook}


async def test_restored_after_a_reboot_it_starts_what_ran(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await house.pass_time(90)
        copy = await backup(house)
    world.engine.reboot()
    world.clock.reboot()
    async with restored(world, copy) as house:
        assert state(house, notebook) is NotebookState.RUNNING
        assert_sound(house)
