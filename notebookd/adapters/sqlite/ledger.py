# SPDX-License-Identifier: Apache-2.0
"""The accounts in SQLite: see :mod:`notebookd.ports.ledger`."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from notebookd.adapters.sqlite.sums import SumReads, SumWrites, use_columns, use_of
from notebookd.domain.billing import Bill, Interval, Stay, Window
from notebookd.domain.clocks import Reading
from notebookd.domain.gpu_use import GpuUse
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.run import Run, RunState
from notebookd.domain.usage import HourOfUse, Tenure

_HOUR_MS = 3_600_000
_labels = msgspec.json.Decoder(dict[str, str])


class LedgerReads(SumReads):
    """See :class:`~notebookd.ports.ledger.LedgerReader`."""

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

    def list_ended_tenures(self, window: Window, owner: str | None) -> Iterable[Tenure]:
        """The ended leases that touch the window."""
        return map(Tenure._make, self._within("tenures", window, owner))

    def list_open_tenures(self, owner: str | None, now_ms: int) -> list[Tenure]:
        """The leases that go on."""
        return [Tenure._make(row) for row in self._rows("open_tenures", {"owner": owner, "now": now_ms})]

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

    def find_names(self, notebook_ids: Collection[str]) -> Mapping[str, str]:
        """What notebooks are called."""
        return dict(self._rows("notebook_names", (json.dumps(sorted(notebook_ids)),)))

    def find_run_labels(self, run_id: RunId) -> Mapping[str, str]:
        """The labels that count for a run."""
        return next((_labels.decode(row[0]) for row in self._rows("run_labels", (run_id,))), {})

    def count_minutes(self, now_ms: int) -> int:
        """Of all stays."""
        ended = self.sum_totals() if self.keeps_sums() else self.walk_totals()
        return ended.minutes + int(self._rows("open_minutes", {"now": now_ms})[0][0])

    def _within(self, name: str, window: Window, owner: str | None) -> Iterator[Any]:
        values = {"start": window.start_ms, "end": window.end_ms, "owner": owner}
        return self._each(name if owner is None else f"{name}_of_owner", values)


class LedgerWrites(SumWrites):
    """See :class:`~notebookd.ports.ledger.LedgerWriter`."""

    @abstractmethod
    def _touch(self, notebook_id: NotebookId) -> None: ...

    async def put_interval(self, interval: Interval) -> None:
        """Insert or update a stay."""
        bill = interval.bill
        self._touch(bill.notebook_id)
        place = {"run_id": bill.run_id, "position": interval.position}
        for row in self._rows("stay", place):
            await self._sum_stay(Stay._make(row), -1)
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
        for row in self._rows("stay", place):
            await self._sum_stay(Stay._make(row))

    async def checkpoint(self, run_ids: Collection[RunId], now: Reading) -> None:
        """Open stays were seen to last."""
        runs = json.dumps(sorted(run_ids))
        await self._run("checkpoint", runs=runs, boot_id=now.boot_id, seen_at=now.at_ms, seen_boot=now.boot_ms)

    @abstractmethod
    async def _run_or(self, query: str, conflict: str, /, **values: Any) -> None: ...

    async def add_gpu_use(self, run_id: RunId, gpu_uuid: str, at_ms: int, use: GpuUse) -> None:
        """Add to an hour's use."""
        hour_ms, columns = at_ms // _HOUR_MS * _HOUR_MS, use_columns(use)
        await self._run("add_gpu_use", run_id=run_id, gpu_uuid=gpu_uuid, hour_at=hour_ms, **columns)
        await self._sum_use(HourOfUse(run_id, gpu_uuid, hour_ms, use_of(**columns)))

    async def _grant(self, run: Run, granted_ms: int) -> None:
        """Lease the run's GPUs to it."""
        for gpu_uuid in run.gpus:
            values = {"gpu_uuid": gpu_uuid, "run_id": run.id, "granted_at": granted_ms}
            for row in self._rows("ended_tenure", values):  # given back and taken again within a millisecond
                await self._sum_tenure(Tenure._make(row), -1)
            conflict = f"cannot lease GPU {gpu_uuid} to run {run.id}: it is leased"
            await self._run_or("grant", conflict, **values, notebook_id=run.notebook_id)

    async def _release(self, run_id: RunId, released_ms: int) -> None:
        """End the run's leases."""
        ended = [Tenure._make(row) for row in self._rows("open_tenures_of_run", {"run_id": run_id, "now": released_ms})]
        await self._run("release", run_id=run_id, released_at=released_ms)
        for tenure in ended:
            await self._sum_tenure(tenure)


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
    run_id, gpu_uuid, hour_ms, *use = row
    return HourOfUse(run_id, gpu_uuid, hour_ms, use_of(*use))
