# SPDX-License-Identifier: Apache-2.0
"""A terminal for tests: nobody watches, and no time is spent waiting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

from notebookd import wire
from notebookd.cli.terminal import Terminal


class FakeTerminal(Terminal):
    """A terminal whose time passes only while one waits on it."""

    def __init__(self, *, answers: bool = False, width: int | None = None) -> None:
        self._now = wire.parse_rfc3339("2026-11-22T20:00:00Z")
        self._answers = answers
        self._width = width

    def now(self) -> datetime:
        return self._now

    def local_now(self) -> datetime:
        return self._now

    def zone(self) -> tzinfo:
        return UTC

    def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def watched(self) -> bool:
        return False

    def width(self) -> int | None:
        return self._width

    def answers(self) -> bool:
        return self._answers
