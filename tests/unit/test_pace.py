# SPDX-License-Identifier: Apache-2.0
"""Who goes through in which turn of the event loop."""

from __future__ import annotations

import asyncio

import pytest

from notebookd.reconciler.pace import Pace


async def test_only_so_many_go_through_in_a_turn_and_in_their_order() -> None:
    pace, turn, passed = Pace(at_once=3), 0, []

    async def go(number: int) -> None:
        await pace.turn()
        passed.append((number, turn))

    going = [asyncio.create_task(go(number)) for number in range(10)]
    while not all(each.done() for each in going):
        await asyncio.sleep(0)
        turn += 1
    assert [number for number, _ in passed] == list(range(10))
    by_turn = [sum(1 for _, at in passed if at == each) for each in range(turn + 1)]
    assert max(by_turn) == 3


async def test_who_is_alone_waits_for_nobody() -> None:
    pace, others = Pace(at_once=1), []
    for _ in range(3):
        asyncio.get_running_loop().call_soon(others.append, True)
        await pace.turn()
        assert others == []
        await asyncio.sleep(0)
        others.clear()


async def test_who_is_cancelled_takes_nobody_s_place() -> None:
    pace = Pace(at_once=1)
    first, second, third = (asyncio.create_task(pace.turn()) for _ in range(3))
    await asyncio.sleep(0)
    assert first.done()
    second.cancel()
    async with asyncio.timeout(5):
        await third
    with pytest.raises(asyncio.CancelledError):
        await second
