# SPDX-License-Identifier: Apache-2.0
"""What was used and what it costs: reports over a window, and the receipt of a run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from notebookd.domain.actor import Actor
from notebookd.domain.billing import MINUTE_MS, Bill, Stay, Window, length_ms, minutes, stay
from notebookd.domain.clocks import Reading, moment
from notebookd.domain.entry import Entry
from notebookd.domain.gpu_use import GpuUse
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.run import Run, RunState
from notebookd.domain.snapshots import WorkspaceUse
from notebookd.domain.token import LabelSelector
from notebookd.domain.usage import GroupKey, Key, LabelKey, Line, Party, Tally, billed_to, month_of, whole_days
from notebookd.errors import Forbidden, NotFound
from notebookd.ports.store import NotebookFilter, Reader, Store
from notebookd.record.meter import Meter

_ALL = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a window holds by groups, in their order. ``names`` are those of the notebooks; ``currency`` is today's."""

    window: Window
    keys: tuple[Key, ...]
    lines: list[tuple[tuple[str, ...], Line]]
    total: Line
    names: Mapping[str, str]
    currency: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuReceipt:
    """What a run had of a GPU."""

    uuid: str
    leased_ms: int
    use: GpuUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """The bill of a run: its stays, oldest first (the last goes on where ``open``), and what it had of its GPUs."""

    bill: Bill
    run: Run
    stays: tuple[tuple[str, Stay], ...]
    open: bool
    gpus: tuple[GpuReceipt, ...]
    total: Line


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRow:
    """A notebook, how full its workspace was when it was measured (None: never), and its snapshots."""

    entry: Entry
    use: WorkspaceUse | None
    snapshots: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskReport:
    """Who fills the disk, the fullest workspace first, and the bytes that are free where the state lies."""

    rows: tuple[DiskRow, ...]
    free_bytes: int


class Usage:
    """Reads of the accounts: one's own, or everybody's for an admin."""

    def __init__(self, store: Store, meter: Meter) -> None:
        self._store = store
        self._meter = meter

    def this_month(self) -> Window:
        """The month UTC that holds now."""
        return month_of(self._meter.read().at_ms)

    def running_s(self, run: Run) -> tuple[int, int]:
        """Whole seconds that a run was RUNNING, and that its notebook was up to and with it: as they are billed, by the
        boot clock and to the true end of each stay. Where RUNNING is not billed nobody measures it, and the wall clock
        of the history has to do."""
        now = self._meter.read()
        if RunState.RUNNING not in self._meter.tariff.states:
            spent_s = run.running_time(moment(now.at_ms)).total_seconds()
            return int(spent_s), int(run.earlier_running_s + spent_s)
        stays = self._store.list_intervals(run.id)
        spent_ms = sum(length_ms(each, now) for each in stays if each.state is RunState.RUNNING)
        earlier_ms = self._store.running_before_ms(run.notebook_id, run.number) if run.number > 1 else 0
        return spent_ms // 1000, (earlier_ms + spent_ms) // 1000

    async def report(self, actor: Actor, window: Window, keys: Sequence[Key], owner: str | None = None) -> Report:
        """What the actor may see of a window; of one ``owner``, or of all that is the actor's to see."""
        if not actor.admin:
            if owner not in {None, actor.name}:
                raise Forbidden(f"cannot report the usage of {owner}: it is not yours")
            owner = actor.name
        now = self._meter.read()
        currency = self._meter.tariff.currency
        selector = actor.selector
        return await self._store.report(lambda reader: _report(reader, window, keys, owner, selector, now, currency))

    async def disk(self, actor: Actor) -> DiskReport:
        """How full the workspaces are that the actor may see, as they were measured last: while a notebook runs, and
        when files come in or a snapshot is taken."""
        disk = await self._store.disk_use()
        rows = await self._store.report(lambda reader: _disk_rows(reader, actor))
        return DiskReport(rows=rows, free_bytes=disk.free_bytes)

    def receipt(self, actor: Actor, notebook_id: NotebookId, number: int | None = None) -> Receipt:
        """The bill of a notebook's latest run, or of the run of that number; also of a deleted notebook."""
        bills = self._store.list_bills(notebook_id)
        seen = bool(bills) and actor.may_see(bills[-1].owner, self._store.find_labels(notebook_id) or {})
        if not bills or (actor.token and not seen):
            raise NotFound(f"cannot get the receipt of notebook {notebook_id}: there is none of that id")
        if not seen:
            raise Forbidden(f"cannot get the receipt of notebook {notebook_id}: it is not yours")
        runs = self._store.list_runs(notebook_id)
        run = runs[-1] if number is None else next((each for each in runs if each.number == number), None)
        if run is None:
            raise NotFound(f"cannot get the receipt of run {number} of notebook {notebook_id}: it had {len(runs)} runs")
        return self._receipt(next(each for each in bills if each.run_id == run.id), run)

    def _receipt(self, bill: Bill, run: Run) -> Receipt:
        now = self._meter.read()
        intervals = self._store.list_intervals(bill.run_id)
        stays = tuple((str(each.state), stay(each, now)) for each in intervals)
        used = self._store.list_run_use(bill.run_id)
        leased: dict[str, int] = {}
        for tenure in self._store.list_run_tenures(bill.run_id, now.at_ms):
            held = max(0, tenure.released_ms - tenure.granted_ms)
            leased[tenure.gpu_uuid] = leased.get(tenure.gpu_uuid, 0) + held
        total = Line(leased_ms=sum(leased.values()))
        for _, each in stays:
            total.bill(each, 0, minutes(each.length_ms), each.units)
        for use in used.values():
            total.use = total.use.plus(use)
        return Receipt(
            bill=bill,
            run=run,
            stays=stays,
            open=any(each.length_ms is None for each in intervals),
            gpus=tuple(GpuReceipt(uuid=uuid, leased_ms=leased[uuid], use=used.get(uuid, GpuUse())) for uuid in leased),
            total=total,
        )


