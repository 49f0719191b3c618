# SPDX-License-Identifier: Apache-2.0
"""The daemon dies at every step of every scene, comes up again over what it left, and all is as if it had not.

A step is one side of a call of a port or of a commit. A scene is played once; at each step of it the world is kept as
SIGKILL would leave it there. In every one of these worlds a new daemon is started and the rest of the scene played: the
steps counted are the steps tried, and pytest's summary says how many.

What a crash may change of a bill: nothing, where the daemon is back at once. Where it is away for a time, a container
that runs is billed for it since it ran, and a deadline that passed ends the bill at the deadline; what was not RUNNING
yet is billed from when it is.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from notebookd.testing.house import make_world, open_house
from tests.figures import Rows
from tests.scenario.crash_record import (
    assert_billed_by_history,
    assert_never_leased_twice,
    assert_same,
    assert_same_fate,
)
from tests.scenario.crash_scenes import SCENES
from tests.scenario.crash_trial import Point, Trial, Witness, come_up_again, points_of_healing, rehearse
from tests.scenario.play import ALICE, create

DOWN_S = 90.0
STORE = {"before release", "before commit"}
FEW, ALL = 3, 1
"""Every third step, or every one."""

depth = pytest.mark.parametrize("every", [FEW, pytest.param(ALL, marks=[pytest.mark.long, pytest.mark.timeout(900)])])


@pytest.fixture(autouse=True)
async def swift() -> None:
    """Thousands of daemons live here; the loop's debug mode watches over the other scenarios."""
    asyncio.get_running_loop().set_debug(False)


async def try_again(trial: Trial, point: Point, *, down_s: float = 0.0) -> None:
    """Come up after a crash at that step; nobody may be able to tell that there was one."""
    try:
        record = await come_up_again(trial, point, down_s=down_s)
        assert_never_leased_twice(record)
        assert_billed_by_history(record)
        if down_s == 0:
            assert_same(record, trial.record, trial.scene.slack_s)
        else:
            assert_same_fate(record, trial.record)
    except BaseException as wrong:
        wrong.add_note(f"after a crash {point.name}, in act {point.act}")
        raise


@pytest.mark.parametrize("name", SCENES)
async def test_a_crash_at_any_step_changes_nothing(memory: Path, crash_points: Rows, name: str) -> None:
    trial = await rehearse(SCENES[name], memory)
    covered = 0
    for point in trial.points:
        await try_again(trial, point)
        covered += 1
    crash_points[name] = (len(trial.points), covered)
    assert covered == len(trial.points) > 10
    assert "after commit" in {point.name for point in trial.points}


@depth
@pytest.mark.parametrize("name", SCENES)
async def test_a_crash_and_a_time_without_a_daemon_end_as_all_would_have(memory: Path, name: str, every: int) -> None:
    trial = await rehearse(SCENES[name], memory)
    for point in trial.points[::every]:
        await try_again(trial, point, down_s=DOWN_S)


@depth
@pytest.mark.parametrize("name", SCENES)
async def test_a_second_crash_while_the_first_is_healed_changes_nothing(memory: Path, name: str, every: int) -> None:
    trial = await rehearse(SCENES[name], memory)
    for point in trial.points[5 :: 13 * every]:
        for second in (await points_of_healing(trial, point))[3 :: 13 * every]:
            await try_again(trial, second)


async def test_no_call_of_a_port_passes_unseen(memory: Path) -> None:
    """What the fakes were asked by their own record, and what was counted."""
    world = make_world(memory)
    witness = Witness(world)
    async with open_house(world, witness.gate) as house:
        notebook = await create(house)
        await house.pass_time(10)
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        counted = Counter(witness.gate.steps)
    assert _counted(counted, "engine") == Counter(method for method, _ in world.engine.calls)
    assert _counted(counted, "gpus", "inventory", "sample") == Counter(world.gpus.calls)
    assert counted["before editor.answers"] == len(world.editor.probed)
    assert counted["before release"] == counted["after commit"] > 5
    assert 5 < counted["before commit"] <= counted["before release"], "what changes nothing is not committed"


def _counted(steps: Counter[str], port: str, *methods: str) -> Counter[str]:
    calls = {name.removeprefix(f"before {port}."): count for name, count in steps.items() if name.startswith("before")}
    known: Sequence[str] = methods or [name for name in calls if "." not in name and name not in STORE]
    return Counter({name: calls[name] for name in known})
