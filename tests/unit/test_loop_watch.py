# SPDX-License-Identifier: Apache-2.0
"""What is said of a loop that is held up."""

from __future__ import annotations

import asyncio
import hashlib
import time

from notebookd.adapters.loop_watch import Block, LoopWatch
from tests.loops import Seen, is_the_daemons


def run(work: object) -> list[Block]:
    seen: list[Block] = []
    with LoopWatch(seen.append, least_s=0.05) as watch, asyncio.Runner(loop_factory=watch.make_loop) as runner:
        runner.run(work)  # type: ignore[arg-type]
    return seen


def doze() -> None:
    time.sleep(0.2)


async def test_who_blocks_is_named_with_how_long() -> None:
    async def blocks() -> None:
        await asyncio.sleep(0)
        doze()
        await asyncio.sleep(0)

    (block,) = await asyncio.to_thread(run, blocks())
    assert 0.2 <= block.seconds < 2
    assert block.own_s > 0.15
    assert block.where[0].startswith("tests/unit/test_loop_watch.py:")
    assert block.where[0].endswith(" doze")
    assert "doze" in str(block)
    assert not is_the_daemons(block)


async def test_waiting_and_work_in_threads_are_no_blocks() -> None:
    async def waits() -> None:
        await asyncio.sleep(0.2)
        await asyncio.to_thread(doze)
        await asyncio.to_thread(hashlib.sha256, b"x" * 1000)

    assert await asyncio.to_thread(run, waits()) == []


def test_the_daemons_are_told_from_the_tests_own_and_the_fakes() -> None:
    def block(*where: str) -> Block:
        return Block(seconds=0.1, waited_s=0.02, where=where)

    ours = block("python3.11/pwd.py:1 x", "notebookd/api/peers.py:3 y", "asyncio/events.py:80 _run")
    tests = block("notebookd/adapters/sqlite/store.py:3 y", "tests/api/test_x.py:3 z", "asyncio/events.py:80 _run")
    fake = block("notebookd/testing/engine.py:3 y", "notebookd/reconciler/reconciler.py:3 z")
    nobody = block()
    assert [is_the_daemons(each) for each in (ours, tests, fake, nobody)] == [True, False, False, True]
    seen = Seen(blocks=[tests, ours])
    assert seen.daemons == [ours]
    assert seen.line().startswith(
        "1 times over 20 ms, 1 over 50 ms, the longest held up for 100 ms (20 ms for a CPU) at"
    )
