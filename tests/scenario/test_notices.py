# SPDX-License-Identifier: Apache-2.0
"""What the page of a notebook that waits is told."""

from __future__ import annotations

from notebookd import routes
from notebookd.domain.ids import NotebookId
from notebookd.domain.run import NotebookState
from notebookd.testing.house import House, World, open_house
from tests.scenario.play import ALICE, create, state


def told(house: House, notebook: NotebookId) -> str:
    house.notices.look()
    route = routes.find_route(house.world.config.paths.routes, notebook)
    assert route is not None
    return route.reason


async def test_the_page_tells_place_reason_and_time_of_those_who_wait(world: World) -> None:
    async with open_house(world) as house:
        made: list[NotebookId] = []
        for _ in range(4):
            made.append(await create(house))
            await house.pass_time(1)
        first, second, third, fourth = (told(house, each) for each in made)
        assert (first, second) == ("", "")
        assert third.startswith("It waits for enough free GPUs of its flavor, at position 1. It starts within 7d")
        assert "position 2" in fourth
        await house.notebooks.stop(ALICE, made[0])
        await house.quiet()
        assert state(house, made[2]) is NotebookState.RUNNING
        assert told(house, made[2]) == ""
        assert "at position 1." in told(house, made[3])
        await house.notebooks.stop(ALICE, made[3])
        await house.quiet()
        assert "It waits" not in told(house, made[3])


async def test_what_was_told_stands_after_the_next_change(world: World) -> None:
    async with open_house(world) as house:
        made = [await create(house) for _ in range(3)]
        (waiting,) = [each for each in made if state(house, each) is NotebookState.STARTING]
        assert "It waits for" in told(house, waiting)
        await house.notebooks.set_label(ALICE, waiting, "team", "red")
        house.reconciler.wake(waiting)
        await house.quiet()
        route = routes.find_route(world.config.paths.routes, waiting)
        assert route is not None
        assert "It waits for" in route.reason
