# SPDX-License-Identifier: Apache-2.0
"""The driver as a whole: each of its troubles by name, and that it is found again without a restart."""

from __future__ import annotations

import asyncio
import ctypes
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from notebookd.adapters.nvml import NvmlGpus
from notebookd.errors import GpusUnavailable
from notebookd.testing.clock import FakeClock
from tests.nvml.stand_in import LIBRARY, World, build, standing_in

SCENE = Path(__file__).parent / "scene.py"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with standing_in(tmp_path, "gpu 0", "gpu 1", "gpu 2", "gpu 3") as world:
        yield world


@pytest.fixture
async def gpus(world: World) -> AsyncIterator[NvmlGpus]:
    async with NvmlGpus.open(FakeClock(), answer_timeout_s=2) as gpus:
        yield gpus


async def trouble(gpus: NvmlGpus) -> str:
    """What a poll says of the driver; both reads say the same, with a cure."""
    words = []
    for read in (gpus.inventory, gpus.sample):
        with pytest.raises(GpusUnavailable, match="cannot ask the GPU driver") as caught:
            await read()
        assert caught.value.hint
        words.append(str(caught.value.details["trouble"]))
    assert words[0] == words[1]
    return words[0]


TROUBLES = {
    "fail * DRIVER_NOT_LOADED": "driver-not-loaded",
    "fail * LIB_RM_VERSION_MISMATCH": "version-mismatch",
    "fail nvmlInitWithFlags NO_PERMISSION": "no-permission",
    "fail nvmlInitWithFlags GPU_IS_LOST": "gpu-lost",
    "fail nvmlInitWithFlags RESET_REQUIRED": "reset-required",
    "fail nvmlInitWithFlags FUNCTION_NOT_FOUND": "library-too-old",
    "fail nvmlInitWithFlags UNKNOWN": "driver-fault",
    "fail nvmlDeviceGetCount_v2 OPERATING_SYSTEM": "driver-fault",
}


@pytest.mark.parametrize(("line", "word"), TROUBLES.items(), ids=lambda text: text)
async def test_each_trouble_at_the_start_has_its_word_and_ends(
    world: World, gpus: NvmlGpus, line: str, word: str
) -> None:
    world.add(line)
    assert await trouble(gpus) == word
    world.drop(line)
    assert len(await gpus.inventory()) == len(await gpus.sample()) == 4


@pytest.mark.parametrize("line", [line for line in TROUBLES if "nvmlInit" not in line])
async def test_a_trouble_that_comes_while_the_driver_is_held_is_seen_at_the_next_poll(
    world: World, gpus: NvmlGpus, line: str
) -> None:
    before = await gpus.inventory()
    world.add(line)
    assert await trouble(gpus) == TROUBLES[line]
    world.drop(line)
    assert await gpus.inventory() == before


async def test_a_driver_that_goes_between_two_questions_of_a_poll_is_unknown(world: World, gpus: NvmlGpus) -> None:
    await gpus.inventory()
    world.add("fail nvmlDeviceGetPowerUsage UNINITIALIZED")
    with pytest.raises(GpusUnavailable, match="UNINITIALIZED"):
        await gpus.sample()
    world.drop("fail")
    assert all(sample.health.ok for sample in await gpus.sample())


async def test_a_driver_unloaded_and_back_is_found_again(world: World, gpus: NvmlGpus) -> None:
    before = await gpus.inventory()
    world.vanish()
    assert await trouble(gpus) == "driver-not-loaded"
    world.write("gpu 0", "gpu 1", "gpu 2", "gpu 3")
    assert await gpus.inventory() == before


async def test_no_gpus_where_there_were_four_is_unknown(world: World, gpus: NvmlGpus) -> None:
    before = await gpus.inventory()
    world.write()
    assert await trouble(gpus) == "no-gpus"
    world.write("gpu 0", "gpu 1", "gpu 2", "gpu 3")
    assert await gpus.inventory() == before


async def test_a_driver_that_never_listed_a_gpu_is_unknown_too(world: World, gpus: NvmlGpus) -> None:
    world.write()
    assert await trouble(gpus) == "no-gpus"


