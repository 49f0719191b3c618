# SPDX-License-Identifier: Apache-2.0
"""A whole notebookd over the driver's adapter: what the driver says in bytes that are not text stops nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest

from notebookd.adapters.nvml import NvmlGpus
from notebookd.testing.clock import FakeClock
from notebookd.testing.gpus import FakeGpus
from notebookd.testing.house import House, make_world, open_house
from tests.nvml.stand_in import World, standing_in
from tests.scenario.play import events

DAMAGED = ("gpu 0 name H\udcf8\udcff100", "gpu 0 bus \udcf8", "gpu 1 uuid GPU-\udcff", "gpu 2")


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[World]:
    with standing_in(tmp_path, "gpu 0", "gpu 1", "gpu 2") as driver:
        yield driver


async def board(house: House) -> list[tuple[str, str, str]]:
    """UUID, model and state of each GPU."""
    seen = await house.services.gpus.board()
    assert seen.trouble is None
    return [(row.unit.uuid[-4:], row.unit.model, str(row.state)) for row in seen.rows]


XIDS = {94: "free", 109: "quarantined", 63: "free", 154: "quarantined", 31: "free"}


@pytest.mark.parametrize(("xid", "state"), XIDS.items())
async def test_what_follows_from_an_xid(driver: World, tmp_path: Path, xid: int, state: str) -> None:
    async with (
        NvmlGpus.open(FakeClock()) as gpus,
        open_house(replace(make_world(tmp_path / "machine"), gpus=cast(FakeGpus, gpus))) as house,
    ):
        await board(house)
        driver.add(f"gpu 0 event xid {xid}")
        async with asyncio.timeout(5):
            while not (told := [each for each in events(house) if "xid" in each.data]):
                await house.services.gpus.board()
        assert told[0].data["message"].startswith(f"Xid {xid}, ")
        assert (await board(house))[0][2] == state


async def test_memory_that_no_process_holds_is_seen_on_the_board(driver: World, tmp_path: Path) -> None:
    async with (
        NvmlGpus.open(FakeClock()) as gpus,
        open_house(replace(make_world(tmp_path / "machine"), gpus=cast(FakeGpus, gpus))) as house,
    ):
        driver.add("gpu 0 used 70GiB", "gpu 1 used 3GiB", "gpu 1 compute 100 3GiB")
        rows = (await house.services.gpus.board()).rows
        assert [row.unit.leftover_bytes // 2**30 for row in rows] == [70, 0, 0]


async def test_bytes_that_are_not_text_outlive_a_driver_reloaded_and_a_restart(driver: World, tmp_path: Path) -> None:
    world = make_world(tmp_path / "machine")
    async with NvmlGpus.open(FakeClock()) as gpus:
        world = replace(world, gpus=cast(FakeGpus, gpus))
        async with open_house(world) as house:
            assert [state for _, _, state in await board(house)] == ["free"] * 3
            driver.vanish()
            assert (await house.services.gpus.board()).trouble
            driver.write(*DAMAGED)
            assert (await board(house))[0] == ("0000", "H\ufffd\ufffd100", "free")
        async with open_house(world) as house:
            rows = await board(house)
            assert [row for row in rows if row[2] == "free"] == [
                ("0000", "H\ufffd\ufffd100", "free"),
                ("0002", "NVIDIA Stand-in 80GB", "free"),
            ]
            assert ("\\xff", "NVIDIA Stand-in 80GB", "quarantined") in rows
