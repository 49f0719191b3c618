# SPDX-License-Identifier: Apache-2.0
"""Progress on a terminal: finished steps above, the current one beside a spinner. Only waiting loads this, and rich."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from rich.console import Console
from rich.markup import escape
from rich.status import Status

from notebookd.cli.guard import raw
from notebookd.neutral import neutral

__all__ = ["live_screen"]


class _Live:
    def __init__(self, console: Console, status: Status) -> None:
        self._console = console
        self._status = status

    def done(self, text: str) -> None:
        """Leave a line."""
        self._console.print(neutral(text), markup=False, highlight=False)

    def current(self, text: str, detail: str = "") -> None:
        """Show beside the spinner."""
        self._status.update(escape(neutral(f"{text}: {detail}" if detail else text)))


@contextlib.contextmanager
def live_screen() -> Iterator[_Live]:
    """A screen on stderr, which stops spinning when it is left."""
    console = Console(file=raw(sys.stderr))
    with console.status("") as status:
        yield _Live(console, status)
