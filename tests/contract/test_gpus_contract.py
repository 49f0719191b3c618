# SPDX-License-Identifier: Apache-2.0
"""What every implementation of the GPUs port keeps to, and what the faults of the fake look like through it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from notebookd.adapters.simulated_gpus import SimulatedGpus
from notebookd.errors import GpusUnavailable
from notebookd.ports.gpus import Gpus
from notebookd.testing.gpus import FakeGpus

MAKERS: dict[str, Callable[[], Gpus]] = {"simulated": lambda: SimulatedGpus(3, "contract"), "fake": lambda: FakeGpus(3)}


@pytest.fixture(params=sorted(MAKERS))
def gpus(request: pytest.FixtureRequest) -> Gpus:
    return MAKERS[request.param]()


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
    assert not lost.health.ok
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
