# SPDX-License-Identifier: Apache-2.0
"""What a stay costs, however it ends and whatever the clocks do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from notebookd.domain.billing import (
    Departure,
    Interval,
    Tariff,
    Window,
    amended,
    bill_of,
    checkpointed,
    closed,
    length_ms,
    minutes,
    minutes_within,
    opened,
    price,
    stay,
)
from notebookd.domain.clocks import Reading, moment, reading, troubles, wall_ms
from notebookd.domain.gpu_use import GpuUse, UseSample
from notebookd.domain.run import RunState
from notebookd.domain.usage import GroupKey, HourOfUse, Party, Tally, Tenure, month_of, next_day, next_month
from tests.values import NOW, notebook, run

BOOT_S = 5000.25
WEEK_S = 7 * 86400
RUN = run(RunState.RUNNING)
START = RUN.state_since


def read(seconds: float, *, stepped: float = 0.0, boot: str = "a") -> Reading:
    """The clocks that long after the start, the wall clock stepped by that much."""
    return reading(START + timedelta(seconds=seconds + stepped), BOOT_S + seconds, BOOT_S + seconds, boot)


def fresh(tariff: Tariff | None = None, **resources: object) -> Interval:
    run = replace(RUN, resources=replace(RUN.resources, **resources)) if resources else RUN  # type: ignore[arg-type]
    return opened(bill_of(notebook(), run), run, tariff or Tariff(), read(0))


def seen(*seconds: float) -> Interval:
    """A stay with checkpoints."""
    interval = fresh()
    for each in seconds:
        interval = checkpointed(interval, read(each))
    return interval


def party_of(_run_id: str) -> Party:
    return Party("n", "alice", "f")


def billed(interval: Interval) -> int:
    assert interval.length_ms is not None
    return minutes(interval.length_ms)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0, 1), (0.2, 1), (59.9, 1), (60, 1), (60.1, 2), (120, 2), (120.001, 3), (WEEK_S, 10_080), (WEEK_S + 0.1, 10_081)],
)
def test_every_commenced_minute_is_billed_in_full(seconds: float, expected: int) -> None:
    assert billed(closed(fresh(), Departure(), read(seconds))) == expected


def test_ninety_seconds_twice_are_four_minutes() -> None:
    assert 2 * billed(closed(fresh(), Departure(), read(90))) == 4


@pytest.mark.parametrize("late", [0, 0.004, 3600, 90 * 86400])
def test_a_deadline_is_billed_to_its_time_however_late_it_fires(late: float) -> None:
    departure = Departure(deadline_at=at(WEEK_S))
    assert closed(seen(60, 120), departure, read(WEEK_S + late)).length_ms == WEEK_S * 1000


def test_a_stay_that_opens_a_moment_after_its_state_was_entered_still_fills_its_week() -> None:
    late = opened(bill_of(notebook(), RUN), RUN, Tariff(), read(0.7))
    assert late.started.at_ms == wall_ms(START)
    assert billed(closed(late, Departure(deadline_at=at(WEEK_S)), read(WEEK_S + 5))) == 10_080


def test_a_container_that_finished_while_nobody_looked_is_billed_to_its_own_end() -> None:
    departure = Departure(finished_at=at(150), gone=True)
    assert closed(seen(60), departure, read(9000)).length_ms == 150_000


def test_a_container_that_finished_nobody_knows_when_is_billed_to_where_it_was_last_seen() -> None:
    assert closed(seen(60, 120), Departure(gone=True), read(9000)).length_ms == 120_000


def test_a_container_that_finished_after_its_deadline_is_billed_to_the_deadline() -> None:
    departure = Departure(finished_at=at(700), gone=True, deadline_at=at(600))
    assert closed(seen(60), departure, read(9000)).length_ms == 600_000


def test_after_a_reboot_a_stay_ends_where_it_was_last_seen_or_where_its_container_finished() -> None:
    rebooted = replace(read(500), boot_ms=7, boot_id="b")
    assert closed(seen(60, 120), Departure(gone=True), rebooted).length_ms == 120_000
    assert closed(seen(60, 120), Departure(), rebooted).length_ms == 120_000
    known = Departure(gone=True, finished_at=at(140))
    assert closed(seen(60, 120), known, rebooted).length_ms == 140_000


def test_after_a_reboot_a_clock_that_is_an_hour_slow_changes_nothing() -> None:
    rebooted = reading(at(500 - 3600), 7, 7, "b")
    assert closed(seen(60), Departure(gone=True), rebooted).length_ms == 60_000
    assert closed(seen(60), Departure(gone=True, finished_at=at(90)), rebooted).length_ms == 90_000


def test_a_stop_that_came_after_the_container_had_finished_is_amended() -> None:
    stopped = closed(seen(60), Departure(), read(9000))
    assert amended(stopped, at(75)).length_ms == 75_000
    assert amended(stopped, at(30)).length_ms == 30_000, "the engine's word goes before ours"
    assert amended(stopped, at(9003)) == stopped, "it finished because it was stopped"


@pytest.mark.parametrize("step", [-86_400 * 400, -3600, -30, 30, 3600, 86_400 * 400])
def test_a_step_of_the_wall_clock_changes_no_length(step: float) -> None:
    stepped = closed(seen(60), Departure(), read(90, stepped=step))
    assert stepped.length_ms == 90_000
    checked = checkpointed(checkpointed(fresh(), read(60, stepped=step)), read(120))
    assert checked.seen_ms == 120_000
    assert closed(checked, Departure(), read(150)).length_ms == 150_000


@pytest.mark.parametrize("step", [3600, 86_400 * 400])
def test_a_step_past_the_deadline_bills_what_passed_and_no_more(step: float) -> None:
    deadline = Departure(deadline_at=at(WEEK_S))
    assert closed(seen(60, 240), deadline, read(WEEK_S - 3600, stepped=step)).length_ms == (WEEK_S - 3600) * 1000


def test_a_clock_set_back_keeps_what_was_seen() -> None:
    interval = seen(60, 7200)
    found = Departure(gone=True, finished_at=at(7260 - 3600))  # an hour slow when it finished
    assert closed(interval, found, read(9000, stepped=-3600)).length_ms == 3_660_000
    assert closed(interval, Departure(gone=True), read(9000, stepped=-3600)).length_ms == 7_200_000


def test_suspend_is_billed() -> None:
    asleep = replace(read(3 * 3600), awake_ms=read(600).awake_ms)
    assert closed(seen(60), Departure(), asleep).length_ms == 3 * 3_600_000


def test_checkpoints_of_another_boot_or_of_the_past_say_nothing() -> None:
    interval = seen(60)
    assert checkpointed(interval, read(600, boot="b")) == interval
    assert checkpointed(interval, read(30)) == interval


def test_an_open_stay_is_as_long_as_it_was_so_far() -> None:
    assert length_ms(seen(60), read(90)) == 90_000
    assert length_ms(seen(60), read(90, boot="b")) == 60_000


def test_minutes_belong_to_the_window_in_which_they_commence() -> None:
    midnight = datetime(2026, 3, 31, 24 - 1, 58, 30, tzinfo=UTC)
    start = wall_ms(midnight)
    first = wall_ms(datetime(2026, 4, 1, tzinfo=UTC))
    march, april = Window(0, first), Window(first, first + 10**10)
    assert minutes_within(start, 4, march) == (0, 2), "23:58:30 and 23:59:30"
    assert minutes_within(start, 4, april) == (2, 4), "00:00:30 and 00:01:30"
    assert minutes_within(start, 2, april) == (2, 2)


def test_a_minute_that_commences_at_the_very_edge_belongs_to_what_follows() -> None:
    assert minutes_within(0, 2, Window(0, 60_000)) == (0, 1)
    assert minutes_within(0, 2, Window(60_000, 120_000)) == (1, 2)


def test_a_price_is_of_units_and_minutes_and_rounded_down_for_each_unit() -> None:
    assert price(60, 1, 2_800_000) == 2_800_000
    assert price(60, 4, 2_800_000) == 11_200_000
    assert price(1, 1, 2_800_000) == 46_666
    assert price(1, 3, 100) == 3
    assert price(10_080, 64, 10**12) == 168 * 64 * 10**12


def test_the_rate_is_the_one_of_the_day_on_which_the_stay_began() -> None:
    tariff = Tariff(currency="CHF", rates={RUN.resources.flavor: 3_000_000})
    interval = fresh(tariff)
    assert (interval.rate, interval.currency) == (3_000_000, "CHF")
    assert fresh(Tariff(rates={"other": 1})).rate is None


def test_clocks_that_jump_are_noted() -> None:
    def types(before: Reading, later: Reading) -> list[tuple[str, object]]:
        return [(each.type, each.data.get("seconds")) for each in troubles(before, later)]

    assert types(read(0), read(60)) == []
    assert types(read(0), read(60, stepped=1.9)) == []
    assert types(read(0), read(60, stepped=-3600)) == [("clock.stepped", -3600.0)]
    assert types(read(0), read(60, stepped=2.5)) == [("clock.stepped", 2.5)]
    slept = replace(read(660), awake_ms=read(60).awake_ms)
    assert types(read(0), slept) == [("clock.suspended", 600.0)]
    assert types(read(0), read(60, boot="b")) == [("host.rebooted", None)]


def test_a_float_s_noise_is_no_minute() -> None:
    start = sum([0.1] * 10_000)
    assert reading(NOW, start, start, "a").boot_ms == 1_000_000
    assert reading(NOW, 1060.1, 0, "a").boot_ms - reading(NOW, 1000.1, 0, "a").boot_ms == 60_000


def test_a_use_counts_time_with_its_utilisation() -> None:
    idle = UseSample(memory_bytes=10, utilisation=0.0, energy_j=100.0)
    busy = UseSample(memory_bytes=30, utilisation=1.0, energy_j=160.0)
    use = GpuUse().add(idle, busy, 10).add(busy, busy, 10)
    assert (use.sampled_s, use.busy_s, use.peak_utilisation, use.peak_memory_bytes) == (20, 15, 1.0, 30)
    assert use.energy_j == 60


def test_a_use_takes_what_is_not_told_for_unknown() -> None:
    silent = UseSample(memory_bytes=5)
    busy = UseSample(memory_bytes=1, utilisation=0.5, energy_j=9.0)
    assert GpuUse().add(silent, silent, 10) == GpuUse(peak_memory_bytes=5)
    assert GpuUse().add(silent, busy, 10).busy_s == 5
    assert GpuUse().add(busy, busy, 86_400).sampled_s == 0, "over a night nobody looked"


def test_an_energy_counter_that_began_anew_counts_from_zero() -> None:
    before = UseSample(memory_bytes=0, utilisation=0, energy_j=5000.0)
    assert GpuUse().add(before, replace(before, energy_j=12.0), 10).energy_j == 12.0


def test_months_and_days_begin_at_midnight() -> None:
    december = wall_ms(datetime(2026, 12, 31, 23, 59, 59, tzinfo=UTC))
    assert [moment(edge).isoformat()[:10] for edge in month_of(december)] == ["2026-12-01", "2027-01-01"]
    assert next_day(december) == next_month(december) == wall_ms(datetime(2027, 1, 1, tzinfo=UTC))
    assert next_day(next_day(december)) == wall_ms(datetime(2027, 1, 2, tzinfo=UTC))


def test_a_report_splits_a_stay_over_months_days_and_gpus() -> None:
    late = datetime(2026, 3, 31, 23, 0, tzinfo=UTC)
    two = replace(RUN, resources=replace(RUN.resources, units=2), gpus=("GPU-0", "GPU-1"))
    tariff = Tariff(rates={RUN.resources.flavor: 600_000})
    bill = bill_of(notebook(), two)
    interval = closed(opened(bill, two, tariff, read(0)), Departure(), read(7200))
    interval = replace(interval, started=replace(interval.started, at_ms=wall_ms(late)))
    row = stay(interval, read(0))
    always = Window(0, 10**14)

    months = Tally(always, [GroupKey.MONTH], party_of)
    months.add_stay(row)
    assert {group: (line.minutes, line.gpu_minutes) for group, line in months.lines.items()} == {
        ("2026-03",): (60, 120),
        ("2026-04",): (60, 120),
    }
    assert [line.price for line in months.lines.values()] == [{"EUR": 1_200_000}] * 2

    gpus = Tally(always, [GroupKey.GPU, GroupKey.DAY], party_of)
    gpus.add_stay(row)
    assert {group: line.minutes for group, line in gpus.lines.items()} == {
        ("GPU-0", "2026-03-31"): 60,
        ("GPU-1", "2026-03-31"): 60,
        ("GPU-0", "2026-04-01"): 60,
        ("GPU-1", "2026-04-01"): 60,
    }
    assert gpus.total.minutes == 120
    assert gpus.total.gpu_minutes == sum(line.gpu_minutes for line in gpus.lines.values()) == 240
    assert gpus.total.price["EUR"] == sum(line.price["EUR"] for line in gpus.lines.values()) == 2_400_000


def test_a_report_cuts_leases_and_use_at_its_window() -> None:
    hour = 3_600_000
    tally = Tally(Window(hour, 3 * hour), [GroupKey.GPU], party_of)
    tally.add_tenure(Tenure("r", "GPU-0", 0, 2 * hour))
    tally.add_tenure(Tenure("r", "GPU-0", 2 * hour, 9 * hour))
    tally.add_tenure(Tenure("r", "GPU-0", 4 * hour, 5 * hour))
    for at_ms in (0, hour, 3 * hour):
        tally.add_use(HourOfUse("r", "GPU-0", at_ms, GpuUse(sampled_s=60, busy_s=30)))
    line = tally.lines["GPU-0",]
    assert (line.leased_ms, line.use.busy_s, line.minutes) == (2 * hour, 30, 0)
    assert tally.total.leased_ms == 2 * hour


def test_a_clock_set_back_under_a_lease_makes_no_negative_time() -> None:
    tally = Tally(Window(0, 10**13), [], party_of)
    tally.add_tenure(Tenure("r", "GPU-0", 5000, 1000))
    assert (tally.total.leased_ms, tally.lines) == (0, {})
