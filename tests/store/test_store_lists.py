# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from notebookd.adapters.sqlite import SqliteStore
from notebookd.domain.event import Event
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.run import NotebookState, RunState
from notebookd.ports.store import NotebookFilter
from tests.values import NOTEBOOK_ID, NOW, after, notebook, run

STATES = (RunState.RUNNING, RunState.PENDING, RunState.DONE, RunState.FAILED, RunState.INTERRUPTED)
OTHER = NotebookId("99999999-1111-4111-8111-111111111111")


def numbered(index: int) -> NotebookId:
    return NotebookId(f"{index:08}-0000-4000-8000-000000000000")


@pytest.fixture
async def full(store: SqliteStore) -> SqliteStore:
    """Ten notebooks: owners alternate, states go round, the labels tell parity and name."""
    async with store.transaction() as tx:
        for index in range(10):
            made = notebook(
                id=numbered(index),
                owner="alice" if index % 2 == 0 else "bob",
                name=f"n{9 - index}",
                labels={"parity": "even" if index % 2 == 0 else "odd", "a.b/c": f"v{index // 5}", "quote\"'": "%"},
                created_at=after(index),
                updated_at=after(100 - index),
                deleting_at=after(200) if index == 9 else None,
            )
            await tx.put_notebook(made)
            await tx.put_run(run(STATES[index % 5], id=RunId(f"r{index}"), notebook_id=made.id, gpus=()))
    return store


def listed(store: SqliteStore, **wish: object) -> list[int]:
    entries, total = store.list_entries(NotebookFilter(**wish))  # type: ignore[arg-type]
    assert "size" in wish or total == len(entries)
    return [int(entry.notebook.id[:8]) for entry in entries]


@pytest.mark.parametrize(
    ("wish", "found"),
    [
        ({}, list(range(10))),
        ({"descending": True}, list(range(9, -1, -1))),
        ({"sort": "spec.name"}, list(range(9, -1, -1))),
        ({"sort": "updatedAt"}, list(range(9, -1, -1))),
        ({"sort": "id", "descending": True}, list(range(9, -1, -1))),
        ({"owner": "bob"}, [1, 3, 5, 7, 9]),
        ({"owner": "nobody"}, []),
        ({"states": (NotebookState.RUNNING,)}, [0, 5]),
        ({"states": (NotebookState.STOPPED, NotebookState.FAILED)}, [2, 3, 4, 7, 8]),
        ({"states": (NotebookState.DELETING,)}, [9]),
        ({"labels": (("parity", "odd"),)}, [1, 3, 5, 7, 9]),
        ({"labels": (("parity", "odd"), ("a.b/c", "v1"))}, [5, 7, 9]),
        ({"labels": (("quote\"'", "%"),), "owner": "alice"}, [0, 2, 4, 6, 8]),
        ({"labels": (("parity", "ev"),)}, []),
        ({"labels": (("parity", "odd"), ("parity", "even"))}, []),
        ({"labels": (("' OR 1=1 --", "x"),)}, []),
        ({"updated_after": after(95)}, [0, 1, 2, 3, 4]),
        ({"updated_before": after(95)}, [6, 7, 8, 9]),
        ({"updated_after": after(93), "updated_before": after(96)}, [5, 6]),
    ],
)
async def test_a_list_is_of_what_was_asked_for(full: SqliteStore, wish: dict[str, object], found: list[int]) -> None:
    assert listed(full, **wish) == found


async def test_a_list_by_state_keeps_equals_in_one_order(full: SqliteStore) -> None:
    by_state = listed(full, sort="status.state")
    assert by_state == [9, 3, 8, 0, 5, 1, 6, 2, 4, 7]


@pytest.mark.parametrize("size", [1, 3, 4, 10, 99])
async def test_pages_add_up_to_the_whole(full: SqliteStore, size: int) -> None:
    pages: list[int] = []
    for page in range(1, 12):
        entries, total = full.list_entries(NotebookFilter(page=page, size=size, sort="status.state"))
        assert total == 10
        pages += [int(entry.notebook.id[:8]) for entry in entries]
    assert pages == listed(full, sort="status.state")


async def test_counts_go_by_what_the_user_sees(full: SqliteStore) -> None:
    assert full.count_states() == {
        NotebookState.RUNNING: 2,
        NotebookState.STARTING: 2,
        NotebookState.STOPPED: 3,
        NotebookState.FAILED: 2,
        NotebookState.DELETING: 1,
    }
    assert (full.count_notebooks("alice"), full.count_notebooks("bob")) == (5, 5)


async def test_a_struck_off_notebook_is_in_no_list(full: SqliteStore) -> None:
    async with full.transaction() as tx:
        await tx.strike_off(numbered(0), NOW)
    assert listed(full) == list(range(1, 10))


async def test_events_come_in_order_by_notebook_and_by_owner(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        for index in range(6):
            await tx.append(
                Event(
                    type=f"t{index}",
                    at=after(-index),
                    notebook_id=NOTEBOOK_ID if index % 2 == 0 else OTHER,
                    owner="alice" if index < 4 else "bob",
                    data={"gpus": ["GPU-0"], "n": index},
                )
            )

    def events(**wish: object) -> list[str]:
        asked = {"after": 0, "limit": 99, "notebook_id": None, "owner": None, **wish}
        return [event.type for event in store.list_events(**asked)]  # type: ignore[arg-type]

    assert events() == ["t0", "t1", "t2", "t3", "t4", "t5"]
    assert events(after=2, limit=2) == ["t2", "t3"]
    assert events(notebook_id=OTHER) == ["t1", "t3", "t5"]
    assert events(owner="bob") == ["t4", "t5"]
    assert events(notebook_id=OTHER, owner="alice", after=2) == ["t3"]
    assert events(after=6) == []
    found = store.list_events(after=5, limit=1, notebook_id=None, owner=None)
    assert [(event.id, event.at, event.data) for event in found] == [(6, after(-5), {"gpus": ["GPU-0"], "n": 5})]
    assert store.last_event_id() == 6


async def test_the_database_is_for_its_owner_alone(store: SqliteStore, path: Path) -> None:
    assert path.stat().st_mode & 0o777 == 0o600
    for beside in ("-wal", "-shm"):
        assert Path(f"{path}{beside}").stat().st_mode & 0o077 == 0
