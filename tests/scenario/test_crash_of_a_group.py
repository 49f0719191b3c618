# SPDX-License-Identifier: Apache-2.0
"""The daemon dies while several orders share a commit: nobody was answered before it, nothing is there by halves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from notebookd.domain.ids import NotebookId
from notebookd.domain.spec import ResourceWish, SpecWish
from notebookd.testing.crashing import Turnstile
from notebookd.testing.house import House, make_world, open_house
from tests.figures import Rows
from tests.scenario.crash_worlds import Camera, Frozen, thaw
from tests.scenario.play import ALICE, assert_sound, create, state

CROWD = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """A step, who had been answered then, and the world."""

    name: str
    answered: frozenset[str]
    left: Frozen


async def ask(house: House, name: str, answered: set[str]) -> None:
    wish = SpecWish(editor="jupyterlab", framework="conda", name=name, resources=ResourceWish(cpu=1))
    await house.notebooks.create(ALICE, house.notebooks.check(wish))
    answered.add(name)


async def test_a_crash_in_a_shared_commit_leaves_all_of_it_or_nothing(memory: Path, crash_points: Rows) -> None:
    asyncio.get_running_loop().set_debug(False)
    world = make_world(memory)
    camera, instants, answered = Camera(world), list[Instant](), set[str]()
    gate = Turnstile(
        lambda step: instants.append(Instant(name=step, answered=frozenset(answered), left=camera.freeze()))
    )
    async with open_house(world, gate) as house:
        old = await create(house, cpu=1, name="old")
        await house.notebooks.stop(ALICE, old)
        await house.quiet()
        gate.arm()
        await asyncio.gather(
            *(ask(house, f"new{number}", answered) for number in range(CROWD)),
            house.notebooks.delete(ALICE, old, force=False),
        )
        gate.disarm()
        await house.quiet()
    decided = [each.name for each in instants].count("before release")
    commits = [each.name for each in instants].count("before commit")
    assert decided >= CROWD + 1 > commits, "they do share commits"
    for instant in instants:
        await come_up(instant, old)
    crash_points["orders that share a commit"] = (len(instants), len(instants))


async def come_up(instant: Instant, old: NotebookId) -> None:
    """Nobody who was answered is forgotten, and each of the others has all of what they asked for or nothing."""
    async with open_house(thaw(instant.left), Turnstile()) as house:
        await house.quiet()
        assert_sound(house)
        active = house.store.list_unsettled()
        made = {entry.notebook.spec.name for entry in active if str(state(house, entry.notebook.id)) == "RUNNING"}
        assert len(made) == len(active), f"after a crash {instant.name} all that was asked for runs"
        assert instant.answered <= made, f"after a crash {instant.name}"
        still_there = house.store.find_entry(old) is not None
        assert house.store.count_notebooks(ALICE.name) == len(made) + still_there
