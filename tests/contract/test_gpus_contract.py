# SPDX-License-Identifier: Apache-2.0
"""What every implementation of the GPUs port keeps to, and what the faults of the fake look like through it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.nvml import NvmlGpus
from notebookd.adapters.simulated_gpus import SimulatedGpus
from notebookd.errors import GpusUnavailable
from notebookd.ports.gpus import Gpus, GpuSample
from notebookd.testing.clock import START, FakeClock
from notebookd.testing.gpus import FakeGpus, unread
from tests.nvml.stand_in import standing_in

DRIVER = Path("/proc/driver/nvidia")


@asynccontextmanager
async def simulated(folder: Path) -> AsyncIterator[Gpus]:
    yield SimulatedGpus(3, "contract")


@asynccontextmanager
async def fake(folder: Path) -> AsyncIterator[Gpus]:
    yield FakeGpus(3)


@asynccontextmanager
async def stand_in(folder: Path) -> AsyncIterator[Gpus]:
    with standing_in(folder, "gpu 0", "gpu 1 compute 4321 1GiB", "gpu 2 utilisation 50"):
        async with NvmlGpus.open(FakeClock()) as gpus:
            yield gpus


@asynccontextmanager
async def hardware(folder: Path) -> AsyncIterator[Gpus]:
    async with NvmlGpus.open(SystemClock()) as gpus:
        yield gpus


Maker = Callable[[Path], AbstractAsyncContextManager[Gpus]]
REAL = (pytest.mark.gpu, pytest.mark.skipif(not DRIVER.exists(), reason=f"no NVIDIA driver: {DRIVER} is absent"))
MAKERS = [simulated, fake, stand_in, pytest.param(hardware, marks=REAL)]


@pytest.fixture(params=MAKERS, ids=lambda maker: maker.__name__)
async def gpus(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Gpus]:
    make: Maker = request.param
    async with make(tmp_path) as made:
        yield made


async def test_the_inventory_is_by_index_and_identities_are_unique(gpus: Gpus) -> None:
    inventory = await gpus.inventory()
    assert inventory
    assert [gpu.index for gpu in inventory] == list(range(len(inventory)))
    assert len({gpu.uuid for gpu in inventory}) == len({gpu.pci_bus_id for gpu in inventory}) == len(inventory)
    assert all(gpu.name and gpu.memory_total_bytes > 0 for gpu in inventory)


async def test_the_inventory_is_the_same_when_asked_again(gpus: Gpus) -> None:
    assert await gpus.inventory() == await gpus.inventory()


async def test_there_is_one_sample_a_gpu_and_its_readings_are_in_range(gpus: Gpus) -> None:
    inventory = {gpu.uuid: gpu for gpu in await gpus.inventory()}
    samples = await gpus.sample()
    assert [sample.uuid for sample in samples] == list(inventory)
    for sample in samples:
        assert 0 <= sample.memory_used_bytes <= inventory[sample.uuid].memory_total_bytes
        assert sample.utilisation is None or 0 <= sample.utilisation <= 1
        assert all(reading is None or reading >= 0 for reading in (sample.power_w, sample.energy_j))
        assert sample.health.ok or sample.health.reason


async def test_what_only_people_read_is_left_out_and_nothing_else(gpus: Gpus) -> None:
    def steady(samples: Sequence[GpuSample]) -> list[GpuSample]:
        """What real hardware does not change from one look to the next."""
        return [unread(replace(each, utilisation=None, energy_j=None)) for each in samples]

    whole, part = await gpus.sample(), await gpus.sample(for_people=False)
    assert steady(part) == steady(whole)
    assert [(each.temperature_c, each.power_w, each.health.throttle) for each in part] == [(None, None, ())] * len(part)


async def test_while_released_the_state_is_unknown_not_empty(gpus: Gpus) -> None:
    before = await gpus.inventory()
    await gpus.release()
    await gpus.release()
    with pytest.raises(GpusUnavailable):
        await gpus.inventory()
    with pytest.raises(GpusUnavailable):
        await gpus.sample()
    await gpus.acquire()
    await gpus.acquire()
    assert await gpus.inventory() == before


async def test_acquiring_what_was_never_released_changes_nothing(gpus: Gpus) -> None:
    before = await gpus.inventory()
    await gpus.acquire()
    assert await gpus.inventory() == before


async def test_events_are_taken_once_and_there_are_none_to_begin_with(gpus: Gpus) -> None:
    await gpus.inventory()
    assert gpus.take_events() == ()


async def test_an_event_of_the_fake_is_taken_once() -> None:
    gpus = FakeGpus(1)
    gpus.report(gpus.uuids[0], 79, START)
    gpus.report(gpus.uuids[0], None, START)
    assert [(event.kind, event.xid, event.at) for event in gpus.take_events()] == [
        ("xid", 79, START),
        ("ecc", None, START),
    ]
    assert gpus.take_events() == ()


async def test_an_unavailable_driver_is_unknown() -> None:
    gpus = FakeGpus(1)
    gpus.become_unavailable("version mismatch")
    for call in (gpus.inventory, gpus.sample, gpus.acquire):
        with pytest.raises(GpusUnavailable, match="version mismatch"):
            await call()
    gpus.become_available()
    assert len(await gpus.inventory()) == 1


async def test_a_lost_gpu_stays_in_the_inventory_and_says_that_it_is_lost() -> None:
    gpus = FakeGpus(2)
    gpus.add_process(gpus.uuids[0], 10)
    gpus.lose(gpus.uuids[0])
    assert len(await gpus.inventory()) == 2
    lost, other = await gpus.sample()
    assert (lost.health.ok, lost.health.fault, lost.processes_seen) == (False, "lost", False)
    assert (lost.processes, lost.utilisation, lost.memory_used_bytes) == ((), None, 0)
    assert other.health.ok
    gpus.heal(gpus.uuids[0])
    assert (await gpus.sample())[0].health.ok


async def test_a_strangers_process_shows_with_its_memory_until_it_ends() -> None:
    gpus = FakeGpus(1)
    gpus.add_process(gpus.uuids[0], 4321, memory_bytes=1024)
    gpus.add_process(gpus.uuids[0], 99, memory_bytes=None, kind="graphics")
    (sample,) = await gpus.sample()
    assert sample.memory_used_bytes == 1024
    assert [(process.pid, process.kind) for process in sample.processes] == [(4321, "compute"), (99, "graphics")]
    gpus.end_process(4321)
    assert [process.pid for process in (await gpus.sample())[0].processes] == [99]


async def test_a_gpu_in_mig_mode_is_not_ok() -> None:
    gpus = FakeGpus(1)
    gpus.set_mig(gpus.uuids[0])
    (sample,) = await gpus.sample()
    assert (sample.health.ok, sample.health.mig) == (False, True)


async def test_a_boot_may_give_other_indices() -> None:
    gpus = FakeGpus(2)
    first, second = gpus.uuids
    gpus.reorder([second, first])
    assert [(gpu.uuid, gpu.index) for gpu in await gpus.inventory()] == [(second, 0), (first, 1)]
