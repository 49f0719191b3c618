# SPDX-License-Identifier: Apache-2.0
"""What is on record when all is over, read from the database past the store, and what must hold of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

from notebookd.domain.clocks import wall_ms
from notebookd.testing.house import World
from tests.scenario.play import ALICE


@dataclass(frozen=True, slots=True, kw_only=True)
class BilledStay:
    """One row of the accounts; ``length_ms`` is None while it goes on."""

    position: int
    started_ms: int
    seen_ms: int
    length_ms: int | None
    boot_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecord:
    """A run: the states that it went through with their times, and what it is billed for."""

    history: tuple[tuple[int, str], ...]
    outcome: str | None
    finished_ms: int | None
    stays: tuple[BilledStay, ...]

    @property
    def states(self) -> tuple[str, ...]:
        return tuple(state for _, state in self.history)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookRecord:
    """A notebook that is, or that was."""

    id: str
    gone: bool
    workspace_made: bool
    warnings: int
    extensions: tuple[tuple[int, int], ...]
    """When it was extended, and until when."""
    runs: tuple[RunRecord, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRecord:
    """Who had a GPU from when to when."""

    gpu: str
    run: str
    granted_ms: int
    released_ms: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """Everything, oldest first."""

    notebooks: tuple[NotebookRecord, ...]
    leases: tuple[LeaseRecord, ...]
    max_running_ms: int
    reboots: tuple[int, ...]
    transfers: tuple[tuple[str, str, int], ...]
    """Syncs: kind, cause, and whether they go on."""
    snapshots: int
    remotes: Mapping[str, Mapping[str, bytes]]
    """What lies at the remotes."""


def read_record(world: World) -> Record:
    """The record as it was committed."""
    with closing(sqlite3.connect(world.config.paths.database)) as connection:
        connection.row_factory = sqlite3.Row
        stays = connection.execute("SELECT * FROM interval ORDER BY position").fetchall()
        runs = connection.execute("SELECT * FROM run ORDER BY number").fetchall()
        told = connection.execute(
            "SELECT notebook_id, at, json_extract(body, '$.type') AS type, json_extract(body, '$.data.until') AS until "
            "FROM event WHERE type IN ('notebook.warning', 'notebook.extended', 'host.rebooted') ORDER BY id"
        ).fetchall()
        notebooks = connection.execute("SELECT * FROM notebook ORDER BY rowid").fetchall()
        syncs = connection.execute(
            "SELECT kind, json_extract(body, '$.cause'), open FROM data_sync ORDER BY queued_at, kind, id"
        ).fetchall()
        snapshots = connection.execute("SELECT count(*) FROM snapshot").fetchone()[0]
        leases = connection.execute("SELECT * FROM lease ORDER BY gpu_uuid, granted_at, rowid").fetchall()
    return Record(
        notebooks=tuple(
            NotebookRecord(
                id=each["id"],
                gone=each["deleted_at"] is not None,
                workspace_made=json.loads(each["body"])["workspace_made"],
                warnings=sum(row["notebook_id"] == each["id"] and row["type"] == "notebook.warning" for row in told),
                extensions=tuple(
                    (row["at"], _ms(row["until"]))
                    for row in told
                    if row["notebook_id"] == each["id"] and row["type"] == "notebook.extended"
                ),
                runs=tuple(_run(row, stays) for row in runs if row["notebook_id"] == each["id"]),
            )
            for each in notebooks
        ),
        leases=tuple(
            LeaseRecord(
                gpu=row["gpu_uuid"], run=row["run_id"], granted_ms=row["granted_at"], released_ms=row["released_at"]
            )
            for row in leases
        ),
        max_running_ms=round(world.policy.max_running_s * 1000),
        reboots=tuple(row["at"] for row in told if row["type"] == "host.rebooted"),
        transfers=tuple(map(tuple, syncs)),
        snapshots=snapshots,
        remotes={alias: dict(files) for alias, files in world.movers.remotes.items()},
    )


def count_orders(world: World) -> int:
    """How many orders of Alice's are on record."""
    with closing(sqlite3.connect(world.config.paths.database)) as connection:
        found = connection.execute("SELECT count(*) FROM event WHERE json_extract(body, '$.actor') = ?", (ALICE.name,))
        return int(found.fetchone()[0])


