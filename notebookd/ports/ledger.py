# SPDX-License-Identifier: Apache-2.0
"""The part of the store that keeps accounts. Nothing in it is ever removed: a bill outlives its notebook."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from notebookd.domain.billing import Bill, Interval, Stay, Window
from notebookd.domain.clocks import Reading
from notebookd.domain.gpu_use import GpuUse
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.usage import HourOfUse, Tenure
from notebookd.ports.sums import SumReader, SumWriter


class LedgerReader(SumReader, Protocol):
    """Reads of the accounts. An ``owner`` of None is everybody."""

    def find_bill(self, run_id: RunId) -> Bill | None:
        """Whom a run is billed to."""
        ...

    def list_bills(self, notebook_id: NotebookId) -> list[Bill]:
        """The bills of a notebook's runs, oldest first; also of a deleted notebook."""
        ...

    def list_intervals(self, run_id: RunId) -> list[Interval]:
        """The stays of a run, oldest first."""
        ...

    def running_before_ms(self, notebook_id: NotebookId, number: int) -> int:
        """How long the runs of a notebook before the one of that number were RUNNING, by their stays."""
        ...

    def list_open_intervals(self, owner: str | None) -> list[Interval]:
        """The stays that go on."""
        ...

    def list_stays(self, window: Window, owner: str | None) -> Iterable[Stay]:
        """The closed stays that may have a minute in the window."""
        ...

    def list_ended_tenures(self, window: Window, owner: str | None) -> Iterable[Tenure]:
        """The leases that are over and touch the window."""
        ...

    def list_open_tenures(self, owner: str | None, now_ms: int) -> list[Tenure]:
        """The leases that go on, as if they ended ``now_ms``."""
        ...

    def list_run_tenures(self, run_id: RunId, now_ms: int) -> list[Tenure]:
        """The leases of a run."""
        ...

    def list_use(self, window: Window, owner: str | None) -> Iterable[HourOfUse]:
        """The use of GPUs in the hours that begin in the window."""
        ...

    def list_run_use(self, run_id: RunId) -> Mapping[str, GpuUse]:
        """What a run made of its GPUs, by UUID."""
        ...

    def find_names(self, notebook_ids: Collection[str]) -> Mapping[str, str]:
        """What notebooks are called, also deleted ones, by their ids."""
        ...

    def find_run_labels(self, run_id: RunId) -> Mapping[str, str]:
        """The labels by which a run is reported: those that its notebook had when the run ended. While it goes on, and
        where they were not kept, those that the notebook has now, or had when it was deleted."""
        ...

    def count_minutes(self, now_ms: int) -> int:
        """The minutes of all stays, of all time; those that go on by the wall clock. It takes its time."""
        ...


class LedgerWriter(SumWriter, Protocol):
    """Changes of the accounts, part of a transaction."""

    async def put_interval(self, interval: Interval) -> None:
        """Insert a stay, or update when it was seen and its length."""
        ...

    async def checkpoint(self, run_ids: Collection[RunId], now: Reading) -> None:
        """The open stays of these runs were seen to last: as :func:`~notebookd.domain.billing.checkpointed`."""
        ...

    async def add_gpu_use(self, run_id: RunId, gpu_uuid: str, at_ms: int, use: GpuUse) -> None:
        """Add what a run made of a GPU since this was last called, in the hour of that instant."""
        ...
