# SPDX-License-Identifier: Apache-2.0
"""Every change leaves an event that says who made it."""

from __future__ import annotations

import json

from notebookd.testing.house import World, open_house
from tests.scenario.play import (
    ADMIN,
    ALICE,
    assert_sound,
    container_of,
    create,
    entry,
    events,
    leased,
    outcome,
    patch,
    run_of,
)


async def test_the_record_of_a_life_names_who_did_what(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        await house.notebooks.restart(ALICE, notebook)
        await house.quiet()
        await house.notebooks.stop(ADMIN, notebook)
        await house.quiet()
        await house.notebooks.delete(ALICE, notebook, force=False)
        await house.quiet()
        seen = [
            (each.actor, each.before, each.after, each.data["runState"])
            for each in events(house, notebook)
            if each.type == "notebook.state"
        ]
        assert seen == [
            ("alice", None, "STARTING", "PENDING"),
            ("notebookd", "STARTING", "RUNNING", "RUNNING"),
            ("alice", "RUNNING", "RESTARTING", "RESTARTING"),
            ("notebookd", "RESTARTING", "RUNNING", "RUNNING"),
            ("root", "RUNNING", "STOPPING", "INTERRUPTING"),
            ("notebookd", "STOPPING", "STOPPING", "FINALIZING"),
            ("notebookd", "STOPPING", "STOPPED", "INTERRUPTED"),
            ("alice", "STOPPED", "DELETING", "INTERRUPTED"),
        ]
        last = events(house, notebook)[-1]
        assert (last.type, last.before) == ("notebook.deleted", "DELETING")


async def test_leases_are_on_record_with_what_was_given(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house, gpu=2)
        run = run_of(house, notebook)
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        found = [(e.type, e.run_id, e.data["gpus"]) for e in events(house, notebook) if e.type.startswith("lease.")]
        assert found == [
            ("lease.granted", run.id, list(world.gpus.uuids)),
            ("lease.released", run.id, list(world.gpus.uuids)),
        ]


async def test_changes_are_on_record_and_no_change_is_not(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        mark = house.store.last_event_id()
        await patch(house, notebook, timeout_auto_restart=False)
        await patch(house, notebook, ADMIN, timeout_auto_restart=True)
        await house.notebooks.set_label(ALICE, notebook, "team", "blue")
        await house.notebooks.set_label(ALICE, notebook, "team", "blue")
        assert [(e.type, e.actor) for e in events(house, notebook, after=mark)] == [
            ("notebook.changed", "root"),
            ("notebook.changed", "alice"),
        ]


async def test_orders_that_change_nothing_leave_no_event(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        mark = house.store.last_event_id()
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        assert events(house, after=mark) == []
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        mark = house.store.last_event_id()
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        assert events(house, after=mark) == []


async def test_a_drain_is_on_record(world: World) -> None:
    async with open_house(world) as house:
        await house.services.gpus.drain(ADMIN, world.gpus.uuids[0], drained=True)
        await house.services.gpus.drain(ADMIN, world.gpus.uuids[0], drained=False)
        found = [(each.type, each.actor, each.data["gpu"]) for each in events(house)]
        assert found == [("gpu.drained", "root", world.gpus.uuids[0]), ("gpu.undrained", "root", world.gpus.uuids[0])]


async def test_an_end_of_its_own_is_on_record_with_its_exit_code(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.end(container_of(world, notebook).spec.name, 9)
        await house.quiet()
        last = [each for each in events(house, notebook) if each.type == "notebook.state"][-1]
        assert (last.actor, last.after, last.data["exitCode"]) == ("notebookd", "FAILED", 9)
        assert last.data["code"] == "JOB_FAILED_WITH_MESSAGE"


async def test_ids_increase_over_lives_of_the_daemon(world: World) -> None:
    async with open_house(world) as house:
        await create(house)
        before = [each.id for each in events(house)]
    async with open_house(world) as house:
        await create(house)
        after = [each.id for each in events(house, after=before[-1])]
    assert after
    assert sorted({*before, *after}) == [*before, *after]


async def test_the_second_stop_keeps_the_first_ones_outcome(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.reachable = False
        await house.notebooks.stop(ALICE, notebook)
        await house.notebooks.stop(ADMIN, notebook)
        world.engine.reachable = True
        await house.pass_time(30)
        found = run_of(house, notebook).outcome
        assert found is not None
        assert found.actor == "alice"
        assert outcome(house, notebook) == ("INTERRUPTED", "JOB_INTERRUPTED")
        assert leased(house, notebook) == []
        assert_sound(house)


async def test_the_gateway_is_told_of_each_state_and_never_of_a_token(world: World) -> None:
    async with open_house(world) as house:
        file = world.config.paths.routes
        await create(house, gpu=2)
        notebook = await create(house)
        token = entry(house, notebook).notebook.token
        assert token is not None

        def route() -> dict[str, object]:
            text = (file / f"{notebook}.json").read_text()
            assert token not in text
            return dict(json.loads(text))

        assert route()["state"] == "STARTING"
        assert route()["owner"] == "alice"
        assert route()["tokenHash"] is not None
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        assert (route()["state"], route()["tokenHash"]) == ("STOPPED", None)
        await house.notebooks.delete(ALICE, notebook, force=False)
        await house.quiet()
        assert not (file / f"{notebook}.json").exists()
