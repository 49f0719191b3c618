# SPDX-License-Identifier: Apache-2.0
"""Playing a scene once, keeping the world at each step of it, and coming up again in every one of these worlds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from notebookd.domain.container import ContainerStatus
from notebookd.domain.ids import NotebookId
from notebookd.testing.crashing import Turnstile
from notebookd.testing.house import House, World, make_world, open_house
from tests.scenario.crash_record import Record, count_orders, read_record
from tests.scenario.crash_scenes import Act, Event, Order, Pass, Scene
from tests.scenario.crash_worlds import Camera, Frozen, thaw
from tests.scenario.play import assert_sound

RUN_LABEL = "io.notebookd.run"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A step at which the daemon can die: its name, the act it belongs to, and the world then."""

    name: str
    act: int
    asked_before: int
    """How many orders were on record when that act began."""
    left: Frozen


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A scene played without a crash: what came of it, and everywhere it could have been cut short."""

    scene: Scene
    notebook: NotebookId
    points: Sequence[Point]
    record: Record


class Witness:
    """Sees every step of one daemon: what must never be, and, while told to, what the world is like."""

    def __init__(self, world: World) -> None:
        self.gate = Turnstile(self._see)
        self.gate.arm()
        self.house: House | None = None
        self.points: list[Point] = []
        self.act: int | None = None
        self.asked_before = 0
        self._world = world
        self._camera = Camera(world)

    def _see(self, step: str) -> None:
        if step == "after engine.start" and self.house is not None:
            assert_nobody_shares(self.house)
        if self.act is not None:
            left = self._camera.freeze()
            self.points.append(Point(name=step, act=self.act, asked_before=self.asked_before, left=left))


async def rehearse(scene: Scene, folder: Path) -> Trial:
    """Play a scene through, and keep each step of its acts."""
    world = make_world(folder, settings=scene.settings)
    witness = Witness(world)
    async with open_house(world, witness.gate) as house:
        witness.house = house
        notebook = await scene.prepare(house)
        await house.quiet()
        if scene.interlude is None:
            witness.act = 0
            await _play(house, notebook, scene, witness)
            return _trial(scene, notebook, witness, house)
    scene.interlude(world)
    witness.house, witness.act, witness.asked_before = None, 0, count_orders(world)
    async with open_house(world, witness.gate) as house:
        witness.house = house
        await house.quiet()
        await _play(house, notebook, scene, witness)
        return _trial(scene, notebook, witness, house)


def _trial(scene: Scene, notebook: NotebookId, witness: Witness, house: House) -> Trial:
    assert_sound(house)
    return Trial(scene=scene, notebook=notebook, points=witness.points, record=read_record(house.world))


async def _play(house: House, notebook: NotebookId, scene: Scene, witness: Witness, first: int = 0) -> None:
    """The acts from ``first`` on, and the tail."""
    for number in range(first, len(scene.acts)):
        if witness.act is not None:
            witness.act, witness.asked_before = number, count_orders(house.world)
        await _perform(house, notebook, scene.acts[number])
    witness.act = None
    for act in scene.tail:
        await _perform(house, notebook, act)


async def _perform(house: House, notebook: NotebookId, act: Act) -> None:
    match act:
        case Order():
            await act.give(house, notebook)
        case Event():
            act.befall(house.world, notebook)
        case Pass():
            house.world.clock.step(act.seconds)
    await house.quiet()


async def come_up_again(trial: Trial, point: Point, *, down_s: float = 0.0) -> Record:
    """A new daemon in the world that a crash at ``point`` left. The rest of the scene follows, and then all must be
    well. With ``down_s`` there is no daemon for about as long first: acts in which nobody is asked play without one."""
    return (await _come_up(trial, point, down_s=down_s, watch=False))[0]


async def points_of_healing(trial: Trial, point: Point) -> Sequence[Point]:
    """The steps at which the new daemon can die in its turn."""
    return (await _come_up(trial, point, down_s=0.0, watch=True))[1]


async def _come_up(trial: Trial, point: Point, *, down_s: float, watch: bool) -> tuple[Record, Sequence[Point]]:
    scene, world = trial.scene, thaw(point.left)
    unanswered = isinstance(scene.acts[point.act], Order) and count_orders(world) == point.asked_before
    first = point.act if unanswered else point.act + 1
    while down_s > 0 and first < len(scene.acts) and not isinstance(act := scene.acts[first], Order):
        down_s -= _alone(world, trial.notebook, act)
        first += 1
    witness = Witness(world)
    if watch:
        witness.act, witness.asked_before = point.act, point.asked_before
    async with open_house(world, witness.gate) as house:
        witness.house = house
        await house.quiet()
        await _play(house, trial.notebook, scene, witness, first)
        assert_sound(house)
        assert_disk(house)
        assert_sums(house)
        return read_record(world), witness.points


def _alone(world: World, notebook: NotebookId, act: Act) -> float:
    """An act without a daemon; returns how long it took."""
    match act:
        case Event():
            act.befall(world, notebook)
            return 0.0
        case Pass():
            world.clock.step(act.seconds)
            return act.seconds
        case Order():
            raise AssertionError("nobody is there to be asked")


def assert_nobody_shares(house: House) -> None:
    """No GPU is in two running containers, and each is leased to the run of the container that it is in."""
    leases = {(lease.run_id, lease.gpu_uuid) for lease in house.store.list_leases()}
    inside = [
        (container.labels[RUN_LABEL], device.partition("=")[2])
        for container in house.world.engine.containers.values()
        if container.status is ContainerStatus.RUNNING
        for device in container.spec.devices
    ]
    shared = [uuid for uuid, count in Counter(uuid for _, uuid in inside).items() if count > 1]
    assert not shared, f"two containers compute on {shared}"
    assert set(inside) <= leases, "a container computes on a GPU that it has no lease of"


def assert_sums(house: House) -> None:
    """The sums that reports go by are what was billed and leased, to the millisecond."""
    assert house.store.keeps_sums()
    assert house.store.sum_totals() == house.store.walk_totals()


def assert_disk(house: House) -> None:
    """A workspace for each notebook that ever ran, a route for each, and nothing of nobody."""
    paths, record = house.world.config.paths, read_record(house.world)
    alive = {each.id for each in record.notebooks if not each.gone}
    names = {each.name for each in paths.workspaces.iterdir()}
    markers = {name for name in names if name.startswith(".")}
    assert {name.removeprefix(".").removesuffix(".initialized") for name in markers} <= alive
    kept = names - markers
    assert {each.id for each in record.notebooks if each.workspace_made and not each.gone} <= kept <= alive
    assert {each.stem for each in paths.routes.iterdir() if not each.name.startswith(".")} == alive
