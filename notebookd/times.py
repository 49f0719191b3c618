# SPDX-License-Identifier: Apache-2.0
"""Durations and times as people write them: ``1w``, ``2d12h``, ``90 min``; ``18:00``, ``fri 9am``, ``tomorrow``.

The configuration, the API and the command line read them here and nowhere else. Every parser raises ValueError with a
reason fit to show. What a person means by ``18:00`` depends on where they are, so times are read by the command line
alone, in its own zone; the API takes RFC 3339 and durations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo

__all__ = ["LONGEST_DURATION_S", "format_duration", "parse_day", "parse_duration", "parse_time"]

LONGEST_DURATION_S = 3650 * 86_400.0

_UNITS_MS = {"w": 604_800_000, "d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_SPELT = {
    "week": "w",
    "weeks": "w",
    "day": "d",
    "days": "d",
    "hour": "h",
    "hours": "h",
    "hr": "h",
    "hrs": "h",
    "minute": "m",
    "minutes": "m",
    "min": "m",
    "mins": "m",
    "second": "s",
    "seconds": "s",
    "sec": "s",
    "secs": "s",
}
_FORMATTED = ("d", "h", "m", "s", "ms")
_PART = r"([0-9]{1,12})(?:\.([0-9]{1,3}))? ?([a-z]+)"
_DURATION = re.compile(rf"{_PART}(?: ?{_PART})*")

_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_RELATIVE = {"yesterday": -1, "today": 0, "tomorrow": 1}
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_ISO_T = re.compile(r"^([0-9]{4}-[0-9]{2}-[0-9]{2})t")
_CLOCK = re.compile(r"([0-9]{1,2})(?::([0-9]{2})(?::([0-9]{2})(?:\.[0-9]+)?)?)? ?(am|pm)?")
_ABSOLUTE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[t ]([0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]+)?)?)(z|[+-][0-9]{2}:?[0-9]{2})"
)


def parse_duration(text: str) -> float:
    """Seconds in a duration such as ``10s``, ``5m``, ``2h``, ``7d``, ``1w``, ``500ms``, ``1h30m`` or ``2 days``."""
    text = text.strip()
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration: write a number and a unit, as in 10s, 5m, 2h, 7d or 1w")
    total_us = 0
    last_ms = 0
    for whole, fraction, word in re.findall(_PART, text):
        unit_ms = _UNITS_MS.get(_SPELT.get(word, word))
        if unit_ms is None:
            raise ValueError(f"{text!r} is not a duration: {word!r} is no unit; there are w, d, h, m, s and ms")
        if last_ms and unit_ms >= last_ms:
            raise ValueError(f"{text!r} is not a duration: larger units come first, each once, as in 1h30m")
        last_ms = unit_ms
        total_us += int(whole) * unit_ms * 1000 + int(f"{fraction:0<3}") * unit_ms
    seconds = total_us / 1_000_000
    if seconds > LONGEST_DURATION_S:
        raise ValueError(f"{text!r} is too long: the most is {format_duration(LONGEST_DURATION_S)}")
    return seconds


def format_duration(seconds: float) -> str:
    """The duration as :func:`parse_duration` reads it, to the millisecond: ``7d``, ``1h30m``, ``0s``."""
    left = round(max(seconds, 0.0) * 1000)
    parts = []
    for unit in _FORMATTED:
        count, left = divmod(left, _UNITS_MS[unit])
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_day(text: str, today: date) -> date | None:
    """``2026-12-01``, ``today``, ``yesterday``, ``tomorrow``; None for what is no such day. A weekday is none of them:
    which one depends on the direction in which one looks."""
    word = text.strip().lower()
    if word in _RELATIVE:
        return today + timedelta(days=_RELATIVE[word])
    if found := _DATE.fullmatch(word):
        try:
            return date(int(found[1]), int(found[2]), int(found[3]))
        except ValueError as error:
            raise ValueError(f"{text!r} is no day: {error}") from error
    return None


def parse_time(text: str, now: datetime, *, ahead: bool, zone: tzinfo | None = None, through: bool = False) -> datetime:
    """A time in ``zone``, None for the system's, as an aware ``datetime``.

    ``ahead`` looks from ``now`` on: the next 18:00, the next Friday, ``2h`` from now; without, the latest 18:00, the
    last Friday, ``2h`` ago. A day alone is its beginning, and with ``through`` its end. A date is that date.
    """
    word = " ".join(text.lower().split())
    for found in _readings(word, now, ahead=ahead, zone=zone, through=through):
        if found is not None:
            return found
    raise ValueError(
        f"{text!r} is not a time: write 18:00, fri 9:00, tomorrow, 2026-12-01 18:00, or a duration such as 2d12h"
    )


def _readings(
    word: str, now: datetime, *, ahead: bool, zone: tzinfo | None, through: bool
) -> Iterator[datetime | None]:
    """What each way of writing makes of the word, None where it is not written so."""
    if word == "now":
        yield now
    yield _absolute(word)
    yield _span(word, now, ahead=ahead)
    day, clock = _parted(word)
    if day or clock:
        yield _dated(day, clock, now, ahead=ahead, zone=zone, through=through)


def _absolute(word: str) -> datetime | None:
    found = _ABSOLUTE.fullmatch(word)
    if found is None:
        return None
    try:
        return datetime.fromisoformat(f"{found[1]}T{found[2]}{found[3].upper()}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{word!r} is no time: {error}") from error


def _span(word: str, now: datetime, *, ahead: bool) -> datetime | None:
    if word.endswith(" ago"):
        return now - timedelta(seconds=parse_duration(word.removesuffix(" ago")))
    if word.startswith("in "):
        return now + timedelta(seconds=parse_duration(word.removeprefix("in ")))
    if not _DURATION.fullmatch(word) or _CLOCK.fullmatch(word):  # 9am
        return None
    span = timedelta(seconds=parse_duration(word))
    return now + span if ahead else now - span


def _parted(word: str) -> tuple[str, time | None]:
    """The day and the time of day that a word names, in either order; neither where it names anything else."""
    words = [part for part in _ISO_T.sub(r"\1 ", word).split() if part != "at"]
    if words and _is_day(words[0]):
        day, rest = words[0], words[1:]
    elif words and _is_day(words[-1]):
        day, rest = words[-1], words[:-1]
    else:
        day, rest = "", words
    clock = _clock(" ".join(rest))
    return ("", None) if rest and clock is None else (day, clock)


def _is_day(word: str) -> bool:
    return word in _RELATIVE or _DATE.fullmatch(word) is not None or _weekday(word) is not None


def _weekday(word: str) -> int | None:
    """Monday is 0. Three letters are enough, and more of a name are understood."""
    found = [number for number, name in enumerate(_WEEKDAYS) if len(word) >= 3 and name.startswith(word)]
    return found[0] if found else None


def _clock(word: str) -> time | None:
    found = _CLOCK.fullmatch(word)
    if found is None or not (found[2] or found[4]):
        return None
    hour = int(found[1])
    if found[4]:
        if not 1 <= hour <= 12:
            raise ValueError(f"{word!r} is no time of day: with am or pm the hour is 1 to 12")
        hour = hour % 12 + (12 if found[4] == "pm" else 0)
    try:
        return time(hour, int(found[2] or 0), int(found[3] or 0))
    except ValueError as error:
        raise ValueError(f"{word!r} is no time of day: {error}") from error


def _dated(day: str, clock: time | None, now: datetime, *, ahead: bool, zone: tzinfo | None, through: bool) -> datetime:
    today = now.astimezone(zone).date()

    def at(chosen: date) -> datetime:
        if clock is not None:
            return _aware(datetime.combine(chosen, clock), zone)
        return _aware(datetime.combine(chosen + timedelta(days=through), time()), zone)

    try:
        if (fixed := parse_day(day, today) if day else None) is not None:
            return at(fixed)
        weekday = _weekday(day)
        step = 1 if weekday is None else 7
        wanted = today.weekday() if weekday is None else weekday
        if ahead:
            first = today + timedelta(days=(wanted - today.weekday()) % step)
            return next(found for turn in range(3) if (found := at(first + timedelta(days=turn * step))) > now)
        last = today - timedelta(days=(today.weekday() - wanted) % step)
        return next(found for turn in range(3) if (found := at(last - timedelta(days=turn * step))) <= now)
    except (OverflowError, OSError) as error:
        raise ValueError("that time is beyond all calendars") from error


def _aware(naive: datetime, zone: tzinfo | None) -> datetime:
    """The instant of a local time. One that the clocks skip is counted on from before the skip."""
    return (naive.astimezone() if zone is None else naive.replace(tzinfo=zone)).astimezone(UTC)
