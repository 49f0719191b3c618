# SPDX-License-Identifier: Apache-2.0
"""The machine's own clock. Nothing else in the package reads the time."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from pathlib import Path

BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")

LONGEST_NAP_S = 60.0
"""The event loop waits on CLOCK_MONOTONIC, which neither sees a step of the wall clock nor counts suspend, so a
long wait looks at the right clock again at least this often."""


class SystemClock:
    """The :class:`~notebookd.ports.clock.Clock` of a running system."""

    def __init__(self, boot_id_file: Path = BOOT_ID_FILE) -> None:
        self._boot_id = boot_id_file.read_text(encoding="ascii").strip()  # no process outlives its boot

    def now(self) -> datetime:
        """The wall clock, aware UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one home of the wall clock

    def boottime(self) -> float:
        """Seconds since boot, suspend included."""
        return time.clock_gettime(time.CLOCK_BOOTTIME)

    def awake(self) -> float:
        """Seconds since boot, suspend left out."""
        return time.monotonic()

    def boot_id(self) -> str:
        """The kernel's boot id, read once."""
        return self._boot_id

    async def sleep(self, seconds: float) -> None:
        """Wait that long by the boot clock."""
        wake_at = self.boottime() + seconds
        await _nap(min(max(seconds, 0.0), LONGEST_NAP_S))
        while (left := wake_at - self.boottime()) > 0:
            await _nap(min(left, LONGEST_NAP_S))

    async def sleep_until(self, at: datetime) -> None:
        """Wait until the wall clock reads ``at``."""
        await _nap(0)
        while (left := (at - self.now()).total_seconds()) > 0:
            await _nap(min(left, LONGEST_NAP_S))


async def _nap(seconds: float) -> None:
    await asyncio.sleep(seconds)  # noqa: TID251 - the one home of waiting
