# SPDX-License-Identifier: Apache-2.0
"""The accounts in SQLite: see :mod:`notebookd.ports.ledger`."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from notebookd.domain.billing import Bill, Interval, Stay, Window
from notebookd.domain.clocks import Reading
from notebookd.domain.gpu_use import GpuUse
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.run import RunState
from notebookd.domain.usage import HourOfUse, Tenure

_HOUR_MS = 3_600_000


class LedgerReads(ABC):
    """See :class:`~notebookd.ports.ledger.LedgerReader`."""

    @abstractmethod
    def _rows(self, name: str, values: Any = ()) -> list[Any]: ...

    @abstractmethod
    def _each(self, name: str, values: Any = ()) -> Iterator[Any]: ...

    def find_bill(self, run_id: RunId) -> Bill | None:
        """Whom a run is billed to."""
        return next(map(_bill, self._rows("bill", (run_id,))), None)

    def list_bills(self, notebook_id: NotebookId) -> list[Bill]:
        """The bills of a notebook's runs."""
        return [_bill(row) for row in self._rows("bills", (notebook_id,))]

    def list_intervals(self, run_id: RunId) -> list[Interval]:
        """The stays of a run."""
        return [_interval(row) for row in self._rows("intervals", (run_id,))]

    def running_before_ms(self, notebook_id: NotebookId, number: int) -> int:
        """How long the runs of a notebook before that number were RUNNING."""
        (row,) = self._rows("running_before", {"notebook_id": notebook_id, "number": number})
        return int(row[0])

    def list_open_intervals(self, owner: str | None) -> list[Interval]:
        """The stays that go on."""
        return [_interval(row) for row in self._rows("open_intervals", {"owner": owner})]

    def list_stays(self, window: Window, owner: str | None) -> Iterable[Stay]:
        """The closed stays that may have a minute in the window."""
        return map(Stay._make, self._within("stays", window, owner))

    def list_tenures(self, window: Window, owner: str | None, now_ms: int) -> Iterable[Tenure]:
        """The leases that touch the window."""
        return map(Tenure._make, self._within("tenures", window, owner, now_ms))

    def list_run_tenures(self, run_id: RunId, now_ms: int) -> list[Tenure]:
        """The leases of a run."""
        return [Tenure._make(row) for row in self._rows("tenures_of_run", {"run_id": run_id, "now": now_ms})]

    def list_use(self, window: Window, owner: str | None) -> Iterable[HourOfUse]:
        """The use of GPUs in the hours that begin in the window."""
        return map(_hour, self._within("uses", window, owner))

    def list_run_use(self, run_id: RunId) -> Mapping[str, GpuUse]:
        """What a run made of its GPUs."""
        hours = map(_hour, self._rows("uses_of_run", (run_id,)))
        return {hour.gpu_uuid: hour.use for hour in hours}

    def count_minutes(self, now_ms: int) -> int:
        """Of all stays."""
        return int(self._rows("count_minutes", {"now": now_ms})[0][0])

    def _within(self, name: str, window: Window, owner: str | None, now_ms: int | None = None) -> Iterator[Any]:
        values = {"start": window.start_ms, "end": window.end_ms, "owner": owner, "now": now_ms}
        return self._each(name if owner is None else f"{name}_of_owner", values)


class LedgerWrites(ABC):
    """See :class:`~notebookd.ports.ledger.LedgerWriter`."""

    @abstractmethod
    async def _run(self, query: str, /, **values: Any) -> None: ...

    async def put_interval(self, interval: Interval) -> None:
        """Insert or update a stay."""
        bill = interval.bill
        await self._run(
            "put_interval",
            notebook_id=bill.notebook_id,
            name=bill.name,
            owner=bill.owner,
            flavor=bill.flavor,
            run_id=bill.run_id,
            units=bill.units,
            gpu=bill.gpu,
            gpus=" ".join(interval.gpus),
            started_at=interval.started.at_ms,
            length=interval.length_ms,
            rate=interval.rate,
            currency=interval.currency,
            position=interval.position,
            state=str(interval.state),
            boot_id=interval.started.boot_id,
            started_boot=interval.started.boot_ms,
            seen_at=interval.seen.at_ms,
            seen_boot=interval.seen.boot_ms,
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
    run_id, notebook_id, name, owner, flavor, units, gpu = row
    return Bill(
        run_id=RunId(run_id),
        notebook_id=NotebookId(notebook_id),
        name=name,
        owner=owner,
        flavor=flavor,
        units=units,
        gpu=gpu == 1,
    )


def _interval(row: tuple[Any, ...]) -> Interval:
    stay = Stay._make(row[:12])
    position, state, boot_id, started_boot, seen_at, seen_boot = row[12:]
    return Interval(
        bill=_bill((stay.run_id, stay.notebook_id, stay.name, stay.owner, stay.flavor, stay.units, stay.gpu)),
        position=position,
        state=RunState(state),
        gpus=tuple(stay.gpus.split()),
        started=Reading(at_ms=stay.started_ms, boot_ms=started_boot, boot_id=boot_id),
        seen=Reading(at_ms=seen_at, boot_ms=seen_boot, boot_id=boot_id),
        length_ms=stay.length_ms,
        rate=stay.rate,
        currency=stay.currency,
    )


def _hour(row: tuple[Any, ...]) -> HourOfUse:
    run_id, gpu_uuid, hour_ms, sampled, busy, peak_utilisation, peak_memory, energy = row
    use = GpuUse(
        sampled_s=sampled / 1000,
        busy_s=busy / 1000,
        peak_utilisation=peak_utilisation / 1000,
        peak_memory_bytes=peak_memory,
        energy_j=energy / 1000,
    )
    return HourOfUse(run_id, gpu_uuid, hour_ms, use)
