# SPDX-License-Identifier: Apache-2.0
"""What looking at the GPUs costs: the real watch, store, NVML adapter and pynvml over the stand-in library.

CPU time is this process's, all of its threads counted: the one that calls the driver, and the one that waits for Xids.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.nvml import NvmlGpus
from notebookd.adapters.process_book import ProcessBook
from notebookd.adapters.processes import SystemProcesses
from notebookd.adapters.sqlite import SqliteStore
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.resources import GIB, HostCompute
from notebookd.domain.rules import Rules
from notebookd.domain.run import RunState, grant
from notebookd.machine.gpu_watch import GpuWatch
from notebookd.machine.inventory import Inventory
from notebookd.machine.occupants import Account
from notebookd.ports.processes import Processes
from tests.bench.control import in_loops, loop_s, scratch
from tests.bench.figures import Figure, ratio
from tests.nvml.stand_in import standing_in
from tests.values import NOTEBOOK_ID, RUN_ID, launched, notebook, run

GPUS = 8
PROCESSES = 16
WARM_UP = 20
ROUNDS = 15
LOOKS = 20
MOST_LOOPS = 0.25
MOST_THOROUGH = 0.75
IDLE_S = 20.0
MOST_IDLE_POLLS = 0.1


def measure_polling() -> list[Figure]:
    """A poll while every GPU is leased and computed on, and a minute in which nobody has a use for one."""
    with scratch() as folder, _processes() as pids:
        uuids = [f"GPU-{index}" for index in range(GPUS)]
        lines = [f"gpu {index} uuid {uuid}" for index, uuid in enumerate(uuids)]
        computing = [f"gpu {number % GPUS} compute {pid} 1GiB" for number, pid in enumerate(pids)]
        with standing_in(folder, *lines) as world:
            idle = asyncio.run(_idle(folder / "idle.db"))
            world.add(*computing)
            polls = asyncio.run(_polls(folder / "busy.db", uuids, pids))
    taken, all_read, loops = zip(*polls, strict=True)
    name = f"a poll of {GPUS} GPUs with {PROCESSES} processes: CPU"
    poll = Figure(name=name, values=tuple(each * 1000 for each in taken), unit="ms", digits=2)
    thorough = Figure(
        name="  one that reads all that there is", values=tuple(each * 1000 for each in all_read), unit="ms", digits=2
    )
    return [
        *in_loops(name, taken, loops, target=MOST_LOOPS),
        thorough,
        ratio("  over that", poll, thorough, target=MOST_THOROUGH),
        *idle,
    ]


async def _polls(database: Path, uuids: list[str], pids: list[int]) -> list[tuple[float, float, float]]:
    """CPU seconds of one look, each a mean over some; of one that reads all that it can, each process and each field,
    as if nobody had looked before; and of the calibrated loop."""
    async with _machine(database) as (store, gpus):
        watch, inventory = _watch(store, gpus, ProcessBook())
        thorough, _ = _watch(store, gpus, SystemProcesses())
        await _lease(store, uuids, pids)
        for _ in range(WARM_UP):
            await watch.look()
        attributed = [each.run_id for unit in inventory.units for each in unit.occupants]
        assert len(attributed) == PROCESSES
        assert None not in attributed
        return [
            (await _look_s(watch), await _look_s(thorough, for_people=True), loop_s(time.process_time))
            for _ in range(ROUNDS)
        ]


async def _look_s(watch: GpuWatch, *, for_people: bool = False) -> float:
    begun = time.process_time()
    for _ in range(LOOKS):
        await watch.look(for_people=for_people)
    return (time.process_time() - begun) / LOOKS


async def _idle(database: Path) -> list[Figure]:
    """The watch goes at the pace that it chooses; what a minute takes is reckoned from a poll and from the rest."""
    clock = SystemClock()
    async with _machine(database) as (store, gpus):
        watch, _ = _watch(store, gpus, ProcessBook())
        for _ in range(WARM_UP):
            await watch.turn()
        begun = time.process_time()
        for _ in range(LOOKS):
            due = await watch.turn()
        poll_s = (time.process_time() - begun) / LOOKS
        polls = 60 / (due - clock.now()).total_seconds()
        begun = time.process_time()
        await asyncio.sleep(IDLE_S)
        waiting_s = (time.process_time() - begun) * 60 / IDLE_S
    idle = Figure(name="nobody looks, nothing runs: polls in a minute", values=(polls,), unit="polls", digits=2)
    busy = Figure(name="somebody does", values=(60 / Rules().look_every_s,), unit="polls")
    return [
        idle,
        ratio("  over those while somebody looks", idle, busy, target=MOST_IDLE_POLLS),
        Figure(name="  CPU of those", values=(poll_s * polls * 1000,), unit="ms", digits=2),
        Figure(name="  CPU in a minute of waiting for Xids", values=(waiting_s * 1000,), unit="ms", digits=2),
    ]


@asynccontextmanager
async def _machine(database: Path) -> AsyncIterator[tuple[SqliteStore, NvmlGpus]]:
    clock = SystemClock()
    async with (
        SqliteStore.open(database, clock.now(), ballast_bytes=4096) as store,
        NvmlGpus.open(clock) as gpus,
    ):
        yield store, gpus


def _watch(store: SqliteStore, gpus: NvmlGpus, processes: Processes) -> tuple[GpuWatch, Inventory]:
    host = HostCompute(cpus=64, memory_bytes=512 * GIB)
    account = Account(user=next(iter(SystemProcesses().look([os.getpid()]).values())).user, pid=os.getpid())
    inventory = Inventory(gpus, store, processes, host, Rules, account)
    return GpuWatch(gpus, inventory, store, SystemClock(), lambda _: None, Rules), inventory


async def _lease(store: SqliteStore, uuids: list[str], pids: list[int]) -> None:
    """A running notebook on each GPU. The first process on it is its container's first."""
    for index, uuid in enumerate(uuids):
        notebook_id = NotebookId(f"{NOTEBOOK_ID[:-4]}{index:04}")
        made = replace(
            launched(grant(run(RunState.RUNNING), (uuid,), notebook().created_at)),
            id=RunId(f"{RUN_ID[:-4]}{index:04}"),
            notebook_id=notebook_id,
            gpus=(uuid,),
            container_pid=pids[index],
            container_id=f"{index:064x}",
        )
        async with store.transaction() as tx:
            await tx.put_notebook(notebook(id=notebook_id))
            await tx.put_run(made)


@contextmanager
def _processes() -> Iterator[list[int]]:
    """Two processes to a GPU, in a pid namespace of their own; their pids, first ones first."""
    pairs = [
        subprocess.Popen(["unshare", "--pid", "--fork", "sh", "-c", "sleep 600 & wait"], stderr=subprocess.DEVNULL)
        for _ in range(GPUS)
    ]
    try:
        time.sleep(0.5)
        first = [_child(each.pid) for each in pairs]
        yield [*first, *(_child(pid) for pid in first)]
    finally:
        for pid in first:
            os.kill(pid, 9)  # with it goes its namespace
        for each in pairs:
            each.wait(10)


def _child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])
