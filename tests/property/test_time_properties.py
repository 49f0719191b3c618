# SPDX-License-Identifier: Apache-2.0
"""Durations and times as people write them: whatever is written is read as meant, or refused with a reason."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notebookd.times import LONGEST_DURATION_S, format_duration, parse_day, parse_duration, parse_time

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = st.sampled_from(
    [UTC, BERLIN, ZoneInfo("America/St_Johns"), ZoneInfo("Pacific/Apia"), ZoneInfo("Asia/Kathmandu")]
)
NOWS = st.integers(946_684_800, 3_786_912_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
TUESDAY = datetime(2026, 12, 1, 10, 0, tzinfo=UTC)  # 11:00 in Berlin
NO_TIMES = (
    *("", " ", "x", "18", "18:00 19:00", "fri fri", "fri 18:00 sat", "25:00", "18:60", "13pm", "0am", "2026-13-01"),
    *("2026-02-30", "2026-12-01T25:00Z", "2026-12-01T18:00+99:00", "in", "ago", "in 18:00", "3x", "fr", "at"),
    *("tomorrow 9", "\u0967\u096e:\u0966\u0966", "18:00\x00"),
)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class TestDurations:
    """parse_duration and format_duration."""

    @given(st.integers(min_value=0, max_value=3650 * 86_400_000).map(lambda milliseconds: milliseconds / 1000))
    def test_they_survive_a_round_trip(self, seconds: float) -> None:
        assert parse_duration(format_duration(seconds)) == seconds

    @pytest.mark.parametrize(
        ("text", "seconds"),
        [
            *(("10s", 10), ("5m", 300), ("2h", 7200), ("7d", 604_800), ("1h30m", 5400), ("1.5h", 5400), ("500ms", 0.5)),
            *(("1w", 604_800), ("1w2d", 777_600), ("2d12h", 216_000), ("5 s", 5), ("2 days", 172_800), (" 1h ", 3600)),
            *(
                ("90 min", 5400),
                ("1 week 2 days", 777_600),
                ("2hrs", 7200),
                ("1 hour 1 second", 3601),
                ("0.001s", 0.001),
            ),
        ],
    )
    def test_as_people_write_them(self, text: str, seconds: float) -> None:
        assert parse_duration(text) == seconds

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "10",
            "s",
            "-5s",
            "1m1h",
            "1h1h",
            "5y",
            "inf",
            "1e3s",
            "99999999d",
            "५s",
            "1h,2m",
            "1  h",
            "1h\n2m",
            "2 dayz",
            "M",
        ],
    )
    def test_what_is_none(self, text: str) -> None:
        with pytest.raises(ValueError, match=r"duration|too long"):
            parse_duration(text)

    @given(st.lists(st.tuples(st.integers(0, 400), st.sampled_from(["w", "d", "h", "m", "s"])), max_size=5))
    def test_larger_units_come_first_each_once(self, parts: list[tuple[int, str]]) -> None:
        units = [unit for _, unit in parts]
        text = "".join(f"{count}{unit}" for count, unit in parts)
        orderly = units == [unit for unit in "wdhms" if unit in units] and units
        total = sum(count * {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}[unit] for count, unit in parts)
        if orderly and total <= LONGEST_DURATION_S:
            assert parse_duration(text) == total
        else:
            with pytest.raises(ValueError, match=r"duration|too long"):
                parse_duration(text)


def local(text: str, *, ahead: bool = True, through: bool = False, now: datetime = TUESDAY) -> str:
    return f"{parse_time(text, now, ahead=ahead, zone=BERLIN, through=through).astimezone(BERLIN):%a %Y-%m-%d %H:%M}"


class TestTimes:
    """parse_time."""

    @pytest.mark.parametrize(
        ("text", "ahead", "back"),
        [
            ("now", "Tue 2026-12-01 11:00", "Tue 2026-12-01 11:00"),
            ("18:00", "Tue 2026-12-01 18:00", "Mon 2026-11-30 18:00"),
            ("9am", "Wed 2026-12-02 09:00", "Tue 2026-12-01 09:00"),
            ("9 AM", "Wed 2026-12-02 09:00", "Tue 2026-12-01 09:00"),
            ("12:30pm", "Tue 2026-12-01 12:30", "Mon 2026-11-30 12:30"),
            ("12am", "Wed 2026-12-02 00:00", "Tue 2026-12-01 00:00"),
            ("fri 18:00", "Fri 2026-12-04 18:00", "Fri 2026-11-27 18:00"),
            ("Friday at 18:00", "Fri 2026-12-04 18:00", "Fri 2026-11-27 18:00"),
            ("tue 9:00", "Tue 2026-12-08 09:00", "Tue 2026-12-01 09:00"),
            ("tue 11:00", "Tue 2026-12-08 11:00", "Tue 2026-12-01 11:00"),
            ("thurs", "Thu 2026-12-03 00:00", "Thu 2026-11-26 00:00"),
            ("tomorrow", "Wed 2026-12-02 00:00", "Wed 2026-12-02 00:00"),
            ("9:00 tomorrow", "Wed 2026-12-02 09:00", "Wed 2026-12-02 09:00"),
            ("yesterday 9am", "Mon 2026-11-30 09:00", "Mon 2026-11-30 09:00"),
            ("2026-12-24", "Thu 2026-12-24 00:00", "Thu 2026-12-24 00:00"),
            ("2026-12-24 18:00", "Thu 2026-12-24 18:00", "Thu 2026-12-24 18:00"),
            ("2026-12-24T18:00", "Thu 2026-12-24 18:00", "Thu 2026-12-24 18:00"),
            ("2026-12-24T18:00:00Z", "Thu 2026-12-24 19:00", "Thu 2026-12-24 19:00"),
            ("2026-12-24 18:00-05:00", "Fri 2026-12-25 00:00", "Fri 2026-12-25 00:00"),
            ("2d12h", "Thu 2026-12-03 23:00", "Sat 2026-11-28 23:00"),
            ("in 2 hours", "Tue 2026-12-01 13:00", "Tue 2026-12-01 13:00"),
            ("2h ago", "Tue 2026-12-01 09:00", "Tue 2026-12-01 09:00"),
        ],
    )
    def test_as_people_write_them(self, text: str, ahead: str, back: str) -> None:
        assert (local(text), local(text, ahead=False)) == (ahead, back)

    @pytest.mark.parametrize(
        ("text", "end"),
        [
            ("today", "Wed 2026-12-02 00:00"),
            ("tue", "Wed 2026-12-02 00:00"),
            ("fri", "Sat 2026-12-05 00:00"),
            ("2026-12-24", "Fri 2026-12-25 00:00"),
            ("fri 18:00", "Fri 2026-12-04 18:00"),
        ],
    )
    def test_a_day_is_its_end_where_that_is_meant(self, text: str, end: str) -> None:
        assert local(text, through=True) == end

    @pytest.mark.parametrize("text", NO_TIMES)
    @pytest.mark.parametrize("ahead", [True, False])
    def test_what_is_none(self, text: str, ahead: bool) -> None:
        with pytest.raises(ValueError, match=r"is not a time|is no|is not a duration"):
            parse_time(text, TUESDAY, ahead=ahead, zone=BERLIN)

    @pytest.mark.parametrize(("text", "through"), [("9999-12-31", True), ("0001-01-01", False)])
    def test_what_no_calendar_has(self, text: str, through: bool) -> None:
        with pytest.raises(ValueError, match="beyond all calendars"):
            parse_time(text, TUESDAY, ahead=True, zone=BERLIN, through=through)

    @given(st.text(max_size=30), NOWS, ZONES, st.booleans(), st.booleans())
    @example("2026-12-01t", TUESDAY, UTC, True, True)
    def test_whatever_is_written_is_a_time_or_refused(
        self, text: str, now: datetime, zone: ZoneInfo, ahead: bool, through: bool
    ) -> None:
        with suppress(ValueError):
            assert parse_time(text, now, ahead=ahead, zone=zone, through=through).tzinfo is not None

    @given(NOWS, ZONES, st.times(), st.sampled_from([*WEEKDAYS, ""]))
    def test_the_next_and_the_latest_are_on_their_sides_of_now_and_near(
        self, now: datetime, zone: ZoneInfo, clock: time, weekday: str
    ) -> None:
        text = f"{weekday[:3]} {clock:%H:%M}"
        near = timedelta(days=7 if weekday else 1, hours=25)  # a clock is set by an hour, and Apia once left a day out
        later, earlier = (parse_time(text, now, ahead=ahead, zone=zone) for ahead in (True, False))
        assert now < later <= now + near
        assert now - near <= earlier <= now
        for found in (later, earlier):
            if weekday and zone.key != "Pacific/Apia" if zone is not UTC else weekday:
                assert f"{found.astimezone(zone):%A}".lower() == weekday

    @given(NOWS, ZONES, st.integers(1, 3650 * 86_400 - 1))
    def test_a_duration_is_counted_from_now_whatever_the_clocks_do(
        self, now: datetime, zone: ZoneInfo, seconds: int
    ) -> None:
        text, span = format_duration(seconds), timedelta(seconds=seconds)
        assert parse_time(text, now, ahead=True, zone=zone) == now + span
        assert parse_time(text, now, ahead=False, zone=zone) == now - span
        assert parse_time(f"{text} ago", now, ahead=True, zone=zone) == now - span

    @given(NOWS, ZONES)
    def test_rfc_3339_is_read_in_every_zone(self, at: datetime, zone: ZoneInfo) -> None:
        text = at.isoformat(timespec="milliseconds")
        for written in (text, text.replace("+00:00", "Z"), at.astimezone(zone).isoformat(timespec="seconds")):
            if written.count(":") < 5:  # zones of long ago have seconds, which the RFC has not
                assert abs(parse_time(written, TUESDAY, ahead=True, zone=zone) - at) < timedelta(seconds=1)

    def test_the_clocks_are_set_meanwhile(self) -> None:
        """18:00 is 18:00 of that day, whether or not it is summer then."""
        march = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)  # a Saturday; summer begins in the night
        assert local("sun 18:00", now=march) == "Sun 2026-03-29 18:00"
        assert parse_time("sun 18:00", march, ahead=True, zone=BERLIN) == datetime(2026, 3, 29, 16, 0, tzinfo=UTC)
        assert local("24h", now=march) == "Sun 2026-03-29 14:00"

    def test_without_a_zone_it_is_the_systems(self) -> None:
        code = (
            "from datetime import *; from notebookd.times import parse_time;"
            "print(parse_time('sun 18:00', datetime(2026, 3, 28, 12, tzinfo=UTC), ahead=True).isoformat())"
        )
        env = {**os.environ, "TZ": "Europe/Berlin"}
        said = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True).stdout
        assert said == "2026-03-29T16:00:00+00:00\n"


@given(st.dates(date(1, 1, 2), date(9999, 12, 30)))
def test_a_day_is_read_as_written(today: date) -> None:
    assert parse_day(today.isoformat(), today) == today
    assert parse_day(" Tomorrow", today) == today + timedelta(days=1)
    assert parse_day("yesterday", today) == today - timedelta(days=1)
    assert parse_day("fri", today) is None
