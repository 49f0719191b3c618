# SPDX-License-Identifier: Apache-2.0
"""What goes on while the daemon dies: scenes in acts, each an order of somebody, something that befalls the machine, or
time that passes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any

from notebookd.domain.idleness import look_every_s
from notebookd.domain.ids import NotebookId
from notebookd.domain.spec import ResourceWish, SpecWish
from notebookd.domain.volumes import parse_volume
from notebookd.testing.gpus import FakeGpus
from notebookd.testing.house import House, World
from notebookd.testing.movers import write_files
from notebookd.testing.processes import FakeProcesses
from tests.scenario.play import ALICE, containers_of, create, entry

STRANGER = 31337
DATA = parse_volume("lab@S3:/data:rwd")
GIB = 1024**3
HOUR, DAY = 3600.0, 86400.0
WEEK = 7 * DAY


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Somebody asks for something, and asks again when the daemon died and his order is not on record."""

    give: Callable[[House, NotebookId], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something befalls the machine, whether or not a daemon is up."""

    befall: Callable[[World, NotebookId], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pass:
    """Time passes."""

    seconds: float


Act = Order | Event | Pass
Prepare = Callable[[House], Awaitable[NotebookId]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """``prepare`` plays before and is not tried. With ``interlude`` the daemon goes down in between, that happens, and
    what is tried begins with the first step of the next daemon. ``tail`` plays after, untried. ``slack_s`` is by how
    much longer a stay may get when the daemon dies: what it watched over a time, it watches anew."""

    prepare: Prepare
    acts: Sequence[Act]
    interlude: Callable[[World], None] | None = None
    tail: Sequence[Act] = (Pass(seconds=20), Pass(seconds=20))
    settings: Mapping[str, Any] = field(default_factory=dict)
    slack_s: float = 0.0


def running(since_s: float = 90.0, *, auto_restart: bool = False) -> Prepare:
    """A notebook that has been running for so long."""

    async def prepare(house: House) -> NotebookId:
        notebook = await create(house, auto_restart=auto_restart)
        await house.pass_time(since_s)
        return notebook

    return prepare


async def idling(house: House) -> NotebookId:
    """A notebook that nobody uses, looked at as often as it should be."""
    notebook = await create(house)
    for _ in range(29):
        await house.pass_time(10)
    return notebook


async def stopped(house: House) -> NotebookId:
    notebook = await create(house)
    await house.pass_time(90)
    await house.notebooks.stop(ALICE, notebook)
    await house.quiet()
    return notebook


async def with_somebody_waiting(house: House) -> NotebookId:
    notebook = await create(house)
    await house.pass_time(90)
    for _ in range(2):
        await create(house)
    return notebook


async def never_answering(house: House) -> NotebookId:
    house.world.editor.silent = True
    notebook = await create(house)
    await house.pass_time(house.world.policy.start_timeout_s - 5)
    return notebook


async def carry_data(house: House) -> NotebookId:
    """A notebook with data from a remote, to which it has made changes."""
    house.world.movers.remotes["S3"] = {"lab/kept": b"k", "lab/doomed": b"d"}
    notebook = await create(house, volumes=(DATA,))
    (volume,) = entry(house, notebook).run.volumes
    data = house.world.config.paths.copy(notebook, volume.id) / "data"
    write_files(data, {"new": b"n"})
    (data / "doomed").unlink()
    await house.pass_time(90)
    return notebook


async def stopped_with_data(house: House) -> NotebookId:
    notebook = await carry_data(house)
    await house.notebooks.stop(ALICE, notebook)
    await house.quiet()
    house.world.movers.remotes["S3"]["lab/late"] = b"l"
    return notebook


async def give_create(house: House, _notebook: NotebookId) -> None:
    wish = SpecWish(editor="jupyterlab", framework="conda", resources=ResourceWish(gpu=1))
    await house.notebooks.create(ALICE, house.notebooks.check(wish), named=wish.name is not None)


async def give_start(house: House, notebook: NotebookId) -> None:
    await house.notebooks.start(ALICE, notebook)


async def give_stop(house: House, notebook: NotebookId) -> None:
    await house.notebooks.stop(ALICE, notebook)


async def give_restart(house: House, notebook: NotebookId) -> None:
    await house.notebooks.restart(ALICE, notebook)


async def give_extend(house: House, notebook: NotebookId) -> None:
    await house.notebooks.extend(ALICE, notebook, by=timedelta(days=2))


async def give_delete(house: House, notebook: NotebookId) -> None:
    await house.notebooks.delete(ALICE, notebook, force=False)


async def give_force_delete(house: House, notebook: NotebookId) -> None:
    await house.notebooks.delete(ALICE, notebook, force=True)


async def give_fork(house: House, notebook: NotebookId) -> None:
    (snapshot,) = house.services.snapshots.list(ALICE, notebook)
    await house.services.snapshots.fork(ALICE, notebook, snapshot.id)


def exit_by_itself(world: World, notebook: NotebookId) -> None:
    for container in containers_of(world, notebook):
        world.engine.end(container.spec.name, 1)


def arrive(gpus: FakeGpus, processes: FakeProcesses) -> None:
    """Carol, who asked nobody, starts something on every GPU."""
    processes.add(STRANGER, user="carol", command="python3")
    for uuid in gpus.uuids:
        gpus.add_process(uuid, STRANGER, memory_bytes=GIB)


def stay_away() -> None:
    """Nobody comes."""


def arrive_after_the_grant(world: World, _notebook: NotebookId) -> None:
    # A partial, and not a closure: a copy of the world has its own GPUs in it.
    world.engine.before("create", partial(arrive, world.gpus, world.processes))


def leave(world: World, _notebook: NotebookId) -> None:
    """She ends it, or has thought better of it."""
    if not world.processes.look([STRANGER]):
        world.engine.before("create", stay_away)
        return
    world.gpus.end_process(STRANGER)
    world.processes.end(STRANGER)


def sicken(world: World, notebook: NotebookId) -> None:
    (container,) = containers_of(world, notebook)
    (device,) = container.spec.devices
    world.gpus.sicken(device.partition("=")[2])


def go_down(world: World) -> None:
    """A power cut, and up again."""
    world.engine.reboot()
    world.clock.reboot()


def nothing(_world: World) -> None:
    """The daemon alone goes down."""


WITH_DATA = {
    "datastore": [{"alias": "S3", "type": "rclone", "remote": "s3", "read": ["*"], "write": ["*"]}],
    "snapshots": {"at_stop": True},
}

SCENES: dict[str, Scene] = {
    "start with data": Scene(
        prepare=stopped_with_data, acts=(Order(give=give_start), Pass(seconds=10)), settings=WITH_DATA
    ),
    "stop with data": Scene(prepare=carry_data, acts=(Order(give=give_stop), Pass(seconds=10)), settings=WITH_DATA),
    "exit with data": Scene(
        prepare=carry_data, acts=(Event(befall=exit_by_itself), Pass(seconds=10)), settings=WITH_DATA
    ),
    "delete with data": Scene(
        prepare=carry_data, acts=(Order(give=give_force_delete), Pass(seconds=10)), settings=WITH_DATA
    ),
    "fork": Scene(prepare=stopped_with_data, acts=(Order(give=give_fork), Pass(seconds=10)), settings=WITH_DATA),
    "create": Scene(prepare=running(), acts=(Order(give=give_create), Pass(seconds=10))),
    "start": Scene(prepare=stopped, acts=(Order(give=give_start), Pass(seconds=10))),
    "start that never answers": Scene(prepare=never_answering, acts=(Pass(seconds=10),)),
    "stop": Scene(prepare=running(), acts=(Order(give=give_stop), Pass(seconds=10))),
    "stop with somebody waiting": Scene(prepare=with_somebody_waiting, acts=(Order(give=give_stop), Pass(seconds=10))),
    "restart": Scene(
        prepare=running(), acts=(Order(give=give_restart),), tail=(Pass(seconds=90), Order(give=give_stop))
    ),
    "exit": Scene(prepare=running(), acts=(Event(befall=exit_by_itself), Pass(seconds=10))),
    "expiry": Scene(prepare=running(WEEK - 5), acts=(Pass(seconds=5), Pass(seconds=5))),
    "expiry with auto-restart": Scene(
        prepare=running(WEEK - 5, auto_restart=True),
        acts=(Pass(seconds=5), Pass(seconds=5)),
        tail=(Pass(seconds=90), Order(give=give_stop)),
    ),
    "warning": Scene(prepare=running(WEEK - DAY - 5), acts=(Pass(seconds=10),)),
    "extension": Scene(prepare=running(WEEK - HOUR), acts=(Order(give=give_extend), Pass(seconds=10))),
    "delete": Scene(prepare=stopped, acts=(Order(give=give_delete),)),
    "delete by force": Scene(prepare=running(), acts=(Order(give=give_force_delete), Pass(seconds=10))),
    "idle stop": Scene(
        prepare=idling,
        acts=(Pass(seconds=10), Pass(seconds=5), Pass(seconds=10)),
        tail=(Pass(seconds=10),) * 40,
        settings={"lifecycle": {"idle_stop": "5m"}},
        slack_s=300 + look_every_s(300),
    ),
    "GPU given back": Scene(
        prepare=stopped,
        acts=(
            Event(befall=arrive_after_the_grant),
            Order(give=give_start),
            Pass(seconds=6),
            Event(befall=leave),
            Pass(seconds=6),
        ),
    ),
    "quarantine and move": Scene(
        prepare=running(),
        acts=(Event(befall=sicken), Pass(seconds=6), Order(give=give_restart), Pass(seconds=6)),
    ),
    "reboot": Scene(prepare=running(150), acts=(Pass(seconds=10),), interlude=go_down),
    "a daemon's own start": Scene(prepare=with_somebody_waiting, acts=(Pass(seconds=10),), interlude=nothing),
}
