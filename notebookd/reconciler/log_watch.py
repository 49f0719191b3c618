# SPDX-License-Identifier: Apache-2.0
"""Looking often whether the engine threw a log away."""

from __future__ import annotations

from notebookd.ports.clock import Clock
from notebookd.ports.engine import Engine

LOGS_EVERY_S = 2.0


async def keep_logs(engine: Engine, clock: Clock) -> None:
    """Have logs held every few seconds, until cancelled."""
    while True:
        await engine.hold_logs()
        await clock.sleep(LOGS_EVERY_S)
