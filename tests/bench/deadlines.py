# SPDX-License-Identifier: Apache-2.0
"""A thousand deadlines, over twenty seconds and at one instant: how late the last one fires, and who waits meanwhile.

The machine is that of :mod:`tests.bench.scale`. Beside it, in turn: plain sqlite3, which makes the same statements in a
synced commit for each deadline, one after another; for deadlines that are spread, timers of a loop that does nothing
but that. Meanwhile clients in a process of their own ask the API for something every now and then.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.sqlite.writes import SqliteTransaction, Statement
from notebookd.domain.run import RunState
from tests.bench.apart import serve
from tests.bench.closed_loop import Answers, Ask, ask_in_turn, ask_of, within_ms
from tests.bench.control import loop_s, scratch
from tests.bench.figures import Figure, ratio
from tests.bench.scale import Crowd, make_crowd, serving

DEADLINES = 1_000
ASIDE = 10
"""Notebooks without a deadline, which the clients ask about."""
ROUNDS = 3
SPREAD_S = 20.0
LEAD_S = 6.0
"""From the moment at which all is on record to the first deadline: the start, and clients at rest."""
ASKED_FOR_S = 2.0
CLIENTS, EVERY_S = 4, 0.02
MOST_TIMES = 5.0
MOST_LOOPS = 12.0
"""How late a deadline may be, and how much longer somebody may wait for an answer: 50 ms where a loop takes 4."""

Commit = list[tuple[str, Any]]


@dataclass(slots=True)
class Seen:
    """What came of one round."""

    late_ms: list[float]
    commits: list[Commit] = field(default_factory=list)
    at_rest: Answers = field(default_factory=Answers)
    meanwhile: Answers = field(default_factory=Answers)


def measure_deadlines() -> list[Figure]:
    """At one instant, in rounds; then spread, once."""
    latest, plain, rest, waits, added, loops = [], [], [], [], [], []
    with scratch() as folder:
        for number in range(ROUNDS):
            loops.append(1000 * loop_s())
            seen = asyncio.run(_round(folder / f"burst-{number}", spread_s=0.0))
            latest.append(max(seen.late_ms))
            plain.append(1000 * _in_turn_s(folder / f"burst-{number}", seen.commits))
            rest.append(_slowest_ms(seen.at_rest))
            waits.append(_slowest_ms(seen.meanwhile))
            added.append(max(0.0, waits[-1] - rest[-1]))
        spread = asyncio.run(_round(folder / "spread", spread_s=SPREAD_S))
        timers = sorted(asyncio.run(_timers_late_ms(folder / "spread", spread.commits)))
    ours = Figure(name=f"{DEADLINES:,} deadlines at one instant: the latest", values=tuple(latest), unit="ms", digits=0)
    theirs = Figure(name="  plain sqlite3, one commit each, in turn", values=tuple(plain), unit="ms", digits=0)
    more = Figure(name="  so much more", values=tuple(added), unit="ms", digits=1)
    loop = Figure(name="  a calibrated loop", values=tuple(loops), unit="ms", digits=1)
    late = Figure(
        name=f"{DEADLINES:,} deadlines over {SPREAD_S:.0f} s: 99 in 100 at most",
        values=(_part(spread.late_ms, 0.99),),
        unit="ms",
        digits=1,
    )
    beside = Figure(name="  bare timers with a commit each", values=(_part(timers, 0.99),), unit="ms", digits=1)
    return [
        ours,
        theirs,
        ratio("  of that", ours, theirs, target=MOST_TIMES),
        Figure(name="  99 in 100 of the API's answers before", values=tuple(rest), unit="ms", digits=1),
        Figure(name="  99 in 100 of the API's answers meanwhile", values=tuple(waits), unit="ms", digits=1),
        more,
        ratio("  so much more, in calibrated loops", more, loop, target=MOST_LOOPS),
        late,
        beside,
        ratio("  the same, in calibrated loops", late, loop, target=MOST_LOOPS),
    ]


def _part(values: Sequence[float], part: float) -> float:
    return sorted(values)[int(len(values) * part)]


def _slowest_ms(answers: Answers) -> float:
    if answers.errors:
        raise RuntimeError(f"{len(answers.errors)} answers were none: {answers.errors[:3]}")
    return within_ms([each for taken in answers.taken_s.values() for each in taken], 0.99)


async def _round(folder: Path, *, spread_s: float) -> Seen:
    """A machine of its own, from the first deadline to the last."""
    clock = SystemClock()
    begun = time.perf_counter()
    far = clock.now() + timedelta(days=1)
    await make_crowd(folder / "trial", notebooks=DEADLINES, running=DEADLINES, deadline=lambda _: far)
    takes_s = time.perf_counter() - begun  # so long it takes on this machine, now
    first = clock.now() + timedelta(seconds=2 * takes_s + LEAD_S)
    crowd = await make_crowd(
        folder, notebooks=DEADLINES + ASIDE, running=DEADLINES, deadline=_Deadlines(first, spread_s)
    )
    path = crowd.config.paths.database
    shutil.copy(path, folder / "plain.db")
    with _noted() as made:
        async with serving(crowd) as (store, assembly, _), serve(assembly.services, folder / "api.sock") as socket:
            aside = [each for each in _ids(path) if (found := store.find_entry(each)) and not found.run.active]
            seen = Seen(late_ms=[])
            seen.at_rest = await _asked(socket, aside, ASKED_FOR_S)
            await asyncio.sleep((first - clock.now()).total_seconds() - 0.3)
            asking = asyncio.create_task(_asked(socket, aside, max(ASKED_FOR_S, spread_s)))
            while len(crowd.engine.stopped_at) < DEADLINES:
                await asyncio.sleep(0.05)
            seen.meanwhile = await asking
    seen.late_ms = _late_ms(crowd)
    seen.commits = list(_ends(made.values()))
    if len(seen.commits) != DEADLINES:
        raise RuntimeError(f"{len(seen.commits)} transactions ended a run, and {DEADLINES} runs ended")
    return seen


@dataclass(frozen=True, slots=True)
class _Deadlines:
    first: datetime
    spread_s: float

    def __call__(self, number: int) -> datetime:
        return self.first + timedelta(seconds=self.spread_s * number / DEADLINES)


def _ids(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return [row[0] for row in database.execute("SELECT id FROM notebook")]


def _late_ms(crowd: Crowd) -> list[float]:
    """From its time to the moment at which its container is told to stop, when the end is on record."""
    stopped = crowd.engine.stopped_at
    return [(stopped[name] - at).total_seconds() * 1000 for name, at in crowd.deadlines.items()]


@contextmanager
def _noted() -> Iterator[dict[SqliteTransaction, Commit]]:
    """The statements of each transaction."""
    made: dict[SqliteTransaction, Commit] = {}
    make = SqliteTransaction._make

    def note(self: SqliteTransaction, statement: Statement) -> None:
        made.setdefault(self, []).append((statement.sql, statement.values))
        make(self, statement)

    SqliteTransaction._make = note  # type: ignore[method-assign]
    try:
        yield made
    finally:
        SqliteTransaction._make = make  # type: ignore[method-assign]


def _ends(commits: Iterable[Commit]) -> Iterator[Commit]:
    """The first for each run that says that it ends: before it its container is not told to stop."""
    ended: set[str] = set()
    for statements in commits:
        for _, values in statements:
            if values.get("state") == RunState.INTERRUPTING and values["id"] not in ended:
                ended.add(values["id"])
                yield statements


def _in_turn_s(folder: Path, commits: Sequence[Commit]) -> float:
    """How long plain sqlite3 takes for them."""
    with closing(_plain(folder / "plain.db")) as database:
        begun = time.perf_counter()
        for statements in commits:
            _commit(database, statements)
        return time.perf_counter() - begun


def _plain(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
        database.execute(f"PRAGMA {pragma}")
    return database


def _commit(database: sqlite3.Connection, statements: Commit) -> None:
    database.execute("BEGIN IMMEDIATE")
    for sql, values in statements:
        database.execute(sql, values)
    database.execute("COMMIT")


async def _timers_late_ms(folder: Path, commits: Sequence[Commit]) -> list[float]:
    """The same deadlines in a loop that has nothing else to do, each with its commit: how late that is done."""
    loop, late = asyncio.get_running_loop(), []
    with closing(_plain(folder / "plain.db")) as database:
        first = loop.time() + 0.1
        for number, statements in enumerate(commits):
            at = first + SPREAD_S * number / len(commits)
            await asyncio.sleep(at - loop.time())
            _commit(database, statements)
            late.append(1000 * (loop.time() - at))
    return late


async def _asked(socket: str, notebooks: list[str], for_s: float) -> Answers:
    """What clients in a process of their own are told."""
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return await asyncio.to_thread(pool.apply, _ask, (socket, notebooks, for_s))


def _ask(socket: str, notebooks: list[str], for_s: float) -> Answers:
    return ask_in_turn(socket, wishes(notebooks), clients=CLIENTS, for_s=for_s, pause_s=EVERY_S)


def wishes(notebooks: list[str]) -> Callable[[random.Random, int], Ask]:
    """A look at a notebook, or another label for it."""

    def wish(chance: random.Random, number: int) -> Ask:
        path = f"/v1/notebook/{chance.choice(notebooks)}"
        if chance.random() < 0.5:
            return ask_of("a look", "GET", path)
        label = {"name": f"client-{number}", "value": str(chance.getrandbits(30))}
        return ask_of("a label", "PUT", f"{path}/label", label)

    return wish
