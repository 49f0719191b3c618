# SPDX-License-Identifier: Apache-2.0
"""What is billed: every commenced minute of every stay in RUNNING, exact over crashes, reboots and clocks that jump.

A *stay* is measured by the boot clock, which goes only forward, counts suspend and cannot be set, from where it opened
to where it closed. The wall clock says in which minute of which month that was. Minute *k* of a stay (from 0) commences
at ``started + 60 k`` seconds and belongs to the window that holds that instant; a stay of no length has one minute. So
windows that touch add up to the whole, whatever their edges.

The end of a stay is not always the moment at which it is noticed: see :func:`closed`. All arithmetic is on whole
milliseconds, rounded down: a minute that had not commenced is never billed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from notebookd.domain.clocks import STEP_MS, Reading, wall_ms
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.notebook import Notebook
from notebookd.domain.run import Run, RunState

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """Whom a run is billed to and for what. It outlives the notebook."""

    run_id: RunId
    notebook_id: NotebookId
    name: str
    owner: str
    flavor: str
    units: int
    gpu: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tariff:
    """What is billed and for how much: states, and integer micro-units of the currency per unit of a flavor and hour.
    A flavor without a rate has no price."""

    states: frozenset[RunState] = frozenset({RunState.RUNNING})
    currency: str = "EUR"
    rates: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """One stay of a run in a billed state; ``position`` is the place of that entry in the run's history.

    ``seen`` is the last reading at which it surely lasted, of the same boot as ``started``. ``length_ms`` is None
    while it is open. The rate is the one of the day on which it opened."""

    bill: Bill
    position: int
    state: RunState
    gpus: tuple[str, ...]
    started: Reading
    seen: Reading
    currency: str
    rate: int | None = None
    length_ms: int | None = None

    @property
    def seen_ms(self) -> int:
        """How long it surely lasted."""
        return max(0, self.seen.boot_ms - self.started.boot_ms)


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """How a stay ends: when its container finished, where the engine knows; whether the container was found gone
    (else it is left at this moment); and the deadline, beyond which nothing is billed."""

    finished_at: datetime | None = None
    gone: bool = False
    deadline_at: datetime | None = None


def bill_of(notebook: Notebook, run: Run) -> Bill:
    """Whom a run is billed to."""
    return Bill(
        run_id=run.id,
        notebook_id=notebook.id,
        name=notebook.spec.name,
        owner=notebook.owner,
        flavor=run.resources.flavor,
        units=run.resources.units,
        gpu=run.resources.gpu,
    )


def opened(bill: Bill, run: Run, tariff: Tariff, now: Reading) -> Interval:
    """The stay of a run in the state that it is in, at today's rate."""
    started = replace(now, at_ms=min(wall_ms(run.state_since), now.at_ms))
    return Interval(
        bill=bill,
        position=len(run.history) - 1,
        state=run.state,
        gpus=run.gpus,
        started=started,
        seen=started,
        currency=tariff.currency,
        rate=tariff.rates.get(bill.flavor),
    )


def checkpointed(interval: Interval, now: Reading) -> Interval:
    """The stay, seen to last; another boot's reading, or an older one, says nothing about it."""
    if now.boot_id != interval.started.boot_id or now.boot_ms < interval.seen.boot_ms:
        return interval
    return replace(interval, seen=now)


def closed(interval: Interval, departure: Departure, now: Reading) -> Interval:
    """The stay with its end: the container's own, where that is known; where it is gone or the host was booted since,
    the last moment at which it was seen; else ``now``. Never after the deadline, however late that fires."""
    same_boot = now.boot_id == interval.started.boot_id
    elapsed = max(0, now.boot_ms - interval.started.boot_ms) if same_boot else None
    if departure.gone or elapsed is None:
        noticed_ms, length = interval.seen.at_ms, interval.seen_ms
    else:
        noticed_ms, length = now.at_ms, elapsed
    end_ms = noticed_ms if departure.finished_at is None else wall_ms(departure.finished_at)
    if departure.deadline_at is not None:
        end_ms = min(end_ms, wall_ms(departure.deadline_at))
    if end_ms != noticed_ms:
        length = _length_to(interval, end_ms, elapsed)
    return replace(interval, length_ms=length)


def amended(interval: Interval, finished_at: datetime) -> Interval:
    """A closed stay whose container is found to have finished before somebody ended it."""
    return replace(interval, length_ms=_length_to(interval, wall_ms(finished_at), interval.length_ms))


def _length_to(interval: Interval, end_ms: int, at_most: int | None) -> int:
    """The length of a stay that ended when the wall clock read ``end_ms``.

    The boot clock of that moment follows from the last reading; if the wall clock was stepped in between that is
    wrong, so it is held between what was seen and what has passed. Without a step, the wall clock's own difference is
    the exact one."""
    passed = end_ms - interval.seen.at_ms
    estimate = interval.seen_ms + passed
    exact = end_ms - interval.started.at_ms
    if abs(exact - estimate) <= STEP_MS:
        estimate = exact
    if passed < 0:
        return min(max(0, estimate), interval.seen_ms if at_most is None else min(interval.seen_ms, at_most))
    length = max(estimate, interval.seen_ms)
    return length if at_most is None else min(length, at_most)


def length_ms(interval: Interval, now: Reading) -> int:
    """How long a stay is, or is so far."""
    if interval.length_ms is not None:
        return interval.length_ms
    same_boot = now.boot_id == interval.started.boot_id
    return max(0, now.boot_ms - interval.started.boot_ms) if same_boot else interval.seen_ms


def minutes(length: int) -> int:
    """The minutes that commenced in a stay of so many milliseconds: at least one."""
    return -(-length // MINUTE_MS) or 1


def price(count: int, units: int, rate: int) -> int:
    """Micro-units for the first ``count`` minutes of a stay. Each unit is priced for itself and rounded down to the
    micro-unit; a later part of a stay costs what the price grows by, so parts and units add up to the whole."""
    return units * (count * rate // 60)


class Window(NamedTuple):
    """The time from ``start_ms`` up to and not including ``end_ms``, on the wall clock."""

    start_ms: int
    end_ms: int


class Stay(NamedTuple):
    """What a report needs of a stay, whom it is billed to first. A plain tuple of a row's values: a month's report goes
    through a hundred thousand of them. ``gpus`` are UUIDs with spaces between them."""

    notebook_id: str
    owner: str
    flavor: str
    name: str
    run_id: str
    units: int
    gpu: bool
    gpus: str
    started_ms: int
    length_ms: int
    rate: int | None
    currency: str


def stay(interval: Interval, now: Reading) -> Stay:
    """An interval as a report sees it ``now``."""
    bill = interval.bill
    return Stay(
        notebook_id=bill.notebook_id,
        name=bill.name,
        owner=bill.owner,
        flavor=bill.flavor,
        run_id=bill.run_id,
        units=bill.units,
        gpu=bill.gpu,
        gpus=" ".join(interval.gpus),
        started_ms=interval.started.at_ms,
        length_ms=length_ms(interval, now),
        rate=interval.rate,
        currency=interval.currency,
    )


def commenced(started_ms: int, count: int, before_ms: int) -> int:
    """How many of a stay's ``count`` minutes commence before that instant."""
    begun = -((started_ms - before_ms) // MINUTE_MS)
    return count if begun > count else max(0, begun)  # quicker than min and max, and much called


def minutes_within(started_ms: int, count: int, window: Window) -> tuple[int, int]:
    """Which of a stay's ``count`` minutes commence in a window: the number of the first, and one after the last."""
    return commenced(started_ms, count, window.start_ms), commenced(started_ms, count, window.end_ms)
