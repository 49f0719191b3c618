# SPDX-License-Identifier: Apache-2.0
"""What a machine's figures are at this moment, for whoever watches many machines.

They say no more than the board does to every member: who holds which GPU, by the notebook's id; no URL or token, and a
name to those alone who may see the notebook.
What would need a look through all that is on record is looked up once a minute, beside the loop.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from notebookd.domain.clocks import wall_ms
from notebookd.domain.gpu import GpuState
from notebookd.domain.notebook import Notebook
from notebookd.domain.run import NotebookState
from notebookd.domain.syncing import SyncState
from notebookd.machine.health import Health
from notebookd.machine.transfers import Transfers
from notebookd.ports.clock import Clock
from notebookd.ports.store import DiskUse, Reader, Store
from notebookd.ports.telemetry import Family
from notebookd.service.gpus import Board, BoardRow, GpuBoard

TOTALS_EVERY_S = 60.0

_GPU = ("gpu", "index")
_HELD = (*_GPU, "notebook", "user")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Totals:
    minutes: int
    snapshots: int
    snapshot_bytes: int


class Readings:
    """Reads them."""

    def __init__(
        self, store: Store, clock: Clock, gpus: GpuBoard, transfers: Transfers, health: Health, version: str
    ) -> None:
        self._store = store
        self._clock = clock
        self._gpus = gpus
        self._transfers = transfers
        self._health = health
        self._version = version
        self._totals: tuple[float, _Totals] | None = None

    async def now(self, may_see: Callable[[Notebook], bool]) -> list[Family]:
        """Every figure that is read and not counted, with the names of notebooks that the caller ``may_see``. Raises
        StoreUnavailable."""
        totals = await self._kept_totals()
        board = await self._gpus.glance()
        return [
            Family(
                name="notebookd_build_info", about="Which release", labels=("version",), samples=[((self._version,), 1)]
            ),
            *self._notebooks(),
            self._names(may_see),
            *_gpus(board),
            _held_by_user(board),
            *self._data(totals),
            *self._database(await self._store.disk_use()),
            _one("notebookd_billed_minutes_total", "Minutes billed, of all time", totals.minutes, kind="counter"),
            _one("notebookd_engine_up", "Whether the engine answered the last survey", self._health.engine_answers),
        ]

    async def _kept_totals(self) -> _Totals:
        now = self._clock.awake()
        if self._totals is None or now - self._totals[0] >= TOTALS_EVERY_S:
            fresh = await self._store.report(partial(_totals, now_ms=wall_ms(self._clock.now())))
            if self._totals is not None:  # a stay may be found to have been shorter; a counter never goes back
                fresh = replace(fresh, minutes=max(fresh.minutes, self._totals[1].minutes))
            self._totals = (now, fresh)
        return self._totals[1]

    def _notebooks(self) -> Iterable[Family]:
        counts = self._store.count_states()
        yield Family(
            name="notebookd_notebooks",
            about="Notebooks by state",
            labels=("state",),
            samples=[((str(state),), counts.get(state, 0)) for state in NotebookState],
        )
        now = self._clock.now()
        waits = [
            (now - entry.run.queued_at).total_seconds() for entry in self._store.list_unsettled() if entry.run.waiting
        ]
        yield _one("notebookd_queue_length", "Runs that wait for compute", len(waits))
        yield _one(
            "notebookd_queue_oldest_wait_seconds", "How long the oldest of them has waited", max(waits, default=0)
        )
        yield _one("notebookd_leases", "GPUs that are leased", len(self._store.list_leases()))

    def _names(self, may_see: Callable[[Notebook], bool]) -> Family:
        """Those that are up or on their way, so that there are no more of them than the machine has room for."""
        found = [entry.notebook for entry in self._store.list_unsettled()]
        return Family(
            name="notebookd_notebook_info",
            about="The name of a notebook that is up or on its way, of those that the caller may see",
            labels=("notebook", "name", "user"),
            samples=[((each.id, each.spec.name, each.owner), 1) for each in found if may_see(each)],
        )

    def _data(self, totals: _Totals) -> Iterable[Family]:
        open_ = [each.state for sync in self._store.list_open_syncs() for each in sync.transfers]
        states = (SyncState.QUEUED, SyncState.RUNNING)
        yield Family(
            name="notebookd_transfers",
            about="Transfers that have not ended, by state",
            labels=("state",),
            samples=[((str(state),), open_.count(state)) for state in states],
        )
        yield _one("notebookd_movers", "Movers at work", self._transfers.busy)
        yield _one("notebookd_movers_limit", "How many may be", self._transfers.at_once)
        yield _one("notebookd_snapshots", "Snapshots of workspaces", totals.snapshots)
        yield _one("notebookd_snapshot_bytes", "What the workspaces in them took", totals.snapshot_bytes)

    def _database(self, disk: DiskUse) -> Iterable[Family]:
        yield _one("notebookd_database_bytes", "The database, its log included", disk.database_bytes)
        yield _one("notebookd_ballast_bytes", "The reserve beside it; 0 when it was given up", disk.ballast_bytes)
        yield _one("notebookd_disk_free_bytes", "Free space where it lies", disk.free_bytes)
        if (inodes := disk.free_inodes) is not None:
            yield _one("notebookd_disk_free_inodes", "How many more files can be made there", inodes)
        yield _one("notebookd_events_total", "Events, of all time", self._store.last_event_id(), kind="counter")


def _totals(reader: Reader, now_ms: int) -> _Totals:
    snapshots, snapshot_bytes = reader.count_snapshots()
    return _Totals(minutes=reader.count_minutes(now_ms), snapshots=snapshots, snapshot_bytes=snapshot_bytes)


def _gpus(board: Board) -> Iterable[Family]:
    yield _one("notebookd_gpu_driver_up", "Whether the GPU driver answers", board.trouble is None)
    rows = board.rows
    yield Family(
        name="notebookd_gpu_info",
        about="What a GPU is",
        labels=(*_GPU, "model"),
        samples=[((*_gpu(row), row.unit.model), 1) for row in rows],
    )
    yield Family(
        name="notebookd_gpu_state",
        about="1 for the state that a GPU is in",
        labels=(*_GPU, "state"),
        samples=[((*_gpu(row), str(state)), row.state == state) for row in rows for state in GpuState],
    )
    sampled = [(row, row.sample) for row in rows if row.sample is not None]
    yield _of_gpus("utilisation_ratio", "Utilisation, 0 to 1", [(row, each.utilisation) for row, each in sampled])
    yield _of_gpus("memory_used_bytes", "Memory in use", [(row, each.memory_used_bytes) for row, each in sampled])
    yield _of_gpus("memory_total_bytes", "Memory", [(row, row.unit.memory_bytes) for row in rows])
    yield _of_gpus("temperature_celsius", "Temperature", [(row, each.temperature_c) for row, each in sampled])
    yield _of_gpus("power_watts", "Power drawn", [(row, each.power_w) for row, each in sampled])
    yield _of_gpus(
        "energy_joules_total",
        "Energy since the driver was loaded",
        [(row, each.energy_j) for row, each in sampled],
        kind="counter",
    )


def _held_by_user(board: Board) -> Family:
    held = Counter(row.holder.notebook.owner for row in board.rows if row.holder is not None)
    return Family(
        name="notebookd_user_gpus",
        about="GPUs that a user holds; none is left out",
        labels=("user",),
        samples=[((user,), count) for user, count in sorted(held.items())],
    )


def _of_gpus(name: str, about: str, values: Sequence[tuple[BoardRow, float | None]], *, kind: str = "gauge") -> Family:
    """A reading of GPUs with who holds each; what a GPU does not tell is left out."""
    return Family(
        name=f"notebookd_gpu_{name}",
        about=about,
        kind="counter" if kind == "counter" else "gauge",
        labels=_HELD,
        samples=[((*_gpu(row), *_holder(row)), value) for row, value in values if value is not None],
    )


def _gpu(row: BoardRow) -> tuple[str, str]:
    return row.unit.uuid, str(row.unit.index)


def _holder(row: BoardRow) -> tuple[str, str]:
    return (row.holder.notebook.id, row.holder.notebook.owner) if row.holder is not None else ("", "")


def _one(name: str, about: str, value: float, *, kind: str = "gauge") -> Family:
    return Family(name=name, about=about, kind="counter" if kind == "counter" else "gauge", samples=[((), value)])
