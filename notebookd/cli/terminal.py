# SPDX-License-Identifier: Apache-2.0
"""The caller's end: the clock, waiting, and what stands in front of the screen. Tests hand in one of their own."""

from __future__ import annotations

import os
import sys
import time
from datetime import UTC, datetime, tzinfo

import click

from notebookd.cli.guard import raw

__all__ = ["Terminal"]

_USUAL_COLUMNS = 80


class Terminal:
    """Where the command runs."""

    def now(self) -> datetime:
        """The time. The CLI is a process of its own, without the daemon's clock: here is the one place that asks."""
        return datetime.now(UTC)  # noqa: TID251 - see above

    def local_now(self) -> datetime:
        """The same in the caller's time zone."""
        return self.now().astimezone()

    def zone(self) -> tzinfo | None:
        """The caller's time zone; None is the system's, which knows when it is summer."""
        return None

    def sleep(self, seconds: float) -> None:
        """Wait between two looks at the daemon."""
        time.sleep(seconds)

    def watched(self) -> bool:
        """Whether somebody sees the progress: then waiting is the default."""
        return sys.stderr.isatty()

    def width(self) -> int | None:
        """How many columns there are for the result; None where it goes to a file or another program."""
        if not sys.stdout.isatty():
            return None
        told = os.environ.get("COLUMNS", "")
        if told.isascii() and told.isdigit() and int(told):
            return int(told)
        try:
            return os.get_terminal_size(sys.stdout.fileno()).columns or _USUAL_COLUMNS
        except OSError:
            return _USUAL_COLUMNS

    def answers(self) -> bool:
        """Whether somebody is there to answer a question."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def clear(self) -> None:
        """An empty screen, where there is one."""
        if sys.stdout.isatty():
            sys.stdout.flush()
            raw(sys.stdout).write("\033[2J\033[1;1H")

    def note(self, text: str) -> None:
        """Say something beside the result: on stderr, so that stdout stays what was asked for."""
        click.echo(text, err=True)
