# SPDX-License-Identifier: Apache-2.0
"""What is remembered is what was written, and what must not be is refused by the database itself."""

from __future__ import annotations

import sqlite3
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notebookd.adapters.sqlite import SqliteStore, records
from notebookd.adapters.sqlite.writes import Statement
from notebookd.domain.event import Event
from notebookd.domain.gpu import GpuMarks, Quarantine
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.notebook import Notebook, NotebookSpec
from notebookd.domain.run import Outcome, Run, RunState, give_back, grant
from notebookd.errors import Conflict, StoreUnavailable
from tests.values import NOTEBOOK_ID, NOW, RUN_ID, after, granted, notebook, run

OTHER = NotebookId("99999999-1111-4111-8111-111111111111")
OTHER_RUN = RunId("99999999-2222-4222-8222-222222222222")

moments = st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
maybe = st.one_of(st.none(), moments)
specs = st.builds(NotebookSpec, labels=st.dictionaries(st.text(), st.text()))
notebooks = st.builds(
    Notebook, spec=specs, created_at=moments, updated_at=moments, deleting_at=maybe, token=st.text(), version=st.just(0)
)
runs = st.builds(
    Run,
    number=st.integers(1, 10**6),
    history=st.lists(st.tuples(moments, st.sampled_from(list(RunState))), min_size=1, max_size=6).map(tuple),
    boot_id=st.text(),
    gpus=st.lists(st.uuids().map(str), unique=True, max_size=4).map(tuple),
    **{field.name: maybe for field in fields(Run) if field.name.endswith(("_at", "restart_from"))},
    image_digest=st.text(),
    container_pid=st.integers(1, 2**22),
    outcome=st.one_of(st.none(), st.builds(Outcome)),
    exit_code=st.one_of(st.none(), st.integers(0, 255)),
    earlier_running_s=st.floats(0, 1e9),
    version=st.just(0),
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(notebooks, runs)
def test_a_record_says_everything(made: Notebook, started: Run) -> None:
    assert records.notebook(records.body(made), made.version) == made
    assert records.run(records.body(started), started.version) == started


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(made=notebooks, started=runs)
async def test_every_field_comes_back(tmp_path: Path, made: Notebook, started: Run) -> None:
    started = replace(started, notebook_id=made.id)
    path = tmp_path / "each.db"
    async with SqliteStore.open(path, NOW, ballast_bytes=1) as store:
        async with store.transaction() as tx:
            kept = await tx.put_notebook(made)
            kept_run = await tx.put_run(started)
        entry = store.find_entry(made.id)
        assert entry is not None
        assert entry.notebook == kept == replace(made, version=1)
        assert entry.run == kept_run == replace(started, version=1, place=started.place or 1)
        assert {row.gpu_uuid for row in store.list_leases()} == (set(started.gpus) if started.holds else set())
    for file in tmp_path.glob("each.db*"):
        file.unlink()


@given(st.integers(0, 4_102_444_800_000))
def test_milliseconds_come_back(at: int) -> None:
    assert records.millis(records.moment(at)) == at


async def test_versions_grow_with_each_write(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        first = await tx.put_notebook(notebook())
        begun = await tx.put_run(run())
        second = await tx.put_notebook(replace(first, token="new"))
        moved = await tx.put_run(granted(begun))
    assert (first.version, second.version, begun.version, moved.version) == (1, 2, 1, 2)
    entry = store.find_entry(NOTEBOOK_ID)
    assert entry is not None
    assert (entry.notebook, entry.run) == (second, moved)


async def test_the_entry_has_the_latest_run_and_all_are_listed(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.put_notebook(notebook())
        old = await tx.put_run(run(RunState.DONE))
        new = await tx.put_run(run(id=OTHER_RUN, number=2))
        await tx.put_run(old)
    entry = store.find_entry(NOTEBOOK_ID)
    assert entry is not None
    assert entry.run == new
    assert [(each.id, each.number) for each in store.list_runs(NOTEBOOK_ID)] == [(RUN_ID, 1), (OTHER_RUN, 2)]
    assert store.find_run_owner(RUN_ID) == store.find_run_owner(OTHER_RUN) == NOTEBOOK_ID
    assert store.find_run_owner(RunId("none")) is None


async def test_what_is_not_there_is_none(store: SqliteStore) -> None:
    assert store.find_entry(NOTEBOOK_ID) is None
    assert store.find_meta("k") is None
    assert store.find_answer("alice", "k", now=NOW) is None
    assert (store.list_leases(), store.list_gpu_marks(), store.list_unsettled()) == ([], {}, [])
    assert (store.last_event_id(), store.count_notebooks("alice"), store.count_states()) == (0, 0, {})


async def two_runs(store: SqliteStore) -> tuple[Run, Run]:
    async with store.transaction() as tx:
        await tx.put_notebook(notebook())
        await tx.put_notebook(notebook(id=OTHER, owner="bob"))
        one = await tx.put_run(granted(run()))
        two = await tx.put_run(run(id=OTHER_RUN, notebook_id=OTHER))
    return one, two


async def test_a_gpu_leased_twice_is_a_conflict_and_leaves_nothing(store: SqliteStore) -> None:
    _, two = await two_runs(store)
    with pytest.raises(Conflict, match="cannot lease GPU GPU-0"):  # noqa: PT012 - leaving the transaction raises
        async with store.transaction() as tx:
            await tx.append(Event(type="lease.granted", at=NOW))
            await tx.put_run(granted(two, gpus=("GPU-1", "GPU-0")))
    assert [(row.gpu_uuid, row.run_id) for row in store.list_leases()] == [("GPU-0", RUN_ID)]
    entry = store.find_entry(OTHER)
    assert entry is not None
    assert entry.run == two
    assert store.last_event_id() == 0


async def test_a_gpu_given_back_and_given_again_in_one_moment_is_leased(store: SqliteStore) -> None:
    before = granted(run(RunState.PENDING))
    async with store.transaction() as tx:
        await tx.put_notebook(notebook())
        given = await tx.put_run(before)
        back = await tx.put_run(give_back(given, NOW))
        assert store.list_leases() == []
        await tx.put_run(grant(back, ("GPU-0",), NOW))
    assert [(row.gpu_uuid, row.run_id) for row in store.list_leases()] == [("GPU-0", RUN_ID)]


async def test_a_released_gpu_may_be_leased_again_and_the_history_stays(store: SqliteStore, path: Path) -> None:
    one, two = await two_runs(store)
    async with store.transaction() as tx:
        freed = await tx.put_run(replace(one, released_at=after(60)))
        await tx.put_run(granted(two, at=after(60)))
        await tx.put_run(freed)
    assert [(row.gpu_uuid, row.run_id, row.granted_at) for row in store.list_leases()] == [
        ("GPU-0", OTHER_RUN, after(60))
    ]
    with sqlite3.connect(path) as look:
        rows = look.execute("SELECT gpu_uuid, run_id, released_at IS NULL FROM lease ORDER BY granted_at").fetchall()
    look.close()
    assert rows == [("GPU-0", RUN_ID, 0), ("GPU-0", OTHER_RUN, 1)]


ANOTHER_RUN = (
    "INSERT INTO run (id, notebook_id, number, state, queued_at, place, version, body) "
    "SELECT 'x', {owner}, {number}, state, queued_at, 99, version, body FROM run LIMIT 1"
)


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE run SET state = 'ASLEEP'", "CHECK constraint failed: state IN"),
        ("UPDATE run SET number = 0", "CHECK constraint failed: number > 0"),
        ("UPDATE run SET body = 'no json'", "CHECK constraint failed: json_valid"),
        ("UPDATE run SET queued_at = 'yesterday'", "cannot store TEXT value in INTEGER column run.queued_at"),
        ("UPDATE notebook SET wanted = 'perhaps'", "CHECK constraint failed: wanted IN"),
        ("UPDATE notebook SET body = '{'", "CHECK constraint failed: json_valid"),
        (ANOTHER_RUN.format(owner="notebook_id", number="number"), "UNIQUE constraint failed: run.notebook_id"),
        (ANOTHER_RUN.format(owner="'nobody'", number="9"), "FOREIGN KEY constraint failed"),
        ("INSERT INTO lease SELECT 'GPU-0', id, 0, NULL, '' FROM run WHERE id LIKE '99%'", "UNIQUE constraint failed"),
        ("INSERT INTO lease VALUES ('GPU-9', 'no run', 0, NULL, '')", "FOREIGN KEY constraint failed"),
        ("DELETE FROM notebook", "FOREIGN KEY constraint failed"),
    ],
)
async def test_the_database_refuses_what_cannot_be(store: SqliteStore, statement: str, rule: str) -> None:
    await two_runs(store)
    before = (store.find_entry(NOTEBOOK_ID), store.find_entry(OTHER), store.list_leases())
    with pytest.raises(StoreUnavailable, match=f"cannot write the database: {rule}"):
        async with store.transaction() as tx:
            tx._make(Statement(statement, {}))
    assert (store.find_entry(NOTEBOOK_ID), store.find_entry(OTHER), store.list_leases()) == before


async def test_a_tombstone_hides_the_notebook_and_keeps_its_past(store: SqliteStore) -> None:
    await two_runs(store)
    async with store.transaction() as tx:
        await tx.append(Event(type="notebook.state", at=NOW, notebook_id=NOTEBOOK_ID))
        await tx.strike_off(NOTEBOOK_ID, after(1))
    assert store.find_entry(NOTEBOOK_ID) is None
    assert (store.count_notebooks("alice"), store.count_notebooks("bob")) == (0, 1)
    assert [each.id for each in store.list_runs(NOTEBOOK_ID)] == [RUN_ID]
    assert store.find_run_owner(RUN_ID) == NOTEBOOK_ID
    assert len(store.list_events(after=0, limit=9, notebook_id=NOTEBOOK_ID, owner=None)) == 1
    assert [entry.notebook.id for entry in store.list_unsettled()] == [OTHER]


MARKED = GpuMarks(
    drained=True,
    quarantine=Quarantine(at=NOW, boot_id="b", message="Xid 79", xid=79, run_id=RUN_ID, notebook_id=NOTEBOOK_ID),
    forgiven_ecc=2,
    foreign=True,
)


async def test_marks_facts_and_answers_are_remembered(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.put_gpu_marks("GPU-0", GpuMarks(drained=True))
        await tx.put_gpu_marks("GPU-0", MARKED)
        await tx.put_meta("instance", "one")
        await tx.put_meta("instance", "two")
        await tx.put_answer("alice", "key", "digest", NOTEBOOK_ID, NOW)
    assert (store.list_gpu_marks(), store.find_meta("instance")) == ({"GPU-0": MARKED}, "two")
    assert store.find_answer("alice", "key", now=NOW) == ("digest", NOTEBOOK_ID)
    assert store.find_answer("bob", "key", now=NOW) is None
    later = NOW + timedelta(hours=24, seconds=1)
    assert store.find_answer("alice", "key", now=later) is None
    async with store.transaction() as tx:
        await tx.put_gpu_marks("GPU-0", GpuMarks())
        await tx.put_answer("bob", "key", "digest", OTHER, later)
    assert store.list_gpu_marks() == {"GPU-0": GpuMarks()}
    assert store.find_answer("alice", "key", now=NOW) is None
    assert store.find_answer("bob", "key", now=later) == ("digest", OTHER)


async def test_the_unsettled_are_what_runs_or_goes_in_the_order_of_the_queue(store: SqliteStore) -> None:
    ids = [NotebookId(f"{index}0000000-0000-4000-8000-000000000000") for index in range(len(RunState) + 1)]
    async with store.transaction() as tx:
        for index, state in enumerate(RunState):
            await tx.put_notebook(notebook(id=ids[index]))
            made = run(state, id=RunId(f"r{index}"), notebook_id=ids[index], gpus=())
            shift = timedelta(hours=-index)
            await tx.put_run(replace(made, history=tuple((at + shift, each) for at, each in made.history)))
        await tx.put_notebook(notebook(id=ids[-1], deleting_at=NOW))
        await tx.put_run(run(RunState.DONE, id=RunId("last"), notebook_id=ids[-1]))
    unsettled = store.list_unsettled()
    assert {entry.run.state for entry in unsettled if entry.notebook.deleting_at is None} == {
        state for state in RunState if run(state).active
    }
    assert len([entry for entry in unsettled if entry.notebook.deleting_at]) == 1
    places = [entry.run.place for entry in unsettled]
    assert places == sorted(places)
    assert len(set(places)) == len(places), "the wall clock went back and has no say"


async def test_the_oldest_events_are_forgotten_up_to_the_first_that_is_young_enough(store: SqliteStore) -> None:
    ages_h = (50, 49, 10, 48, 1)  # one clock was set back: what follows a young one stays
    async with store.transaction() as tx:
        for age in ages_h:
            await tx.append(Event(type="t", at=NOW - timedelta(hours=age), actor="alice"))
    async with store.transaction() as tx:
        await tx.forget_events(NOW - timedelta(hours=24), at_most=1)
    assert store.first_event_id() == 2
    async with store.transaction() as tx:
        await tx.forget_events(NOW - timedelta(hours=24), at_most=9)
    assert (store.first_event_id(), store.last_event_id()) == (3, 5)
    async with store.transaction() as tx:
        await tx.forget_events(NOW + timedelta(hours=24), at_most=9)
    assert (store.first_event_id(), store.last_event_id()) == (5, 5)


async def test_an_empty_record_has_nothing_to_forget(store: SqliteStore) -> None:
    async with store.transaction() as tx:
        await tx.forget_events(NOW, at_most=9)
    assert store.first_event_id() == 0
