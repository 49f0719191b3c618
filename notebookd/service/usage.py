# SPDX-License-Identifier: Apache-2.0
"""What was used and what it costs: reports over a window, and the receipt of a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from notebookd.domain.actor import Actor
from notebookd.domain.billing import MINUTE_MS, Bill, Stay, Window, length_ms, minutes, stay
from notebookd.domain.clocks import Reading, moment
from notebookd.domain.gpu_use import GpuUse
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.run import Run, RunState
from notebookd.domain.token import LabelSelector
from notebookd.domain.usage import GroupKey, Line, Party, Tally, month_of
from notebookd.errors import Forbidden, NotFound
from notebookd.ports.store import Reader, Store
from notebookd.record.meter import Meter


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a window holds by groups, in their order. ``names`` are those of the notebooks; ``currency`` is today's."""

    window: Window
    keys: tuple[GroupKey, ...]
    lines: list[tuple[tuple[str, ...], Line]]
    total: Line
    names: dict[str, str]
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

    async def report(self, actor: Actor, window: Window, keys: Sequence[GroupKey], owner: str | None = None) -> Report:
        """What the actor may see of a window; of one ``owner``, or of all that is the actor's to see."""
        if not actor.admin:
            if owner not in {None, actor.name}:
                raise Forbidden(f"cannot report the usage of {owner}: it is not yours")
            owner = actor.name
        now = self._meter.read()
        currency = self._meter.tariff.currency
        selector = actor.selector
        return await self._store.report(lambda reader: _report(reader, window, keys, owner, selector, now, currency))

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
    keys: Sequence[GroupKey],
    owner: str | None,
    selector: LabelSelector | None,
    now: Reading,
    currency: str,
) -> Report:
    tally = Tally(window, keys, lambda run_id: _party(reader, run_id))

    @cache
    def picked(notebook_id: str) -> bool:
        return selector is None or selector.picks(reader.find_labels(NotebookId(notebook_id)) or {})

    def counts(run_id: str) -> bool:
        return selector is None or picked(_party(reader, run_id).notebook_id)

    _add_stays(tally, reader, window, owner, now, picked)
    for tenure in reader.list_tenures(window, owner, now.at_ms):
        if counts(tenure.run_id):
            tally.add_tenure(tenure)
    for hour in reader.list_use(window, owner):
        if counts(hour.run_id):
            tally.add_use(hour)
    return Report(
        window=window,
        keys=tuple(keys),
        lines=list(tally.lines.items()),
        total=tally.total,
        names=tally.names,
        currency=currency,
    )


def _party(reader: Reader, run_id: str) -> Party:
    bill = reader.find_bill(RunId(run_id))
    assert bill is not None, "a run is never removed"
    return Party(notebook_id=bill.notebook_id, name=bill.name, owner=bill.owner, flavor=bill.flavor)


def _add_stays(
    tally: Tally,
    reader: Reader,
    window: Window,
    owner: str | None,
    now: Reading,
    picked: Callable[[str], bool] = lambda _: True,
) -> None:
    for row in reader.list_stays(window, owner):
        if picked(row.notebook_id):
            tally.add_stay(row)
    for interval in reader.list_open_intervals(owner):
        if picked(interval.bill.notebook_id):
            tally.add_stay(stay(interval, now))


def spent_gpu_minutes(reader: Reader, owner: str, now: Reading) -> int:
    """GPU minutes of this month (UTC) that count towards an owner's quota: for each notebook those that are billed, and
    whole minutes for which it held GPUs beyond them, such as those of an editor that boots."""
    window = month_of(now.at_ms)
    tally = Tally(window, (GroupKey.NOTEBOOK,), lambda run_id: _party(reader, run_id))
    _add_stays(tally, reader, window, owner, now)
    for tenure in reader.list_tenures(window, owner, now.at_ms):
        tally.add_tenure(tenure)
    return sum(line.gpu_minutes + line.unbilled_ms // MINUTE_MS for line in tally.lines.values())
