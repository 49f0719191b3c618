# SPDX-License-Identifier: Apache-2.0
"""What is killed for memory is said to be: in why, events and the notebook's info."""

from __future__ import annotations

from pathlib import Path

import pytest

from notebookd.domain.ids import NotebookId
from notebookd.testing.house import House, World, make_world, open_house
from tests.scenario.play import ALICE, assert_sound, create, entry, events, outcome, run_of, state


@pytest.fixture
def world(tmp_path: Path) -> World:
    return make_world(tmp_path)


def pid_of(house: House, notebook: NotebookId) -> int:
    pid = run_of(house, notebook).container_pid
    assert pid is not None
    return pid


def told(house: House, notebook: NotebookId) -> list[int]:
    """How many kills each warning told of."""
    warned = [each.data for each in events(house, notebook) if each.type == "notebook.warning"]
    assert all(each["reason"] == "out-of-memory" and each["limitBytes"] > 0 for each in warned)
    return [each["killed"] for each in warned]


async def test_a_program_that_is_killed_is_told_once(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.processes.killed[pid_of(house, notebook)] = 0
        await house.pass_time(11)
        assert told(house, notebook) == []
        world.processes.killed[pid_of(house, notebook)] = 2
        for _ in range(3):
            await house.pass_time(11)
        assert told(house, notebook) == [2]
        world.processes.killed[pid_of(house, notebook)] = 3
        await house.pass_time(11)
        assert told(house, notebook) == [2, 1]
        why = "\n".join(house.services.reasons.sentences(entry(house, notebook)))
        assert "Out of memory (limit" in why
        assert state(house, notebook) == "RUNNING"
    async with open_house(world) as house:
        await house.pass_time(11)
        assert told(house, notebook) == [2, 1], "a restart of the daemon tells nothing again"
        await house.notebooks.restart(ALICE, notebook)
        await house.quiet()
        world.processes.killed = {pid_of(house, notebook): 1}
        await house.pass_time(11)
        assert told(house, notebook) == [2, 1, 1], "a restart counts from nothing"
        assert_sound(house)


@pytest.mark.parametrize("known", ["by the engine", "by the kernel"])
async def test_an_editor_that_is_killed_says_why(world: World, known: str) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        if known == "by the kernel":
            world.processes.killed[pid_of(house, notebook)] = 1
            await house.pass_time(11)
        world.engine.end(f"notebookd-{run_of(house, notebook).id}", 137, oom_killed=known == "by the engine")
        await house.quiet()
        assert outcome(house, notebook) == ("FAILED", "JOB_FAILED_WITH_MESSAGE")
        ended = run_of(house, notebook).outcome
        assert ended is not None
        assert ended.message.startswith("out of memory (limit ")
        assert "out of memory" in "\n".join(house.services.reasons.sentences(entry(house, notebook)))
        said = [each.data.get("message", "") for each in events(house, notebook) if each.type == "notebook.state"]
        assert any("out of memory" in each for each in said)


async def test_an_editor_that_ends_otherwise_does_not(world: World) -> None:
    async with open_house(world) as house:
        notebook = await create(house)
        world.engine.end(f"notebookd-{run_of(house, notebook).id}", 137)
        await house.quiet()
        ended = run_of(house, notebook).outcome
        assert ended is not None
        assert ended.message == "the editor exited with status 137"
