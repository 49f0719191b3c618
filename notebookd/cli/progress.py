# SPDX-License-Identifier: Apache-2.0
"""Where progress is shown: beside a spinner on a terminal, as lines elsewhere."""

from __future__ import annotations

import contextlib
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol

from notebookd.cli.here import Here
from notebookd.cli.output import size

__all__ = ["Rate", "Screen", "screen"]

DETAIL_EVERY = timedelta(seconds=10)


class Screen(Protocol):
    """Where progress is shown."""

    def done(self, text: str) -> None:
        """A step that is behind us."""

    def current(self, text: str, detail: str = "") -> None:
        """What happens now, and how far it is; said again and again while it does."""


class _Lines:
    """A screen for logs and files: each thing once, one line each, and now and then how far it is."""

    def __init__(self, here: Here) -> None:
        self._note = here.terminal.note
        self._now = here.terminal.now
        self._last = ("", "")
        self._said_at = here.terminal.now() - DETAIL_EVERY

    def done(self, text: str) -> None:
        self._note(text)

    def current(self, text: str, detail: str = "") -> None:
        changed = text != self._last[0] or (detail != self._last[1] and self._now() - self._said_at >= DETAIL_EVERY)
        if not changed:
            return
        self._last, self._said_at = (text, detail), self._now()
        if text:
            self._note(f"... {text}{': ' if detail else ''}{detail}")


class _Silence:
    """A screen for what is over soon, where nobody looks."""

    def done(self, text: str) -> None:
        """Not shown."""

    def current(self, text: str, detail: str = "") -> None:
        """Not shown."""


def screen(here: Here, *, lines: bool = True) -> AbstractContextManager[Screen]:
    """The screen that fits: without ``lines`` there is none where nobody looks."""
    if here.terminal.watched():
        from notebookd.cli.live import live_screen

        return live_screen()
    return contextlib.nullcontext(_Lines(here) if lines else _Silence())


class Rate:
    """How fast bytes come, on average since somebody began to look."""

    def __init__(self, now: datetime) -> None:
        self._begun = now
        self._first: int | None = None

    def per_second(self, count: int, now: datetime) -> str:
        """``, 5.2 MiB/s``; nothing as long as that says nothing."""
        if self._first is None or count < self._first:
            self._first, self._begun = count, now
        seconds = (now - self._begun).total_seconds()
        if seconds < 1 or count == self._first:
            return ""
        return f", {size(int((count - self._first) / seconds))}/s"