def _report(
    reader: Reader,
    window: Window,
    keys: Sequence[Key],
    owner: str | None,
    selector: LabelSelector | None,
    now: Reading,
    currency: str,
) -> Report:
    tally = _Accounts(reader, owner, selector).tally(window, keys, now)
    lines = tally.lines
    names: Mapping[str, str] = {}
    if GroupKey.NOTEBOOK in keys:
        place = list(keys).index(GroupKey.NOTEBOOK)
        names = reader.find_names({group[place] for group in lines})
    return Report(
        window=window,
        keys=tuple(keys),
        lines=list(lines.items()),
        total=tally.total,
        names=names,
        currency=currency,
    )


class _Accounts:
    """What is on record of an owner, or of everybody, in the notebooks that a selector picks."""

    def __init__(self, reader: Reader, owner: str | None, selector: LabelSelector | None = None) -> None:
        self._reader = reader
        self._owner = owner
        self._selector = selector
        self._picked: dict[str, bool] = {}
        self._parties: dict[str, Party] = {}
        self._labels: dict[str, Mapping[str, str]] = {}

    def tally(self, window: Window, keys: Sequence[Key], now: Reading) -> Tally:
        """All that falls into a window. What is over comes from the sums, as far as the window is made of whole days;
        what goes on, and what lies beside whole days, is looked at one by one; by labels, everything is."""
        tally = Tally(window, keys, self._party_of, self._labels_of)
        summed = [key for key in keys if not isinstance(key, LabelKey)]
        parts: Sequence[Window] = (window,)
        if len(summed) == len(keys) and self._reader.keeps_sums():
            days, parts = whole_days(window)
            self._add_days(tally, days, summed)
        for part in parts:
            if part.start_ms < part.end_ms:
                self._add_part(tally, part)
        for interval in self._reader.list_open_intervals(self._owner):
            if self._picks(interval.bill.notebook_id):
                tally.add_stay(stay(interval, now))
        for tenure in self._reader.list_open_tenures(self._owner, now.at_ms):
            if self._picks_run(tenure.run_id):
                tally.add_tenure(tenure)
        return tally

    def _add_days(self, tally: Tally, days: Window, keys: Collection[GroupKey]) -> None:
        told_apart = keys if self._selector is None else {*keys, GroupKey.NOTEBOOK}
        for cell in self._reader.list_sums(days, told_apart, self._owner):
            if self._picks(cell.party.notebook_id):
                tally.add_cell(cell)

    def _add_part(self, tally: Tally, part: Window) -> None:
        for row in self._reader.list_stays(part, self._owner):
            if self._picks(row.notebook_id):
                tally.add_stay(row, part)
        for tenure in self._reader.list_ended_tenures(part, self._owner):
            if self._picks_run(tenure.run_id):
                tally.add_tenure(tenure, part)
        for hour in self._reader.list_use(part, self._owner):
            if self._picks_run(hour.run_id):
                tally.add_use(hour, part)

    def _picks(self, notebook_id: str) -> bool:
        if self._selector is None:
            return True
        if notebook_id not in self._picked:
            labels = self._reader.find_labels(NotebookId(notebook_id)) or {}
            self._picked[notebook_id] = self._selector.picks(labels)
        return self._picked[notebook_id]

    def _picks_run(self, run_id: str) -> bool:
        return self._selector is None or self._picks(self._party_of(run_id).notebook_id)

    def _labels_of(self, run_id: str) -> Mapping[str, str]:
        if run_id not in self._labels:
            self._labels[run_id] = self._reader.find_run_labels(RunId(run_id))
        return self._labels[run_id]

    def _party_of(self, run_id: str) -> Party:
        if run_id not in self._parties:
            bill = self._reader.find_bill(RunId(run_id))
            assert bill is not None, "a run is never removed"
            self._parties[run_id] = billed_to(bill)
        return self._parties[run_id]


def spent_gpu_minutes(reader: Reader, owner: str, now: Reading) -> int:
    """GPU minutes of this month (UTC) that count towards an owner's quota: for each notebook those that are billed, and
    whole minutes for which it held GPUs beyond them, such as those of an editor that boots."""
    tally = _Accounts(reader, owner).tally(month_of(now.at_ms), (GroupKey.NOTEBOOK,), now)
    return sum(line.gpu_minutes + line.unbilled_ms // MINUTE_MS for line in tally.lines.values())


def _disk_rows(reader: Reader, actor: Actor) -> tuple[DiskRow, ...]:
    entries, _ = reader.list_entries(NotebookFilter(owner=None if actor.admin else actor.name, size=_ALL))
    rows = [
        DiskRow(
            entry=entry,
            use=reader.find_workspace_use(entry.notebook.id),
            snapshots=len(reader.list_snapshots(entry.notebook.id)),
        )
        for entry in entries
        if actor.may_see(entry.notebook.owner, entry.notebook.spec.labels)
    ]
    return tuple(sorted(rows, key=lambda row: (-(row.use.used_bytes if row.use else -1), row.entry.notebook.spec.name)))