async def test_a_call_that_hangs_is_given_up_and_nothing_piles_up_behind_it(world: World) -> None:
    async with NvmlGpus.open(FakeClock(), answer_timeout_s=0.5) as gpus:
        await gpus.inventory()
        world.add("gpu 1 hang nvmlDeviceGetPowerUsage 60000")
        with pytest.raises(GpusUnavailable, match=r"within 0\.5 s"):
            await gpus.sample()
        async with asyncio.timeout(0.4):
            assert await trouble(gpus) == "driver-hung"
        world.drop("gpu 1 hang")
        await answering(gpus)
        assert len(await gpus.sample()) == 4


async def test_a_release_during_a_hanging_call_is_kept_to_when_it_returns(world: World) -> None:
    async with NvmlGpus.open(FakeClock(), answer_timeout_s=0.05) as gpus:
        await gpus.inventory()
        world.add("hang nvmlDeviceGetPowerUsage 60000")
        for call in (gpus.sample, gpus.release):
            with pytest.raises(GpusUnavailable) as caught:
                await call()
            assert caught.value.details["trouble"] == "driver-hung"
        world.drop("hang")
        async with asyncio.timeout(2):
            while await trouble(gpus) == "driver-hung":
                await asyncio.sleep(0.01)
        assert await trouble(gpus) == "released"


async def test_a_driver_slow_to_be_taken_is_there_when_it_is(world: World) -> None:
    async with NvmlGpus.open(FakeClock(), open_timeout_s=0.05) as gpus:
        world.add("hang nvmlInitWithFlags 60000")
        assert await trouble(gpus) == "driver-hung"
        world.drop("hang")
        await answering(gpus)


async def test_the_block_ends_in_time_though_the_driver_hangs(world: World) -> None:
    async with asyncio.timeout(1):
        async with NvmlGpus.open(FakeClock(), answer_timeout_s=0.05) as gpus:
            await gpus.inventory()
            world.add("hang nvmlDeviceGetPowerUsage 60000")
            assert await trouble_of_sample(gpus) == "driver-hung"
    world.drop("hang")


async def test_what_could_not_be_acquired_stays_released(world: World, gpus: NvmlGpus) -> None:
    await gpus.release()
    world.add("fail * LIB_RM_VERSION_MISMATCH")
    with pytest.raises(GpusUnavailable) as caught:
        await gpus.acquire()
    assert caught.value.details["trouble"] == "version-mismatch"
    world.drop("fail")
    assert await trouble(gpus) == "released"
    await gpus.acquire()
    assert len(await gpus.inventory()) == 4


async def trouble_of_sample(gpus: NvmlGpus) -> str:
    with pytest.raises(GpusUnavailable) as caught:
        await gpus.sample()
    return str(caught.value.details["trouble"])


async def answering(gpus: NvmlGpus) -> None:
    """Until the call that hung has returned."""
    async with asyncio.timeout(2):
        while True:
            try:
                await gpus.inventory()
            except GpusUnavailable:
                await asyncio.sleep(0.01)
            else:
                return


def play(folder: Path, *steps: str) -> list[str]:
    """The scene in a program of its own, which finds the library as any program does."""
    environment = os.environ | {"LD_LIBRARY_PATH": str(folder), "NVML_WORLD": str(folder / "world")}
    done = subprocess.run(
        [sys.executable, SCENE, *steps], env=environment, capture_output=True, text=True, timeout=30, check=True
    )
    answers: list[str] = json.loads(done.stdout)
    return answers


@pytest.fixture(scope="module")
def libraries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("libraries")
    for version in ("1", "2"):
        build(folder / version, version)
    return folder


@pytest.fixture
def folder(tmp_path: Path, libraries: Path) -> Path:
    (tmp_path / "libraries").symlink_to(libraries)
    (tmp_path / "world").write_text("driver 1\ngpu 0\n")
    return tmp_path


def test_an_upgraded_driver_is_met_with_its_own_library(folder: Path) -> None:
    (folder / LIBRARY).symlink_to("libraries/1/" + LIBRARY)
    assert play(folder, "poll", "mapped", "driver 2", "poll", "library 2", "poll", "mapped", "release", "mapped") == [
        "1 GPUs",
        "1",
        "version-mismatch",
        "1 GPUs",
        "2",
        "released",
        "none",
    ]


def test_a_driver_installed_while_the_daemon_runs_is_found(folder: Path) -> None:
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        assert play(folder, "poll", "library 1", "poll") == ["library-missing", "1 GPUs"]
    else:
        pytest.skip("this machine has a driver of its own")
