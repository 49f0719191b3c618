# SPDX-License-Identifier: Apache-2.0
"""The accounts in SQLite: see :mod:`notebookd.ports.ledger`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from notebookd.domain.billing import Bill, Interval, Stay, Window
from notebookd.domain.clocks import Reading
from notebookd.domain.gpu_use import GpuUse
from notebookd.domain.run import NotebookId, RunId, RunState
from notebookd.domain.usage import HourOfUse, Tenure

_HOUR_MS = 3_600_000


class LedgerReads(ABC):
    """See :class:`~notebookd.ports.ledger.LedgerReader`."""

    @abstractmethod
    def _rows(self, name: str, values: Any = ()) -> list[Any]: ...

    def find_bill(self, run_id: RunId) -> Bill | None:
        """Whom a run is billed to."""
        return next(map(_bill, self._rows("bill", (run_id,))), None)

    def list_bills(self, notebook_id: NotebookId) -> list[Bill]:
        """The bills of a notebook's runs."""
        return [_bill(row) for row in self._rows("bills", (notebook_id,))]

    def list_intervals(self, run_id: RunId) -> list[Interval]:
        """The stays of a run."""
        return [_interval(row) for row in self._rows("intervals", (run_id,))]

    def list_open_intervals(self, owner: str | None) -> list[Interval]:
        """The stays that go on."""
        return [_interval(row) for row in self._rows("open_intervals", {"owner": owner})]

    def list_stays(self, window: Window, owner: str | None) -> Iterable[Stay]:
        """The closed stays that may have a minute in the window."""
        values = {"start": window.start_ms, "end": window.end_ms, "owner": owner}
        rows = self._rows("stays" if owner is None else "stays_of_owner", values)
        return (Stay._make((*row[:6], row[6] == 1, _uuids(row[7]), *row[8:])) for row in rows)

    def list_tenures(self, window: Window, owner: str | None, now_ms: int) -> Iterable[Tenure]:
        """The leases that touch the window."""
        values = {"start": window.start_ms, "end": window.end_ms, "owner": owner, "now": now_ms}
        return map(Tenure._make, self._rows("tenures", values))

    def list_run_tenures(self, run_id: RunId, now_ms: int) -> list[Tenure]:
        """The leases of a run."""
        return [Tenure._make(row) for row in self._rows("tenures_of_run", {"run_id": run_id, "now": now_ms})]

    def list_use(self, window: Window, owner: str | None) -> Iterable[HourOfUse]:
        """The use of GPUs in the hours that begin in the window."""
        values = {"start": window.start_ms, "end": window.end_ms, "owner": owner}
        return (HourOfUse._make((*row[:6], _use(row[6:]))) for row in self._rows("uses", values))

    def list_run_use(self, run_id: RunId) -> Mapping[str, GpuUse]:
        """What a run made of its GPUs."""
        return {row[0]: _use(row[1:]) for row in self._rows("uses_of_run", (run_id,))}


class LedgerWrites(ABC):
    """See :class:`~notebookd.ports.ledger.LedgerWriter`."""

    @abstractmethod
    async def _run(self, query: str, /, **values: Any) -> None: ...

    async def put_bill(self, bill: Bill) -> None:
        """Remember whom a run is billed to."""
        await self._run(
            "put_bill",
            run_id=bill.run_id,
            notebook_id=bill.notebook_id,
            number=bill.number,
            name=bill.name,
            owner=bill.owner,
            flavor=bill.flavor,
            units=bill.units,
            gpu=bill.gpu,
        )

    async def put_interval(self, interval: Interval) -> None:
        """Insert or update a stay."""
        await self._run(
            "put_interval",
            run_id=interval.run_id,
            position=interval.position,
            owner=interval.owner,
            state=str(interval.state),
            gpus=json.dumps(interval.gpus),
            boot_id=interval.started.boot_id,
            started_at=interval.started.at_ms,
            started_boot=interval.started.boot_ms,
            seen_at=interval.seen.at_ms,
            seen_boot=interval.seen.boot_ms,
            length=interval.length_ms,
            rate=interval.rate,
            currency=interval.currency,
        )

    async def checkpoint(self, run_ids: Collection[RunId], now: Reading) -> None:
        """Open stays were seen to last."""
        runs = json.dumps(sorted(run_ids))
        await self._run("checkpoint", runs=runs, boot_id=now.boot_id, seen_at=now.at_ms, seen_boot=now.boot_ms)

    async def add_gpu_use(self, run_id: RunId, gpu_uuid: str, at_ms: int, use: GpuUse) -> None:
        """Add to an hour's use."""
        await self._run(
            "add_gpu_use",
            run_id=run_id,
            gpu_uuid=gpu_uuid,
            hour_at=at_ms // _HOUR_MS * _HOUR_MS,
            sampled=round(use.sampled_s * 1000),
            busy=round(use.busy_s * 1000),
            peak_utilisation=round(use.peak_utilisation * 1000),
            peak_memory=use.peak_memory_bytes,
            energy=round(use.energy_j * 1000),
        )


def _bill(row: tuple[Any, ...]) -> Bill:
    return Bill(
        run_id=RunId(row[0]),
        notebook_id=NotebookId(row[1]),
        number=row[2],
        name=row[3],
        owner=row[4],
        flavor=row[5],
        units=row[6],
        gpu=row[7] == 1,
    )


def _interval(row: tuple[Any, ...]) -> Interval:
    run_id, position, owner, state, gpus, boot_id, started_at, started_boot, seen_at, seen_boot = row[:10]
    return Interval(
        run_id=RunId(run_id),
        position=position,
        owner=owner,
        state=RunState(state),
        gpus=_uuids(gpus),
        started=Reading(at_ms=started_at, boot_ms=started_boot, boot_id=boot_id),
        seen=Reading(at_ms=seen_at, boot_ms=seen_boot, boot_id=boot_id),
        length_ms=row[10],
        rate=row[11],
        currency=row[12],
    )


def _uuids(text: str) -> tuple[str, ...]:
    return () if text == "[]" else tuple(json.loads(text))


def _use(row: tuple[int, ...]) -> GpuUse:
    sampled, busy, peak_utilisation, peak_memory, energy = row
    return GpuUse(
        sampled_s=sampled / 1000,
        busy_s=busy / 1000,
        peak_utilisation=peak_utilisation / 1000,
        peak_memory_bytes=peak_memory,
        energy_j=energy / 1000,
    )
