# SPDX-License-Identifier: Apache-2.0
"""One GPU's readings and faults, through the adapter and pynvml, from the stand-in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from notebookd.adapters.nvml import NvmlGpus
from notebookd.ports.gpus import GpuEvent, GpuProcess, GpuSample
from notebookd.testing.clock import START, FakeClock
from tests.nvml.stand_in import World, standing_in

GIB = 1024**3
FIRST = "GPU-00000000-0000-0000-0000-000000000000"
SECOND = "GPU-00000000-0000-0000-0000-000000000001"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with standing_in(tmp_path, "gpu 0", "gpu 1") as world:
        yield world


@pytest.fixture
async def gpus(world: World) -> AsyncIterator[NvmlGpus]:
    async with NvmlGpus.open(FakeClock()) as gpus:
        yield gpus


async def first(gpus: NvmlGpus) -> GpuSample:
    sample = (await gpus.sample())[0]
    assert sample.uuid == FIRST
    return sample


async def events(gpus: NvmlGpus) -> tuple[GpuEvent, ...]:
    """What is reported within two seconds; a thread listens."""
    async with asyncio.timeout(2):
        while not (heard := gpus.take_events()):
            await asyncio.sleep(0.005)
    return heard


async def test_a_gpu_is_described(world: World, gpus: NvmlGpus) -> None:
    world.write(
        "gpu 0 name NVIDIA H100 80GB HBM3", "gpu 0 bus 00000000:C1:00.0", "gpu 0 uuid GPU-x", "gpu 0 memory 8GiB"
    )
    (gpu,) = await gpus.inventory()
    assert (gpu.uuid, gpu.index, gpu.name) == ("GPU-x", 0, "NVIDIA H100 80GB HBM3")
    assert (gpu.pci_bus_id, gpu.memory_total_bytes) == ("00000000:C1:00.0", 8 * GIB)


async def test_names_that_are_not_utf8_are_replaced_and_everybody_is_served(world: World, gpus: NvmlGpus) -> None:
    world.write("gpu 0 name H\udcff100", "gpu 0 bus \udcf8:C1", "gpu 1", "driver 570\udcff")
    first, second = await gpus.inventory()
    assert (first.name, first.pci_bus_id, second.uuid) == ("H\ufffd100", "\ufffd:C1", SECOND)
    assert all(sample.health.ok for sample in await gpus.sample())


async def test_a_gpu_whose_uuid_is_not_text_is_one_unreadable_gpu(world: World, gpus: NvmlGpus) -> None:
    world.write("gpu 0 uuid GPU-\udcf8", "gpu 1", "gpu 2 uuid GPU-\udcff", "gpu 3 uuid GPU-\x1b[2J")
    board = await gpus.inventory()
    assert [gpu.uuid for gpu in board] == ["GPU-\\xf8", SECOND, "GPU-\\xff", "GPU-\x1b[2J"]
    samples = await gpus.sample()
    assert [sample.health.fault for sample in samples] == ["unreadable", None, "unreadable", "unreadable"]
    assert "not text" in (samples[0].health.reason or "")


async def test_readings_come_in_the_ports_units(world: World, gpus: NvmlGpus) -> None:
    world.add(
        "gpu 0 used 3GiB", "gpu 0 utilisation 37", "gpu 0 temperature 51", "gpu 0 power 212.5", "gpu 0 energy 1234.5"
    )
    sample = await first(gpus)
    assert (sample.memory_used_bytes, sample.utilisation, sample.temperature_c) == (3 * GIB, 0.37, 51.0)
    assert (sample.power_w, sample.energy_j) == (212.5, 1234.5)
    assert (sample.health.ok, sample.health.ecc_errors, sample.health.throttle) == (True, 0, ())


async def test_a_process_on_two_lists_is_one_process(world: World, gpus: NvmlGpus) -> None:
    world.add(
        "gpu 0 compute 100 1GiB",
        "gpu 0 graphics 100 2GiB",
        "gpu 0 graphics 200 ?",
        "gpu 0 mps 300 5MiB",
        "gpu 0 compute 400 ?",
    )
    assert (await first(gpus)).processes == (
        GpuProcess(pid=100, memory_used_bytes=2 * GIB, kind="compute"),
        GpuProcess(pid=400, memory_used_bytes=None, kind="compute"),
        GpuProcess(pid=300, memory_used_bytes=5 * 1024**2, kind="compute"),
        GpuProcess(pid=200, memory_used_bytes=None, kind="graphics"),
    )
    world.drop("gpu 0 graphics")
    assert [process.pid for process in (await first(gpus)).processes] == [100, 400, 300]


@pytest.mark.parametrize(
    ("function", "reading"),
    [
        ("nvmlDeviceGetUtilizationRates", "utilisation"),
        ("nvmlDeviceGetTemperature", "temperature_c"),
        ("nvmlDeviceGetPowerUsage", "power_w"),
        ("nvmlDeviceGetTotalEnergyConsumption", "energy_j"),
    ],
)
async def test_a_reading_that_a_gpu_does_not_give_is_none(
    world: World, gpus: NvmlGpus, function: str, reading: str
) -> None:
    world.add(f"gpu 0 fail {function} NOT_SUPPORTED")
    sample, other = await gpus.sample()
    assert getattr(sample, reading) is None
    assert sample.health.ok
    assert getattr(other, reading) is not None


async def test_a_library_that_dropped_the_old_calls_is_asked_by_the_new(world: World, gpus: NvmlGpus) -> None:
    world.add(
        "fail nvmlDeviceGetTemperature FUNCTION_NOT_FOUND",
        "fail nvmlDeviceGetCurrentClocksThrottleReasons DEPRECATED",
        "gpu 0 temperature 44",
        "gpu 0 throttle 0x60",
    )
    sample = await first(gpus)
    assert (sample.temperature_c, sample.health.throttle) == (44.0, ("thermal", "thermal-hardware"))


async def test_a_gpu_that_is_held_back_is_slow_and_not_sick(world: World, gpus: NvmlGpus) -> None:
    world.add("gpu 0 throttle 0x85")
    health = (await first(gpus)).health
    assert (health.ok, health.throttle) == (True, ("power-cap", "power-brake"))


async def test_a_gpu_without_ecc_or_mig_is_healthy(world: World, gpus: NvmlGpus) -> None:
    world.add("gpu 0 fail nvmlDeviceGetTotalEccErrors NOT_SUPPORTED", "gpu 0 mig none")
    health = (await first(gpus)).health
    assert (health.ok, health.ecc_errors, health.mig) == (True, None, False)


async def test_a_driver_that_asks_for_nothing_has_its_memory_errors_behind_it(world: World, gpus: NvmlGpus) -> None:
    world.add("gpu 0 ecc 2", "gpu 0 recovery 0")
    health = (await first(gpus)).health
    assert (health.ok, health.ecc_errors, health.recovery) == (True, 2, "none")


@pytest.mark.parametrize(
    ("line", "fault", "reason"),
    [
        ("gpu 0 recovery 1", "reset-required", "recovery action gpu-reset"),
        ("gpu 0 recovery 99", "reset-required", "recovery action number 99"),
        ("gpu 0 ecc 2", "ecc", "uncorrected memory errors"),
        ("gpu 0 mig on", "mig", "unsupported"),
        ("gpu 0 fail * GPU_IS_LOST", "lost", "fallen off the bus"),
        ("gpu 0 fail * RESET_REQUIRED", "reset-required", "must be reset"),
        ("gpu 0 fail nvmlDeviceGetMemoryInfo_v2 UNKNOWN", "unreadable", "memory cannot be read: UNKNOWN"),
        ("gpu 0 fail nvmlDeviceGetComputeRunningProcesses_v3 NO_PERMISSION", "unreadable", "NO_PERMISSION"),
        ("gpu 0 fail nvmlDeviceGetGraphicsRunningProcesses_v3 UNKNOWN", "unreadable", "cannot be listed: UNKNOWN"),
    ],
)
async def test_a_sick_gpu_says_so_and_its_neighbour_is_well(
    world: World, gpus: NvmlGpus, line: str, fault: str, reason: str
) -> None:
    before = await gpus.inventory()
    world.add(line)
    sample, other = await gpus.sample()
    assert (sample.health.ok, sample.health.fault, sample.health.mig) == (False, fault, fault == "mig")
    assert reason in (sample.health.reason or "")
    assert sample.processes_seen == (fault in {"ecc", "mig"} or "recovery" in line)
    assert other.health.ok
    assert await gpus.inventory() == before
    world.drop(line)
    assert (await first(gpus)).health.ok


async def test_a_gpu_without_graphics_still_has_its_processes_seen(world: World, gpus: NvmlGpus) -> None:
    world.add("gpu 0 compute 7 1GiB", "gpu 0 fail nvmlDeviceGetGraphicsRunningProcesses_v3 NOT_SUPPORTED")
    sample = await first(gpus)
    assert (sample.health.ok, sample.processes_seen, [each.pid for each in sample.processes]) == (True, True, [7])


async def test_an_integrated_gpu_uses_the_hosts_memory(world: World, gpus: NvmlGpus) -> None:
    world.add("gpu 0 compute 7 1GiB", "gpu 0 fail nvmlDeviceGetMemoryInfo_v2 NOT_SUPPORTED")
    assert (await gpus.inventory())[0].memory_total_bytes > 0
    sample = await first(gpus)
    assert (sample.memory_used_bytes, sample.health.ok) == (GIB, True)


async def test_a_gpu_listed_no_longer_stays_as_lost(world: World, gpus: NvmlGpus) -> None:
    await gpus.inventory()
    world.drop("gpu 0")
    assert [(gpu.uuid, gpu.index) for gpu in await gpus.inventory()] == [(SECOND, 0), (FIRST, 1)]
    other, lost = await gpus.sample()
    assert (other.health.ok, lost.health.fault, lost.processes_seen) == (True, "lost", False)
    world.write("gpu 0", "gpu 1")
    assert [sample.health.ok for sample in await gpus.sample()] == [True, True]
    assert [gpu.uuid for gpu in await gpus.inventory()] == [FIRST, SECOND]


async def test_a_gpu_lost_before_the_driver_is_taken_again_keeps_its_place(world: World, gpus: NvmlGpus) -> None:
    before = await gpus.inventory()
    await gpus.release()
    world.add("gpu 0 fail * GPU_IS_LOST")
    await gpus.acquire()
    assert await gpus.inventory() == before
    assert [sample.health.fault for sample in await gpus.sample()] == ["lost", None]


async def test_a_boot_may_give_other_indices(world: World, gpus: NvmlGpus) -> None:
    world.write("gpu 5", "gpu 2")
    assert [(gpu.uuid[-1], gpu.index) for gpu in await gpus.inventory()] == [("2", 0), ("5", 1)]


async def test_handles_gone_stale_are_taken_anew(world: World, gpus: NvmlGpus) -> None:
    world.add("fail nvmlDeviceGetMemoryInfo_v2 UNKNOWN")
    world.drop("fail")
    await gpus.inventory()
    world.add("fail nvmlDeviceGetMemoryInfo_v2 UNKNOWN")
    assert {sample.health.fault for sample in await gpus.sample()} == {"unreadable"}
    world.drop("fail")
    assert (await first(gpus)).health.ok


async def test_xids_and_ecc_errors_are_reported_once_with_their_time(world: World, gpus: NvmlGpus) -> None:
    world.add("gpu 0 event xid 31")
    await gpus.inventory()
    world.add("gpu 1 event xid 79")
    assert await events(gpus) == (GpuEvent(uuid=SECOND, kind="xid", xid=79, at=START),)
    world.add("gpu 0 event ecc")
    assert await events(gpus) == (GpuEvent(uuid=FIRST, kind="ecc", xid=None, at=START),)
    assert gpus.take_events() == ()


async def test_events_are_heard_again_after_the_driver_was_back(world: World, gpus: NvmlGpus) -> None:
    await gpus.inventory()
    await gpus.release()
    await gpus.acquire()
    world.add("gpu 0 event xid 13", "gpu 0 event xid 48")
    assert [event.xid for event in await events(gpus)][:1] == [13]


async def test_a_gpu_that_reports_nothing_is_sampled_all_the_same(world: World, gpus: NvmlGpus) -> None:
    world.add("gpu 0 fail nvmlDeviceGetSupportedEventTypes NOT_SUPPORTED")
    assert (await first(gpus)).health.ok
    world.add("gpu 0 event xid 79", "gpu 1 event xid 63")
    assert [event.uuid for event in await events(gpus)] == [SECOND]


async def test_a_driver_without_events_is_sampled_all_the_same(world: World, gpus: NvmlGpus) -> None:
    world.add("fail nvmlEventSetCreate NOT_SUPPORTED")
    assert (await first(gpus)).health.ok


async def test_a_poll_of_eight_gpus_costs_less_than_two_milliseconds(world: World, gpus: NvmlGpus) -> None:
    world.write(*(f"gpu {index} compute {index + 100} 1GiB" for index in range(8)))
    costs_s = []
    for _ in range(5):
        began_s = time.process_time()
        for _ in range(50):
            await gpus.inventory()
            await gpus.sample()
        costs_s.append((time.process_time() - began_s) / 50)
    assert min(costs_s) < 0.002
