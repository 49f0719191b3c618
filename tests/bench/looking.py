# SPDX-License-Identifier: Apache-2.0
"""What it costs the engine to be asked about many running containers: as notebookd asks, and one inspection each.

The two take turns on the same containers. CPU is that of Podman's service, and of this process.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from notebookd.adapters.podman import PodmanEngine
from notebookd.ports.engine import Container, Network
from tests.bench.figures import Figure, ratio
from tests.bench.resting import Cost, engine_pid
from tests.contract.podman_world import PodmanWorld, podman_world

RUNNING = 40
ROUNDS = 9
TIMES = 4
"""In each round: one look alone is over too soon to be measured."""
Work = Callable[[PodmanEngine], Awaitable[object]]


class OneByOne(PodmanEngine):
    """Inspects each, always."""

    async def list_containers(self) -> list[Container]:
        self._sightings.keep([])
        return await super().list_containers()


def measure_looking() -> list[Figure]:
    """A survey, and one beside a look at each over nothing remembered, which is what a start of the daemon does."""
    return asyncio.run(_measure(Path(os.environ["NOTEBOOKD_ENGINE"])))


async def _measure(socket: Path) -> list[Figure]:
    async with podman_world(socket) as world:
        names = [await _begin(world) for _ in range(RUNNING)]

        async def survey(engine: PodmanEngine) -> None:
            for _ in range(2):  # of the notebooks, and of the movers
                await engine.list_containers()

        async def start(engine: PodmanEngine) -> None:
            kind = type(engine)
            async with kind.open(socket, world.instance, profile=world.profile) as fresh, asyncio.TaskGroup() as tasks:
                for name in names:
                    tasks.create_task(fresh.find(name))
                tasks.create_task(survey(fresh))

        async with AsyncExitStack() as stack:
            both: list[PodmanEngine] = [
                await stack.enter_async_context(kind.open(socket, world.instance, profile=world.profile))
                for kind in (PodmanEngine, OneByOne)
            ]
            return [
                *await _compare(f"{RUNNING} running: a survey", survey, both, most=0.5),
                *await _compare(f"{RUNNING} running: the looks of a daemon's start", start, both, most=0.8),
            ]


async def _begin(world: PodmanWorld) -> str:
    spec = world.spec("sleep", "100000", network=Network.NONE)
    await world.engine.create(spec)
    await world.engine.start(spec.name)
    return spec.name


async def _compare(name: str, work: Work, both: Sequence[PodmanEngine], *, most: float) -> list[Figure]:
    for engine in both:
        await work(engine)
    rounds = [[await _cost(work, engine) for engine in both] for _ in range(ROUNDS)]
    figures = []
    for index, whose in enumerate(("the engine's CPU", "our CPU", "until it is over")):
        ours, theirs = (
            Figure(name=f"  {whose}, {how}", values=tuple(each[side][index] for each in rounds), unit="ms", digits=1)
            for side, how in enumerate(("as notebookd asks", "one by one"))
        )
        target = most if index == 0 else None
        figures += [ours, theirs, ratio(f"  {whose}: over one by one", ours, theirs, target=target)]
    return [Figure(name=name, values=(TIMES * ROUNDS,), unit="times", digits=0), *figures]


async def _cost(work: Work, engine: PodmanEngine) -> tuple[float, float, float]:
    serving = engine_pid()
    before, own, begun = Cost.of(serving).cpu_s, time.process_time(), time.perf_counter()
    for _ in range(TIMES):
        await work(engine)
    taken = (Cost.of(serving).cpu_s - before, time.process_time() - own, time.perf_counter() - begun)
    return tuple(each * 1000 / TIMES for each in taken)  # type: ignore[return-value]
