# SPDX-License-Identifier: Apache-2.0
"""The clocks of a machine at one moment, and what two such moments tell of clocks that jumped."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

STEP_MS = 2_000
"""The wall clock and the boot clock tick alike but for steps; a smaller difference is a delay between two readings."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


def wall_ms(at: datetime) -> int:
    """Milliseconds since 1970 UTC, rounded down."""
    return (at - _EPOCH) // _MS


def moment(at_ms: int) -> datetime:
    """The inverse of :func:`wall_ms`, aware UTC."""
    return _EPOCH + at_ms * _MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """All clocks at one moment, in milliseconds: the wall clock, the time since boot with suspend and without it. Those
    two begin anew with each ``boot_id``."""

    at_ms: int
    boot_ms: int
    boot_id: str
    awake_ms: int = field(default=0, compare=False)
    """0 where it was not kept."""


def reading(now: datetime, boottime_s: float, awake_s: float, boot_id: str) -> Reading:
    """The reading of clocks that tell seconds."""
    return Reading(at_ms=wall_ms(now), boot_ms=_whole_ms(boottime_s), awake_ms=_whole_ms(awake_s), boot_id=boot_id)


def _whole_ms(seconds: float) -> int:
    """Rounded down, but for the noise in a float's last bits."""
    return round(seconds * 1_000_000) // 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockTrouble:
    """A jump of a clock: ``type`` is an event's, ``data`` what is told with it."""

    type: str
    data: dict[str, float | str]


def troubles(before: Reading, after: Reading) -> list[ClockTrouble]:
    """What befell the clocks between two readings: ``host.rebooted``; else ``clock.stepped``, by so many seconds,
    positive when it was set forward; and ``clock.suspended``, for so many seconds."""
    if before.boot_id != after.boot_id:
        return [ClockTrouble(type="host.rebooted", data={"before": before.boot_id, "after": after.boot_id})]
    found: list[ClockTrouble] = []
    passed = after.boot_ms - before.boot_ms
    step = after.at_ms - before.at_ms - passed
    if abs(step) > STEP_MS:
        found.append(ClockTrouble(type="clock.stepped", data={"seconds": step / 1000}))
    asleep = passed - (after.awake_ms - before.awake_ms)
    if asleep > STEP_MS:
        found.append(ClockTrouble(type="clock.suspended", data={"seconds": asleep / 1000}))
    return found
