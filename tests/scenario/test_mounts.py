# SPDX-License-Identifier: Apache-2.0
"""What stands at a mount is swapped before or between two starts: nothing runs with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebookd.testing.house import World, open_house
from tests.scenario.play import ALICE, look_around, outcome, run_of, state
from tests.scenario.test_data import ask, data_world


@pytest.fixture
def world(tmp_path: Path) -> World:
    return data_world(tmp_path)


@pytest.mark.parametrize(
    ("volume", "target"),
    [
        ("sets@DIR:/sets", "/sets"),
        ("standalone:/workspace/tmp", "/workspace/tmp"),
        ("in@S3:/workspace/in", "/workspace/in"),
    ],
)
async def test_nothing_runs_where_a_mount_was_moved(world: World, volume: str, target: str) -> None:
    world.movers.remotes["S3"] = {"in/a.txt": b"a"}
    world.engine.move(target)
    async with open_house(world) as house:
        notebook = await ask(house, volume)
        assert state(house, notebook) == "FAILED"
        assert outcome(house, notebook)[1] == "DATASYNC_INVALID_SOURCE"
        ended = run_of(house, notebook).outcome
        assert ended is not None
        assert target in ended.message
        assert not world.engine.containers


async def test_mount_that_is_moved_while_it_runs_is_found_at_a_restart(world: World) -> None:
    async with open_house(world) as house:
        notebook = await ask(house, "sets@DIR:/sets")
        world.engine.move("/sets")
        await look_around(house)
        assert state(house, notebook) == "RUNNING"
        await house.notebooks.restart(ALICE, notebook)
        await house.quiet()
        assert (state(house, notebook), outcome(house, notebook)[1]) == ("FAILED", "DATASYNC_INVALID_SOURCE")
        assert not world.engine.containers