def assert_same(found: Record, expected: Record, slack_s: float) -> None:
    """Everything came as it would have without a crash, to the millisecond of what is billed. Where ``slack_s`` is
    given a stay may be longer by up to that much, and never shorter."""
    for mine, meant in zip(found.notebooks, expected.notebooks, strict=True):
        assert (mine.gone, mine.workspace_made, mine.warnings) == (meant.gone, meant.workspace_made, meant.warnings)
        for run, other in zip(mine.runs, meant.runs, strict=True):
            assert (run.states, run.outcome) == (other.states, other.outcome)
            for stay, billed in zip(run.stays, other.stays, strict=True):
                assert (stay.position, stay.started_ms) == (billed.position, billed.started_ms)
                assert (stay.length_ms is None) is (billed.length_ms is None)
                longer = (stay.length_ms or 0) - (billed.length_ms or 0)
                assert 0 <= longer <= slack_s * 1000, f"billed {longer} ms more than without a crash"
    if slack_s == 0:
        assert _spans(found) == _spans(expected)
    assert (found.transfers, found.snapshots) == (expected.transfers, expected.snapshots)
    assert found.remotes == expected.remotes


def assert_same_fate(found: Record, expected: Record) -> None:
    """Everything ended as it would have without a crash, whatever happened on the way."""
    for mine, meant in zip(found.notebooks, expected.notebooks, strict=True):
        assert (mine.gone, mine.workspace_made) == (meant.gone, meant.workspace_made)
        assert [(run.states[-1], run.outcome) for run in mine.runs] == [
            (run.states[-1], run.outcome) for run in meant.runs
        ]
    assert found.remotes == expected.remotes
    assert not any(goes_on for *_, goes_on in found.transfers)


def _spans(record: Record) -> Sequence[tuple[str, int, int | None]]:
    return [(each.gpu, each.granted_ms, each.released_ms) for each in record.leases]


def assert_never_leased_twice(record: Record) -> None:
    """At no time in the whole record does a GPU have two holders."""
    for one, later in pairwise(record.leases):
        if one.gpu == later.gpu:
            assert one.released_ms is not None, f"{one} and {later}"
            assert one.released_ms <= later.granted_ms, f"{one} and {later}"


def assert_billed_by_history(record: Record) -> None:
    """One stay for each entry into RUNNING and no other, from that moment to the one at which it was left; to the
    deadline where that was earlier; and where the container ended by itself, even if somebody ended it after that, to
    its own end if the engine knows that, else to when it was last seen."""
    for notebook in record.notebooks:
        for run in notebook.runs:
            entries = [at for at, state in run.history if state == "RUNNING"]
            assert [stay.started_ms for stay in run.stays] == entries
            for stay in run.stays:
                _assert_length(record, notebook, run, stay)


def _assert_length(record: Record, notebook: NotebookRecord, run: RunRecord, stay: BilledStay) -> None:
    assert run.history[stay.position][1] == "RUNNING"
    if stay.position + 1 == len(run.history):
        assert stay.length_ms is None, f"{stay} is closed and goes on"
        return
    assert stay.length_ms is not None, f"{stay} is open and is over"
    left_ms, following = run.history[stay.position + 1]
    end_ms = left_ms
    rebooted = any(stay.started_ms <= at <= left_ms for at in record.reboots)
    if following == "FINALIZING" or rebooted:
        end_ms = stay.seen_ms if run.finished_ms is None else max(run.finished_ms, stay.seen_ms)
    elif following == "INTERRUPTING" and run.finished_ms is not None:
        end_ms = min(left_ms, max(run.finished_ms, stay.seen_ms))  # it had ended before somebody ended it
    spans = [  # an extension in the moment of an edge may have moved this stay's deadline, or its neighbour's
        range(stay.started_ms + early, left_ms + late) for early in (0, 1) for late in (0, 1)
    ]
    deadlines = [
        max([stay.started_ms + record.max_running_ms, *(until for at, until in notebook.extensions if at in span)])
        for span in spans
    ]
    lengths = {min(end_ms, deadline) - stay.started_ms for deadline in deadlines}
    assert stay.length_ms in lengths, f"{stay} of {run}"


def _run(row: sqlite3.Row, stays: Sequence[sqlite3.Row]) -> RunRecord:
    body: dict[str, Any] = json.loads(row["body"])
    return RunRecord(
        history=tuple((_ms(at), state) for at, state in body["history"]),
        outcome=body["outcome"]["code"] if body["outcome"] else None,
        finished_ms=_ms(body["container_finished_at"]) if body["container_finished_at"] else None,
        stays=tuple(
            BilledStay(
                position=each["position"],
                started_ms=each["started_at"],
                seen_ms=each["seen_at"],
                length_ms=each["length"],
                boot_id=each["boot_id"],
            )
            for each in stays
            if each["run_id"] == row["id"]
        ),
    )


def _ms(text: str) -> int:
    return wall_ms(datetime.fromisoformat(text))
