# SPDX-License-Identifier: Apache-2.0
"""What the store keeps of what it read: never older than a commit, never newer than one."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from notebookd.adapters.sqlite import SqliteStore
from notebookd.adapters.sqlite.writes import SqliteTransaction
from notebookd.domain.billing import Tariff, bill_of, opened
from notebookd.domain.clocks import reading
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.run import RunState
from notebookd.domain.snapshots import WorkspaceUse
from notebookd.domain.syncing import Sync, SyncCause, SyncKind
from tests import values
from tests.store.slow import held

SYNC = Sync(
    id="s",
    notebook_id=values.NOTEBOOK_ID,
    run_id=values.RUN_ID,
    kind=SyncKind.PUSH,
    cause=SyncCause.STOP,
    queued_at=values.NOW,
    transfers=(),
)
OTHER = NotebookId("33333333-3333-4333-8333-333333333333")
INTERVAL = opened(
    bill_of(values.notebook(), values.run(RunState.RUNNING)),
    values.run(RunState.RUNNING),
    Tariff(),
    reading(values.after(9), 9.0, 9.0, values.BOOT),
)
WRITES: dict[str, Callable[[SqliteTransaction], Awaitable[object]]] = {
    "notebook": lambda tx: tx.put_notebook(values.notebook(name="another", version=1)),
    "run": lambda tx: tx.put_run(values.run(RunState.RUNNING, version=1)),
    "deletion": lambda tx: tx.strike_off(values.NOTEBOOK_ID, values.NOW),
    "sync": lambda tx: tx.put_sync(SYNC),
    "snapshots": lambda tx: tx.drop_snapshots(values.NOTEBOOK_ID),
    "use": lambda tx: tx.put_workspace_use(values.NOTEBOOK_ID, WorkspaceUse(used_bytes=1, measured_at=values.NOW)),
    "interval": lambda tx: tx.put_interval(INTERVAL),
}


async def _two(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.put_notebook(values.notebook())
        await tx.put_run(values.run(RunState.RUNNING))
        await tx.put_notebook(values.notebook(id=OTHER, name="other"))
        await tx.put_run(values.run(id=RunId("44444444-4444-4444-8444-444444444444"), notebook_id=OTHER))


@pytest.mark.parametrize("what", WRITES)
async def test_a_revision_ends_with_whatever_is_written_of_the_notebook_and_no_other_does(
    store: SqliteStore, what: str
) -> None:
    await _two(store)
    mine, others = store.revision(values.NOTEBOOK_ID), store.revision(OTHER)
    assert store.revision(values.NOTEBOOK_ID) == mine
    async with store.transaction() as tx:
        await WRITES[what](tx)
    assert store.revision(values.NOTEBOOK_ID) != mine
    assert store.revision(OTHER) == others


async def test_nothing_is_kept_of_what_a_commit_on_its_way_changes(store: SqliteStore) -> None:
    await _two(store)
    before = store.find_entry(values.NOTEBOOK_ID)
    assert before is not None

    async def change() -> None:
        async with store.transaction() as tx:
            await tx.put_notebook(replace(before.notebook, owner="bob"))

    with held(store):
        changing = asyncio.create_task(change())
        await asyncio.sleep(0.01)
        revisions = [store.revision(values.NOTEBOOK_ID) for _ in range(3)]
        assert len(set(revisions)) == 3
        assert store.find_entry(values.NOTEBOOK_ID) == before
    await changing
    assert store.revision(values.NOTEBOOK_ID) not in revisions
    after = store.find_entry(values.NOTEBOOK_ID)
    assert after is not None
    assert after.notebook.owner == "bob"


async def test_what_was_kept_is_what_is_on_record(store: SqliteStore) -> None:
    """Changes at random, some of which fail, side by side with reads in and outside of transactions."""
    chance = random.Random(16)
    ids = [NotebookId(f"{number:08}-0000-4000-8000-000000000000") for number in range(5)]
    async with store.transaction() as tx:
        for number, each in enumerate(ids):
            await tx.put_notebook(values.notebook(id=each, name=f"n{number}"))
            await tx.put_run(values.run(id=RunId(f"run-{number}"), notebook_id=each))
    looks = 0

    def look() -> None:
        nonlocal looks
        for each in ids:  # a commit may be done in between, by the writer's thread
            before, found, listed, after = (
                store.look_up(each),
                store.find_entry(each),
                store.find_entries([each]),
                store.look_up(each),
            )
            assert found in (before, after)
            assert listed in ([before], [after])
        looks += 1

    async def change() -> None:
        for _ in range(20):
            await asyncio.sleep(chance.random() / 1000)
            look()
            try:
                async with store.transaction() as tx:
                    look()
                    entry = store.find_entry(chance.choice(ids))
                    assert entry is not None
                    await tx.put_notebook(replace(entry.notebook, owner=f"o{chance.random()}"))
                    await tx.put_run(replace(entry.run, hindrance=f"h{chance.random()}"))
                    look()
                    if chance.random() < 0.3:
                        raise ValueError  # noqa: TRY301 - that is what happens to it
            except ValueError:
                look()

    await asyncio.gather(*(change() for _ in range(8)))
    assert looks > 480
