# SPDX-License-Identifier: Apache-2.0
"""The daemon dies at every step of every order, comes up again over the same world, and all is well.

A step is one side of a call of a port or of a commit. Each is tried in a world of its own; what is tried is printed
(``pytest -rP`` or ``-s``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from notebookd.domain.run import NotebookId, NotebookState
from notebookd.testing.crashing import Crash, Turnstile
from notebookd.testing.house import House, World, make_world, open_house
from tests.scenario.play import ALICE, assert_sound, container_of, create, state

Order = Callable[[House, NotebookId], Awaitable[None]]
SETTLED = frozenset({NotebookState.RUNNING, NotebookState.STOPPED})
MOST_STEPS = 200


async def running(house: House) -> NotebookId:
    return await create(house)


async def stopped(house: House) -> NotebookId:
    notebook = await create(house)
    await house.notebooks.stop(ALICE, notebook)
    await house.quiet()
    return notebook


async def with_somebody_waiting(house: House) -> NotebookId:
    notebook = await create(house)
    await house.pass_time(1)
    for _ in range(2):
        await create(house)
    return notebook


async def order_create(house: House, _notebook: NotebookId) -> None:
    await create(house)


async def order_start(house: House, notebook: NotebookId) -> None:
    await house.notebooks.start(ALICE, notebook)


async def order_stop(house: House, notebook: NotebookId) -> None:
    await house.notebooks.stop(ALICE, notebook)


async def order_restart(house: House, notebook: NotebookId) -> None:
    await house.notebooks.restart(ALICE, notebook)


async def order_delete(house: House, notebook: NotebookId) -> None:
    await house.notebooks.delete(ALICE, notebook, force=True)


async def exit_by_itself(house: House, notebook: NotebookId) -> None:
    house.world.engine.end(container_of(house.world, notebook).spec.name, 1)


async def reach_the_deadline(house: House, _notebook: NotebookId) -> None:
    house.world.clock.step(house.world.policy.max_running_s)


SCENES: dict[str, tuple[Callable[[House], Awaitable[NotebookId]], Order, frozenset[NotebookState | None]]] = {
    "create": (running, order_create, frozenset({NotebookState.RUNNING})),
    "start": (stopped, order_start, frozenset({NotebookState.STOPPED, NotebookState.RUNNING})),
    "stop": (running, order_stop, frozenset({NotebookState.STOPPED, NotebookState.RUNNING})),
    "stop with somebody waiting": (
        with_somebody_waiting,
        order_stop,
        frozenset({NotebookState.STOPPED, NotebookState.RUNNING}),
    ),
    "restart": (running, order_restart, frozenset({NotebookState.RUNNING})),
    "delete": (running, order_delete, frozenset({None, NotebookState.RUNNING})),
    "delete when stopped": (stopped, order_delete, frozenset({None, NotebookState.STOPPED})),
    "exit": (running, exit_by_itself, frozenset({NotebookState.FAILED})),
    "timeout": (running, reach_the_deadline, frozenset({NotebookState.STOPPED})),
}


async def play(world: World, scene: str, crash_at: int) -> tuple[NotebookId, list[str], bool]:
    """Set the scene, then order with a crash at that step; whether it came to it."""
    prepare, order, _ = SCENES[scene]
    gate = Turnstile()
    crashed = False
    notebook: NotebookId | None = None
    try:
        async with open_house(world, gate) as house:
            notebook = await prepare(house)
            await house.quiet()
            gate.arm(crash_at)
            await order(house, notebook)
            await house.quiet()
            await house.pass_time(11)
            gate.disarm()
    except Crash:
        crashed = True
    assert notebook is not None
    return notebook, gate.steps, crashed


async def converge(world: World, notebook: NotebookId, expected: frozenset[NotebookState | None]) -> None:
    """Come up again; everything must come right by itself."""
    async with open_house(world) as house:
        await house.quiet()
        for _ in range(4):
            await house.pass_time(20)
        assert_sound(house)
        found = None if house.store.find_entry(notebook) is None else state(house, notebook)
        assert found in expected
        folder = (world.config.paths.workspaces / notebook).exists()
        assert folder is (found is not None), "a workspace outlives its notebook or died before it"
        waiting = [row.entry.notebook.id for row in house.services.machine.queue()]
        free = len(world.gpus.uuids) - len(house.store.list_leases())
        assert not (waiting and free), "somebody waits beside a free GPU"
        await assert_serviceable(house, notebook, found)


async def assert_serviceable(house: House, notebook: NotebookId, found: NotebookState | None) -> None:
    """The notebook is not wedged: it goes on to obey."""
    if found is None:
        return
    if found is NotebookState.RUNNING:
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        assert state(house, notebook) is NotebookState.STOPPED
    await house.notebooks.delete(ALICE, notebook, force=True)
    await house.quiet()
    assert house.store.find_entry(notebook) is None
    assert_sound(house)


async def test_what_was_answered_is_never_lost_and_what_was_not_leaves_nothing(tmp_path: Path) -> None:
    for crash_at, expected in ((1, 1), (2, 2), (3, 2)):
        world = make_world(tmp_path / str(crash_at))
        _, steps, crashed = await play(world, "create", crash_at)
        assert crashed
        assert steps[:2] == ["before commit", "after commit"][:crash_at]
        async with open_house(world) as house:
            await house.quiet()
            assert house.store.count_notebooks("alice") == expected
            assert house.store.count_states() == {NotebookState.RUNNING: expected}
            assert_sound(house)


@pytest.mark.parametrize("scene", SCENES)
async def test_a_crash_at_any_step_heals(tmp_path: Path, scene: str) -> None:
    steps: list[str] = []
    for crash_at in range(1, MOST_STEPS):
        world = make_world(tmp_path / str(crash_at))
        notebook, seen, crashed = await play(world, scene, crash_at)
        if not crashed:
            break
        steps.append(seen[-1])
        try:
            await converge(world, notebook, SCENES[scene][2])
        except AssertionError as wrong:
            wrong.add_note(f"after a crash at step {crash_at} of {scene!r}: {seen}")
            raise
    assert len(steps) >= 10, f"{scene}: too few steps to mean anything: {steps}"
    assert "after commit" in steps
    print(f"{scene}: {len(steps)} crashes healed: {', '.join(steps)}")


async def test_a_second_crash_while_healing_heals(tmp_path: Path) -> None:
    for first in range(1, MOST_STEPS, 3):
        world = make_world(tmp_path / str(first))
        notebook, _, crashed = await play(world, "stop", first)
        if not crashed:
            break
        for second in range(1, 12, 2):
            gate = Turnstile()
            gate.arm(second)
            try:
                async with open_house(world, gate) as house:
                    await house.quiet()
            except Crash:
                continue
            break
        await converge(world, notebook, SCENES["stop"][2])
