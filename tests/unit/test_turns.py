# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio

import pytest

from notebookd.api.turns import Turns
from notebookd.testing.clock import FakeClock


async def test_a_persons_pieces_wait_for_each_other_and_others_go_between() -> None:
    turns, order = Turns(FakeClock()), list[str]()
    within: dict[str, int] = {"alice": 0, "bob": 0}

    async def piece(name: str) -> None:
        async with turns.of(name):
            within[name] += 1
            assert within[name] == 1
            await asyncio.sleep(0)
            order.append(name)
            within[name] -= 1

    async with asyncio.TaskGroup() as tasks:
        for _ in range(40):
            tasks.create_task(piece("alice"))
        tasks.create_task(piece("bob"))
    assert len(order) == 41
    assert order.index("bob") <= 1


async def test_a_piece_that_fails_or_is_given_up_holds_nobody_up() -> None:
    turns = Turns(FakeClock())
    begun = asyncio.Event()

    async def stuck() -> None:
        async with turns.of("alice"):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stuck())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    with pytest.raises(ZeroDivisionError):
        async with turns.of("alice"):
            assert 1 / 0
    async with asyncio.timeout(5), turns.of("alice"):
        pass
