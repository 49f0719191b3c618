# SPDX-License-Identifier: Apache-2.0
"""The meter: the intervals on record, and the clocks that they are measured by.

A stay opens and closes in the transaction that changes the state, so no crash can bill it twice or forget it. Between
the two it is marked once a minute as seen, for all runs in one transaction, where their containers were surely seen
running: that is where a stay ends whose end nobody saw.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from itertools import count

from notebookd.config import Billing
from notebookd.domain.billing import Bill, Interval, Tariff, bill_of, opened
from notebookd.domain.clocks import Reading, moment, reading, troubles
from notebookd.domain.consequences import Billed, Consequences, touches_bill
from notebookd.domain.entry import Entry
from notebookd.domain.event import Event
from notebookd.domain.ids import RunId
from notebookd.domain.rules import RulesNow
from notebookd.domain.run import Run, RunState
from notebookd.errors import StoreUnavailable
from notebookd.ports.clock import Clock
from notebookd.ports.store import Store, Transaction

log = logging.getLogger(__name__)

CHECKPOINT_EVERY_S = 60.0
_CHECK_SUMS_AFTER, _CHECK_SUMS_EVERY = 60, 1440
"""Turns: an hour after the start, and once a day from then on."""
_CLOCKS = "clocks"


def tariff_of(billing: Billing) -> Tariff:
    """What the configuration says of billing."""
    return Tariff(
        states=frozenset(RunState(state) for state in billing.states), currency=billing.currency, rates=billing.rates
    )


class Meter:
    """Keeps the intervals of all runs."""

    def __init__(self, store: Store, clock: Clock, rules: RulesNow) -> None:
        self.store = store
        self._clock = clock
        self._rules = rules
        self._seen: dict[RunId, Reading] = {}
        self._last: Reading | None = None

    @property
    def tariff(self) -> Tariff:
        """What is billed, and for how much, from now on."""
        return self._rules().tariff

    def read(self) -> Reading:
        """All clocks now."""
        clock = self._clock
        return reading(clock.now(), clock.boottime(), clock.awake(), clock.boot_id())

    def saw(self, run_ids: Iterable[RunId], at: Reading) -> None:
        """The containers of these runs were seen running at that reading."""
        self._seen.update(dict.fromkeys(run_ids, at))

    def billed(self, before: Entry | None, run: Run) -> Billed:
        """What the bill stands on when ``before`` is changed to ``run``."""
        last = next(reversed(self.store.list_intervals(run.id)), None) if touches_bill(before, run) else None
        return Billed(now=self.read(), tariff=self.tariff, last=last, seen=self._seen.get(run.id))

    async def put(self, tx: Transaction, run_id: RunId, entailed: Consequences) -> None:
        """Write what a change means for the bill of a run."""
        for interval in entailed.intervals:
            await tx.put_interval(interval)
        if entailed.closes:
            self._seen.pop(run_id, None)

    async def adopt(self) -> None:
        """At a start: note what befell the clocks meanwhile, and open the stays that an older notebookd did not. Where
        the disk is full that waits: a stop must still commit."""
        try:
            await self._turn()
            kept = {interval.bill.run_id for interval in self.store.list_open_intervals(None)}
            for entry in self.store.list_unsettled():
                if entry.run.state in self.tariff.states and entry.run.id not in kept:
                    async with self.store.transaction() as tx:
                        await tx.put_interval(self._reopened(bill_of(entry.notebook, entry.run), entry.run))
        except StoreUnavailable as fault:
            log.warning("cannot note what befell the clocks: %s", fault)

    def _reopened(self, bill: Bill, run: Run) -> Interval:
        now = self.read()
        stay = opened(bill, run, self.tariff, now)
        earlier = replace(now, at_ms=stay.started.at_ms, boot_ms=now.boot_ms - (now.at_ms - stay.started.at_ms))
        earlier = replace(earlier, boot_id=run.boot_id or now.boot_id)
        return replace(stay, started=earlier, seen=earlier)

    async def run(self, on_jump: Callable[[], None]) -> None:
        """Look at the clocks and checkpoint the open stays every minute, until cancelled. ``on_jump`` is called after a
        clock jumped: timers may stand wrong."""
        for turn in count(1):
            await self._clock.sleep(CHECKPOINT_EVERY_S)
            try:
                if await self._turn():
                    on_jump()
                if turn % _CHECK_SUMS_EVERY == _CHECK_SUMS_AFTER:
                    await self.check_sums()
            except StoreUnavailable as fault:
                log.warning("cannot checkpoint the open intervals: %s", fault)

    async def check_sums(self) -> None:
        """Have reports read everything where the sums by day are not what was billed, leased and used."""
        sums, walked = await self.store.report(lambda reader: (reader.sum_totals(), reader.walk_totals()))
        if sums == walked or not self.store.keeps_sums():
            return
        log.error("the sums by day are wrong (%s, and it is %s): the next start makes them again", sums, walked)
        async with self.store.transaction() as tx:
            await tx.doubt_sums()

    async def _turn(self) -> bool:
        """One look and one checkpoint, and whether a clock jumped; nothing is written where nothing was."""
        now = self.read()
        before = self._last or self._remembered()
        jumps = troubles(before, now) if before is not None else []
        seen = dict(self._seen)
        if jumps or seen or before is None:
            async with self.store.transaction() as tx:
                for jump in jumps:
                    log.warning("%s: %s", jump.type, jump.data)
                    await tx.append(Event(type=jump.type, at=moment(now.at_ms), data=jump.data))
                for at in set(seen.values()):
                    await tx.checkpoint([run_id for run_id, each in seen.items() if each == at], at)
                await tx.put_meta(_CLOCKS, json.dumps(asdict(now)))
        self._last = now
        self._seen = {run_id: at for run_id, at in self._seen.items() if seen.get(run_id) != at}
        return bool(jumps)

    def _remembered(self) -> Reading | None:
        text = self.store.find_meta(_CLOCKS)
        return Reading(**json.loads(text)) if text is not None else None
