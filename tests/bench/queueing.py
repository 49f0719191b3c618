# SPDX-License-Identifier: Apache-2.0
"""``GET /v1/queue`` with a thousand waiting: how much CPU it takes, and how long it keeps everybody else waiting."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import aiohttp

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.sqlite import SqliteStore
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.run import RunState
from tests import values
from tests.bench.apart import serve
from tests.bench.control import in_loops, loop_s, scratch
from tests.bench.figures import Figure
from tests.bench.scale import GPUS, make_crowd, serving

WAITING = 1_000
OWNERS = 50
ROUNDS = 15
MOST_LOOPS = 2.0
"""What the loop is held up by a piece of it; 10 ms where a calibrated loop takes 5."""


def measure_queue() -> list[Figure]:
    """All GPUs are held, with deadlines, so that there is something to foresee."""
    with scratch() as folder:
        return asyncio.run(_measure(folder))


async def _measure(folder: Path) -> list[Figure]:
    clock = SystemClock()
    far = clock.now() + timedelta(days=7)
    crowd = await make_crowd(folder, notebooks=GPUS, running=GPUS, deadline=lambda _: far)
    async with SqliteStore.open(crowd.config.paths.database, clock.now()) as store, store.transaction() as tx:
        for number in range(WAITING):
            notebook = values.notebook(
                id=NotebookId(str(uuid.uuid4())), owner=f"user-{number % OWNERS}", name=f"waits-{number}"
            )
            run = values.run(RunState.PENDING, id=RunId(str(uuid.uuid4())), notebook_id=notebook.id)
            history = tuple((clock.now(), state) for _, state in run.history)
            await tx.put_notebook(notebook)
            await tx.put_run(replace(run, resources=values.resources(1 + number % 4), history=history))
    async with serving(crowd) as (_, assembly, _), serve(assembly.services, folder / "api.sock") as socket:
        waiting = len(list(assembly.services.machine.queue()))
        if waiting != WAITING:
            raise RuntimeError(f"{waiting} wait, not {WAITING}")
        connector = aiohttp.UnixConnector(socket)
        async with aiohttp.ClientSession("http://localhost", connector=connector) as session:

            async def ask() -> None:
                async with session.get("/v1/queue") as answer:
                    answer.raise_for_status()
                    await answer.content.readexactly(int(answer.headers["Content-Length"]))

            await ask()
            taken, held, loops = [], [], []
            for _ in range(ROUNDS):
                loops.append(loop_s(time.thread_time))
                cpu, longest = await _watched(ask)
                taken.append(cpu)
                held.append(longest)
    return [
        *in_loops(f"GET /v1/queue, {WAITING:,} waiting: CPU, with its client", taken, loops),
        *in_loops("  the longest piece of it in the event loop: CPU", held, loops, target=MOST_LOOPS),
    ]


async def _watched(ask: Callable[[], Awaitable[None]]) -> tuple[float, float]:
    """The CPU time that this thread takes until it is answered, and the most of it between two turns of the loop."""
    longest, last, begun = 0.0, time.thread_time(), time.thread_time()

    async def tick() -> None:
        nonlocal longest, last
        while True:
            await asyncio.sleep(0)
            now = time.thread_time()
            longest, last = max(longest, now - last), now

    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    begun = last = time.thread_time()
    await ask()
    spent = time.thread_time() - begun
    ticking.cancel()
    with suppress(asyncio.CancelledError):
        await ticking
    return spent, longest
