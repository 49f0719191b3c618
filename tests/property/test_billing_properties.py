# SPDX-License-Identifier: Apache-2.0
"""Windows and prices add up, and no schedule of checkpoints, crashes and clock jumps bills what did not pass."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from notebookd.domain.billing import (
    MINUTE_MS,
    Departure,
    Interval,
    Stay,
    Tariff,
    Window,
    amended,
    bill_of,
    checkpointed,
    closed,
    minutes,
    minutes_within,
    opened,
    price,
)
from notebookd.domain.clocks import STEP_MS, Reading, moment, wall_ms
from notebookd.domain.gpu_use import GpuUse
from notebookd.domain.run import RunState
from notebookd.domain.usage import GroupKey, HourOfUse, LabelKey, Line, Party, Tally, Tenure
from tests.values import notebook, run

DAY = 86_400_000
BASE = wall_ms(run(RunState.RUNNING).state_since)
RUN = run(RunState.RUNNING)

lengths = st.one_of(
    st.integers(0, 40 * DAY),
    st.integers(0, 5_000).map(lambda count: count * MINUTE_MS),
    st.integers(1, 5_000).map(lambda count: count * MINUTE_MS + 1),
)
instants = st.integers(BASE - DAY, BASE + 45 * DAY)
starts = st.integers(BASE - DAY, BASE + DAY)
edges = st.lists(instants, max_size=6).map(lambda cuts: [0, *sorted(cuts), 10**15])
rates = st.one_of(st.none(), st.integers(0, 10**12))
LABELS = {"r": {"course": "ml", "Course": "ml"}, "s": {"course": "db"}, "t": {"team": "ml"}}
stays = st.builds(
    Stay,
    run_id=st.sampled_from(list(LABELS)),
    notebook_id=st.sampled_from(["n1", "n2"]),
    name=st.just("name"),
    owner=st.sampled_from(["alice", "bob"]),
    flavor=st.sampled_from(["a", "b"]),
    units=st.integers(1, 8),
    gpu=st.just(True),
    gpus=st.just(""),
    started_ms=starts,
    length_ms=lengths,
    rate=rates,
    currency=st.just("EUR"),
).map(lambda stay: stay._replace(gpus=" ".join(f"GPU-{number}" for number in range(stay.units))))
keys = st.lists(st.sampled_from([*GroupKey, LabelKey("course"), LabelKey("Course")]), unique=True)


@given(started=starts, length=lengths, cuts=edges)
def test_windows_that_touch_add_up_to_the_whole(started: int, length: int, cuts: list[int]) -> None:
    parts = [minutes_within(started, minutes(length), Window(*pair)) for pair in pairwise(cuts)]
    assert parts[0][0] == 0
    assert all(left[1] == right[0] for left, right in pairwise(parts))
    assert parts[-1][1] == minutes(length)


@given(started=starts, length=lengths, number=st.integers(0, 60_000))
def test_a_minute_is_in_the_window_of_its_first_instant(started: int, length: int, number: int) -> None:
    instant = started + number * MINUTE_MS
    first, last = minutes_within(started, minutes(length), Window(instant, instant + 1))
    assert list(range(first, last)) == ([number] if number < minutes(length) else [])


@given(count=st.integers(0, 50_000), cuts=st.lists(st.integers(0, 50_000)), units=st.integers(1, 64), rate=rates)
def test_prices_of_parts_and_units_add_up(count: int, cuts: list[int], units: int, rate: int | None) -> None:
    marks = [0, *sorted(min(cut, count) for cut in cuts), count]
    hourly = rate or 0
    parts = [price(b, units, hourly) - price(a, units, hourly) for a, b in pairwise(marks)]
    assert all(part >= 0 for part in parts)
    assert sum(parts) == price(count, units, hourly) == units * price(count, 1, hourly)
    assert 0 <= count * units * hourly / 60 - price(count, units, hourly) < units + 1e-3 * hourly


def party_of(_run_id: str) -> Party:
    return Party("n", "alice", "f")


def money(line: Line) -> int:
    return line.price.get("EUR", 0)


@settings(deadline=None)
@given(rows=st.lists(stays, max_size=6), grouping=keys, cuts=edges)
def test_a_report_s_lines_and_windows_add_up_to_its_total(
    rows: list[Stay], grouping: list[GroupKey], cuts: list[int]
) -> None:
    whole = Tally(Window(cuts[0], cuts[-1]), grouping, party_of, LABELS.__getitem__)
    windows = [Tally(Window(*pair), grouping, party_of, LABELS.__getitem__) for pair in pairwise(cuts)]
    for row in rows:
        for tally in (whole, *windows):
            tally.add_stay(row)
    assert whole.total.minutes == sum(minutes(row.length_ms) for row in rows)
    assert whole.total.gpu_minutes == sum(line.gpu_minutes for line in whole.lines.values())
    assert money(whole.total) == sum(money(line) for line in whole.lines.values())
    if GroupKey.GPU not in grouping:
        assert whole.total.minutes == sum(line.minutes for line in whole.lines.values())
    for group, line in whole.lines.items():
        same = [tally.lines[group] for tally in windows if group in tally.lines]
        assert (line.minutes, money(line)) == (sum(each.minutes for each in same), sum(map(money, same)))
    assert whole.total.minutes == sum(tally.total.minutes for tally in windows)
    for place, key in enumerate(grouping):
        if isinstance(key, LabelKey) and GroupKey.GPU not in grouping:
            for value in {LABELS[row.run_id].get(key.name, "") for row in rows}:
                expected = sum(minutes(row.length_ms) for row in rows if LABELS[row.run_id].get(key.name, "") == value)
                assert sum(line.minutes for group, line in whole.lines.items() if group[place] == value) == expected


@settings(deadline=None)
@given(granted=instants, span=st.integers(-DAY, 30 * DAY), grouping=keys, cuts=edges)
def test_leased_time_and_use_add_up_too(granted: int, span: int, grouping: list[GroupKey], cuts: list[int]) -> None:
    tenure = Tenure("r", "GPU-0", granted, granted + span)
    hour = HourOfUse("r", "GPU-0", granted, GpuUse(sampled_s=60, busy_s=30, energy_j=5))
    tallies = [Tally(Window(*pair), grouping, party_of, LABELS.__getitem__) for pair in pairwise(cuts)]
    for tally in tallies:
        tally.add_tenure(tenure)
        tally.add_use(hour)
        assert tally.total.leased_ms == sum(line.leased_ms for line in tally.lines.values())
    assert sum(tally.total.leased_ms for tally in tallies) == max(0, span)
    assert sum(tally.total.use.energy_j for tally in tallies) == 5


class Life:
    """A stay on a machine with bad clocks: time passes, clocks jump, readings are taken."""

    def __init__(self) -> None:
        self.passed = 0
        self.offset = 0
        self.interval = opened(bill_of(notebook(), RUN), RUN, Tariff(), self.read())
        self.last_seen = 0

    def read(self) -> Reading:
        return Reading(at_ms=BASE + self.passed + self.offset, boot_ms=7_000_000 + self.passed, boot_id="a")

    def live(self, moves: list[tuple[str, int]]) -> None:
        for kind, amount in moves:
            match kind:
                case "pass":
                    self.passed += amount
                case "step":
                    self.offset += amount
                case "checkpoint":
                    self.interval = checkpointed(self.interval, self.read())
                    self.last_seen = self.passed


moves = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(0, 3 * DAY)),
        st.tuples(st.just("step"), st.integers(-400 * DAY, 400 * DAY)),
        st.tuples(st.just("checkpoint"), st.just(0)),
    ),
    max_size=20,
)
calm = moves.map(lambda several: [move for move in several if move[0] != "step"])
departures = st.builds(
    Departure,
    finished_at=st.one_of(st.none(), instants.map(moment)),
    gone=st.booleans(),
    deadline_at=st.one_of(st.none(), instants.map(moment)),
)


@given(schedule=moves, departure=departures, rebooted=st.booleans())
def test_whatever_the_clocks_do_a_length_is_neither_negative_nor_more_than_passed(
    schedule: list[tuple[str, int]], departure: Departure, rebooted: bool
) -> None:
    life = Life()
    life.live(schedule)
    now = replace(life.read(), boot_id="b", boot_ms=5) if rebooted else life.read()
    length = closed(life.interval, departure, now).length_ms
    assert length is not None
    assert length >= 0
    if not rebooted:
        assert length <= life.passed
    elif departure.finished_at is None and departure.deadline_at is None:
        assert length == life.last_seen


@given(schedule=calm, departure=departures)
def test_without_jumps_a_stay_ends_exactly_at_what_ended_it(
    schedule: list[tuple[str, int]], departure: Departure
) -> None:
    life = Life()
    life.live(schedule)
    end = BASE + (life.last_seen if departure.gone else life.passed)
    if departure.finished_at is not None:
        end = wall_ms(departure.finished_at)
    if departure.deadline_at is not None:
        end = min(end, wall_ms(departure.deadline_at))
    expected = min(max(0, end - BASE), life.passed)
    length = closed(life.interval, departure, life.read()).length_ms
    assert length is not None
    assert abs(length - expected) <= STEP_MS
    if departure.finished_at is None and departure.deadline_at is None:
        assert length == expected


@given(schedule=moves, departure=departures, finished=instants)
def test_an_amendment_only_shortens(schedule: list[tuple[str, int]], departure: Departure, finished: int) -> None:
    life = Life()
    life.live(schedule)
    once = closed(life.interval, departure, life.read())
    shorter = amended(once, moment(finished))
    assert 0 <= (shorter.length_ms or 0) <= (once.length_ms or 0)


@given(schedule=moves, more=st.lists(st.integers(0, 10**9), max_size=5))
def test_checkpoints_never_go_back_and_seeing_twice_is_seeing_once(
    schedule: list[tuple[str, int]], more: list[int]
) -> None:
    life = Life()
    life.live(schedule)
    seen: list[Interval] = [life.interval]
    for amount in more:
        life.live([("pass", amount), ("checkpoint", 0)])
        assert checkpointed(life.interval, life.read()) == life.interval
        seen.append(life.interval)
    assert all(before.seen_ms <= later.seen_ms for before, later in pairwise(seen))
