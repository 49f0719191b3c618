# SPDX-License-Identifier: Apache-2.0
"""Which group may use which flavor: at create, start and change, and what somebody gets who names none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from notebookd.config import parse_config
from notebookd.domain.actor import Actor, Role
from notebookd.domain.ids import NotebookId
from notebookd.domain.patch import Patch
from notebookd.domain.run import NotebookState
from notebookd.domain.spec import ResourceWish, SpecWish
from notebookd.errors import Forbidden
from notebookd.testing.gpus import FakeGpus
from notebookd.testing.house import House, World, make_world, open_house
from tests.scenario.play import ADMIN, ALICE, run_of, state

GPU = "fake-80gb-1-gpu"
FOR_VISION = {"flavor": [{"id": GPU, "groups": ["vision", "speech"]}]}
VERA = Actor(name="vera", role=Role.OPERATOR, groups=frozenset({"users", "vision"}))


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A machine of two GPUs that are for two groups."""
    return make_world(tmp_path, settings=FOR_VISION)


async def ask(house: House, actor: Actor, **wish: Any) -> NotebookId:
    """Ask for a notebook as the API does."""
    spec = house.notebooks.check(
        SpecWish(editor="jupyterlab", framework="conda", resources=ResourceWish(**wish)), actor=actor
    )
    made = await house.notebooks.create(actor, spec, named=False)
    await house.quiet()
    return made.notebook.id


async def read_again(house: House, **sections: Any) -> None:
    """The file says this now."""
    paths = {"state": str(house.world.config.paths.state), "runtime": str(house.world.config.paths.runtime)}
    house.reload(parse_config({"paths": paths, **sections}, source=None))
    await house.quiet()


async def test_members_and_admins_may_use_it_and_nobody_else(world: World) -> None:
    async with open_house(world) as house:
        assert state(house, await ask(house, VERA, gpu=1)) is NotebookState.RUNNING
        assert state(house, await ask(house, ADMIN, flavor=GPU)) is NotebookState.RUNNING
        with pytest.raises(Forbidden, match=f"flavor {GPU} is for members of the groups vision, speech"):
            await ask(house, ALICE, gpu=1)
        assert house.store.count_notebooks("alice") == 0


async def test_what_runs_goes_on_and_does_not_start_again_for_who_may_not(world: World) -> None:
    async with open_house(world) as house:
        await read_again(house)
        notebook = await ask(house, ALICE, gpu=1)
        await read_again(house, **FOR_VISION)
        assert state(house, notebook) is NotebookState.RUNNING
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        with pytest.raises(Forbidden, match=f"cannot start notebook {notebook}: flavor {GPU} is for members"):
            await house.notebooks.start(ALICE, notebook)
        await house.notebooks.start(ADMIN, notebook)
        await house.quiet()
        assert state(house, notebook) is NotebookState.RUNNING


async def test_a_change_to_it_is_refused_and_another_change_is_not(world: World) -> None:
    async with open_house(world) as house:
        notebook = await ask(house, ALICE, cpu=1)
        await house.notebooks.stop(ALICE, notebook)
        await house.quiet()
        wish = SpecWish(resources=ResourceWish(gpu=1))
        with pytest.raises(Forbidden, match="cannot change notebook"):
            await house.notebooks.update(ALICE, notebook, Patch(wish=wish, given=frozenset({"resources"})))
        wish = SpecWish(resources=ResourceWish(cpu=2))
        await house.notebooks.update(ALICE, notebook, Patch(wish=wish, given=frozenset({"resources"})))
        await house.notebooks.start(ALICE, notebook)
        await house.quiet()
        assert run_of(house, notebook).resources.units == 2


async def test_who_names_none_gets_one_that_is_open_to_them(tmp_path: Path) -> None:
    """On a machine with GPUs of two models, the default one for a group."""
    world = make_world(tmp_path)
    other = "fake-40gb-1-gpu"
    (board,) = FakeGpus(1, name="NVIDIA Fake 40GB", memory_gib=40)._boards.values()
    last = world.gpus.uuids[-1]
    world.gpus._boards[last] = replace(board, gpu=replace(board.gpu, uuid=last, index=1))
    async with open_house(world) as house:
        flavors = [flavor.id for flavor, _ in house.services.machine.flavors()]
        assert {GPU, other} <= set(flavors)
        await read_again(house, flavor=[{"id": GPU, "groups": ["vision"], "default": True}])
        assert run_of(house, await ask(house, ALICE)).resources.flavor == other
        assert run_of(house, await ask(house, VERA)).resources.flavor == GPU
