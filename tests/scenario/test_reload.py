# SPDX-License-Identifier: Apache-2.0
"""Other rules for notebooks that run and wait: a configuration that is read again holds at once."""

from __future__ import annotations

from typing import Any

import pytest

from notebookd.config import parse_config
from notebookd.domain.run import NotebookState
from notebookd.domain.spec import SpecWish
from notebookd.errors import InvalidRequest, StoreUnavailable
from notebookd.testing.house import House, World, open_house
from tests.scenario.play import ADMIN, assert_sound, create, outcome, run_of, state

MINUTE, HOUR = 60, 3600
IMAGE = {"editor": "jupyterlab", "framework": "conda", "command": ["serve"], "uid": 42420, "probe": "/api"}


async def read_again(house: House, **sections: Any) -> None:
    """The file says this now."""
    paths = {"state": str(house.world.config.paths.state), "runtime": str(house.world.config.paths.runtime)}
    house.reload(parse_config({"paths": paths, **sections}, source=None))
    await house.quiet()


async def test_who_waits_longer_than_one_now_may_stops_waiting(world: World) -> None:
    async with open_house(world) as house:
        await create(house, gpu=2)
        waiting = await create(house, gpu=1)
        await house.pass_time(2 * HOUR)
        assert state(house, waiting) is NotebookState.STARTING
        await read_again(house, lifecycle={"queue_timeout": "1h"})
        assert outcome(house, waiting)[0] == "INTERRUPTED"
        assert_sound(house)


async def test_the_deadline_of_who_runs_stays_and_the_next_ones_is_the_new(world: World) -> None:
    async with open_house(world) as house:
        before = await create(house, cpu=1)
        promised = run_of(house, before).timeout_at
        await read_again(house, lifecycle={"max_running": "2h"})
        later = await create(house, cpu=1)
        assert run_of(house, before).timeout_at == promised
        await house.pass_time(2 * HOUR)
        assert state(house, before) is NotebookState.RUNNING
        assert outcome(house, later) == ("TIMEOUT", "JOB_TIMEOUT")
        assert_sound(house)


async def test_idle_notebooks_are_stopped_from_now_on(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house, cpu=1)
        await house.pass_time(5 * HOUR)
        assert state(house, notebook) is NotebookState.RUNNING
        await read_again(house, lifecycle={"idle_stop": "1h"})
        for _ in range(90):  # by minutes: what nobody looked at for longer is not known to have been idle
            await house.pass_time(MINUTE)
        assert state(house, notebook) is NotebookState.STOPPED


async def test_strangers_are_judged_by_the_new_rule_and_the_api_shows_it(world: World) -> None:
    async with open_house(world) as house:
        await read_again(house, gpus={"foreign_memory": "0B"})
        assert house.ruling.rules().foreign.memory_bytes == 0
        assert house.services.config.gpus.foreign_memory_bytes == 0


async def test_a_new_choice_of_the_catalogue_can_be_asked_for(world: World) -> None:
    async with open_house(world) as house:
        assert [each.id for each in house.services.machine.catalogue.frameworks] == ["conda"]
        await read_again(
            house,
            image=[{**IMAGE, "framework": "mine", "version": "1", "image": "localhost/mine:1"}],
            framework=[{"id": "mine", "name": "Mine"}],
        )
        assert "mine" in [each.id for each in house.services.machine.catalogue.frameworks]
        assert "localhost/mine:1" in [row.name for row in await house.services.images.list_rows()]
        assert house.notebooks.check(SpecWish(editor="jupyterlab", framework="mine")).framework == "mine"
        await read_again(house)
        with pytest.raises(InvalidRequest):
            house.notebooks.check(SpecWish(editor="jupyterlab", framework="mine"))


async def test_below_the_new_bound_of_free_space_nothing_starts(world: World) -> None:
    async with open_house(world) as house:
        await read_again(house, store={"min_free": "1000000GiB"})
        with pytest.raises(StoreUnavailable, match="are kept"):
            await create(house, ADMIN, cpu=1)


async def test_a_new_rate_is_that_of_the_next_stay(world: World) -> None:
    async with open_house(world) as house:
        before = await create(house, cpu=1)
        await read_again(house, billing={"rates": {"cpu": "0.50"}})
        later = await create(house, cpu=1)
        rates = [house.store.list_intervals(run_of(house, each).id)[0].rate for each in (before, later)]
        assert rates == [None, 500_000]
