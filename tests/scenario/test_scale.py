# SPDX-License-Identifier: Apache-2.0
"""Many notebooks: all are adopted, and every deadline fires. How quickly, ``make bench`` says."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

from notebookd.adapters.clock import SystemClock
from notebookd.domain.ids import NotebookId
from notebookd.domain.run import NotebookState, RunState
from notebookd.ports.store import NotebookFilter
from tests.bench.scale import make_crowd, serving

NOTEBOOKS, RUNNING = 300, 60


async def test_what_is_overdue_among_many_ends_and_all_else_goes_on(tmp_path: Path) -> None:
    asyncio.get_running_loop().set_debug(False)
    now = SystemClock().now()
    crowd = await make_crowd(
        tmp_path,
        notebooks=NOTEBOOKS,
        running=RUNNING,
        deadline=lambda number: now + timedelta(days=7 if number % 2 else -number / 86400),
    )
    overdue = {name for name, at in crowd.deadlines.items() if at <= now}
    async with serving(crowd) as (store, _, _):
        counts = store.count_states()
        entries, total = store.list_entries(NotebookFilter(size=1000))
        assert total == NOTEBOOKS
        assert counts == {NotebookState.RUNNING: RUNNING // 2, NotebookState.STOPPED: NOTEBOOKS - RUNNING // 2}
        assert set(crowd.engine.stopped_at) == overdue
        ended = [each.run for each in entries if f"notebookd-{each.run.id}" in overdue]
        assert {run.state for run in ended} == {RunState.TIMEOUT}
        assert {each.stem for each in crowd.config.paths.routes.glob("*.json")} == {
            each.notebook.id for each in entries
        }


async def test_a_route_of_a_notebook_that_is_gone_goes_at_a_start(tmp_path: Path) -> None:
    crowd = await make_crowd(tmp_path, notebooks=3, running=1, deadline=lambda _: SystemClock().now() + timedelta(1))
    async with serving(crowd) as (store, _, _):
        gone = next(iter(store.list_entries(NotebookFilter(sort="id"))[0])).notebook.id
        async with store.transaction() as tx:
            await tx.strike_off(NotebookId(gone), SystemClock().now())
    assert (crowd.config.paths.routes / f"{gone}.json").exists()
    async with serving(crowd):
        for _ in range(3):
            await asyncio.sleep(0)
        assert not (crowd.config.paths.routes / f"{gone}.json").exists()
        assert len(list(crowd.config.paths.routes.glob("*.json"))) == 2
