# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from notebookd.adapters.simulated_gpus import SimulatedGpus


async def test_the_same_installation_has_the_same_gpus_after_every_start() -> None:
    first = await SimulatedGpus(3, "lab").inventory()
    again = await SimulatedGpus(3, "lab").inventory()
    assert first == again
    assert all(gpu.uuid.startswith("GPU-") and len(gpu.uuid) == 40 for gpu in first)


async def test_more_gpus_leave_the_first_ones_as_they_were() -> None:
    assert (await SimulatedGpus(4, "lab").inventory())[:2] == await SimulatedGpus(2, "lab").inventory()


async def test_two_installations_share_no_gpu() -> None:
    one = {gpu.uuid for gpu in await SimulatedGpus(4, "one").inventory()}
    other = {gpu.uuid for gpu in await SimulatedGpus(4, "other").inventory()}
    assert not one & other


async def test_they_are_idle_healthy_and_no_device() -> None:
    gpus = SimulatedGpus(1, "lab")
    assert gpus.cdi is False
    (gpu,) = await gpus.inventory()
    assert (gpu.name, gpu.memory_total_bytes) == ("Simulated GPU", 16 * 1024**3)
    (sample,) = await gpus.sample()
    assert (sample.memory_used_bytes, sample.processes, sample.health.ok) == (0, (), True)


async def test_a_host_may_have_none() -> None:
    assert await SimulatedGpus(0, "lab").inventory() == ()
