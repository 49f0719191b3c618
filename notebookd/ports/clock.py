# SPDX-License-Identifier: Apache-2.0
"""The clock port: the only way to learn the time or to wait.

Implementations: :mod:`notebookd.adapters.clock` (real) and :mod:`notebookd.testing.clock` (moved by hand).
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Two clocks and a name for the boot they belong to.

    The wall clock says which minute of which month it is and may be stepped by an administrator. The boot clock
    measures lengths: it only goes forward, counts suspend, and starts again with every boot. Readings of the
    boot clock may be compared only under one :meth:`boot_id`.
    """

    def now(self) -> datetime:
        """The wall clock, timezone-aware UTC."""
        ...

    def boottime(self) -> float:
        """Seconds since boot, suspend included (``CLOCK_BOOTTIME``)."""
        ...

    def awake(self) -> float:
        """Seconds since boot, suspend left out (``CLOCK_MONOTONIC``)."""
        ...

    def boot_id(self) -> str:
        """The identity of this boot, as the kernel gives it (``/proc/sys/kernel/random/boot_id``)."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that long. Zero or less still lets other tasks run once."""
        ...

    async def sleep_until(self, at: datetime) -> None:
        """Wait until the *wall* clock reads ``at`` (aware) or later; a step of the clock or a suspend counts."""
        ...
