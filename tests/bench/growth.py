# SPDX-License-Identifier: Apache-2.0
"""What a year of history costs: ten thousand notebooks, a thousand running, with a year's past and with a hundredth.

The two stores take turns. The notebook that is asked about has as long a past in either, so what is asked all day may
not cost more for all the rest that lies in the store. A backup copies all of it, and stands beside a plain copy.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.sqlite import SqliteStore
from notebookd.assembly import Assembly
from notebookd.domain.actor import Actor, Role
from notebookd.domain.billing import Window
from notebookd.domain.clocks import Reading, reading, wall_ms
from notebookd.domain.ids import NotebookId
from notebookd.domain.usage import GroupKey, month_of
from notebookd.ports.store import NotebookFilter
from notebookd.service.usage import spent_gpu_minutes
from tests.bench.control import scratch
from tests.bench.figures import Figure, ratio
from tests.bench.history import Stays, add_events, add_stays, books_of, connected
from tests.bench.scale import NOTEBOOKS, RUNNING, Crowd, make_crowd, serving

EVENTS, STAYS = 5_000_000, 1_000_000
SHARE = 100
"""The young store has so much less of both, all of it the past of so many fewer notebooks."""
STARTS, ROUNDS, ASKED = 3, 7, 20
MOST, MOST_START, MOST_BACKUP = 1.5, 1.3, 3.0
PAGE = 100
ADMIN = Actor(name="root", role=Role.ADMIN)
Question = Callable[[SqliteStore, Assembly], Awaitable[object]]


def measure_growth() -> list[Figure]:
    """Starts, then questions, then backups."""
    with scratch() as folder:
        return asyncio.run(_measure(folder))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """The same crowd twice."""

    young: Crowd
    old: Crowd


async def _measure(folder: Path) -> list[Figure]:
    far = SystemClock().now() + timedelta(days=7)
    pair = Pair(
        young=await make_crowd(folder / "young", notebooks=NOTEBOOKS, running=RUNNING, deadline=lambda _: far),
        old=await make_crowd(folder / "old", notebooks=NOTEBOOKS, running=RUNNING, deadline=lambda _: far),
    )
    _age(pair.young, SHARE)
    _age(pair.old)
    figures = [*await _starts(pair)]
    async with serving(pair.young) as (young, young_daemon, _), serving(pair.old) as (old, old_daemon, _):
        for name, ask in QUESTIONS.items():
            ours, theirs = [], []
            for _ in range(ROUNDS):
                theirs.append(await _asked_ms(ask, young, young_daemon))
                ours.append(await _asked_ms(ask, old, old_daemon))
            grows_by_itself = ask is _month  # it has a hundred times as much to say
            figures += _beside(name, ours, theirs, None if grows_by_itself else MOST, "ms")
        figures += await _backups(old, pair.old.config.paths.database)
    return figures


def _age(crowd: Crowd, share: int = 1) -> None:
    database, now_ms = crowd.config.paths.database, wall_ms(SystemClock().now())
    year = Window(now_ms - 365 * 86_400_000, now_ms)
    with closing(connected(database)) as connection:
        books = books_of(connection)[: NOTEBOOKS // share]
    add_stays(database, books, Stays(count=STAYS // share, window=year))
    add_events(database, books, EVENTS // share, year)


async def _starts(pair: Pair) -> list[Figure]:
    begun = time.perf_counter()
    async with SqliteStore.open(pair.old.config.paths.database, datetime.now(UTC)):
        made_s = time.perf_counter() - begun
    ours, theirs = [], []
    for number in range(STARTS + 1):
        for crowd, taken in ((pair.young, theirs), (pair.old, ours)):
            crowd.engine.calls.clear()
            async with serving(crowd) as (_, _, start):
                if number:  # the first of all writes the routes
                    taken.append(start.adopted_s)
    name = f"a start, every running notebook looked at: {EVENTS:,} events, {STAYS:,} stays"
    return [
        Figure(name="the start that makes the sums", values=(made_s,), unit="s", digits=1),
        *_beside(name, ours, theirs, MOST_START, "s"),
    ]


def _beside(name: str, ours: list[float], theirs: list[float], target: float | None, unit: str) -> list[Figure]:
    old, young = (
        Figure(name=each, values=tuple(taken), unit=unit)
        for each, taken in ((name, ours), ("  with a hundredth of the past", theirs))
    )
    return [old, young, ratio("  over that", old, young, target=target)]


async def _asked_ms(ask: Question, store: SqliteStore, daemon: Assembly) -> float:
    begun = time.perf_counter()
    for _ in range(ASKED):
        await ask(store, daemon)
    return (time.perf_counter() - begun) / ASKED * 1000


async def _list(store: SqliteStore, _: Assembly) -> object:
    return store.list_entries(NotebookFilter(size=PAGE))


async def _list_of_owner(store: SqliteStore, _: Assembly) -> object:
    return store.list_entries(NotebookFilter(size=PAGE, owner="user-7"))


def _now() -> Reading:
    clock = SystemClock()
    return reading(clock.now(), clock.boottime(), clock.awake(), clock.boot_id())


def _some(store: SqliteStore) -> NotebookId:
    found = store.find_named("user-7", "notebook-7")
    assert found is not None
    return found


async def _newest_events(store: SqliteStore, _: Assembly) -> object:
    return store.list_events(after=max(0, store.last_event_id() - PAGE), limit=PAGE, notebook_id=None, owner=None)


async def _events_of_notebook(store: SqliteStore, _: Assembly) -> object:
    return store.list_events(after=0, limit=PAGE, notebook_id=_some(store), owner=None)


async def _why(store: SqliteStore, daemon: Assembly) -> object:
    entry = store.find_entry(_some(store))
    assert entry is not None
    return daemon.services.reasons.sentences(entry)


async def _receipt(store: SqliteStore, daemon: Assembly) -> object:
    return daemon.services.usage.receipt(ADMIN, _some(store), 1)


async def _quota(store: SqliteStore, _: Assembly) -> object:
    return spent_gpu_minutes(store, "user-7", _now())


async def _month(_: SqliteStore, daemon: Assembly) -> object:
    month = month_of(wall_ms(datetime.now(UTC)))
    return await daemon.services.usage.report(ADMIN, month, (GroupKey.USER,))


QUESTIONS: dict[str, Question] = {
    "a page of the list": _list,
    "a page of one owner's": _list_of_owner,
    "the newest events": _newest_events,
    "a notebook's first events": _events_of_notebook,
    "why": _why,
    "the receipt of a run": _receipt,
    "GPU minutes spent this month": _quota,
    "usage of this month by user": _month,
}


def _write(copy: BinaryIO, target: Path) -> None:
    with target.open("wb") as sink:
        shutil.copyfileobj(copy, sink, 1 << 20)


async def _backups(store: SqliteStore, database: Path) -> list[Figure]:
    ours, theirs = [], []
    for _ in range(STARTS):
        begun = time.perf_counter()
        await asyncio.to_thread(shutil.copyfile, database, database.with_name("copied"))
        theirs.append(time.perf_counter() - begun)
        begun = time.perf_counter()
        async with store.backup() as copy:
            await asyncio.to_thread(_write, copy, database.with_name("backup"))
        ours.append(time.perf_counter() - begun)
    backup = Figure(name="a backup of all that", values=tuple(ours), unit="s", digits=1)
    copied = Figure(
        name=f"  a plain copy of its {database.stat().st_size / 1e9:.1f} GB", values=tuple(theirs), unit="s", digits=1
    )
    return [backup, copied, ratio("  over that", backup, copied, target=MOST_BACKUP)]
