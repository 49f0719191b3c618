# SPDX-License-Identifier: Apache-2.0
"""The caller's end: the clock, waiting, and what stands in front of the screen. Tests hand in one of their own."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

import click

__all__ = ["Terminal"]


class Terminal:
    """Where the command runs."""

    def now(self) -> datetime:
        """The time. The CLI is a process of its own, without the daemon's clock: here is the one place that asks."""
        return datetime.now(UTC)  # noqa: TID251 - see above

    def sleep(self, seconds: float) -> None:
        """Wait between two looks at the daemon."""
        time.sleep(seconds)

    def watched(self) -> bool:
        """Whether somebody sees the progress: then waiting is the default."""
        return sys.stderr.isatty()

    def answers(self) -> bool:
        """Whether somebody is there to answer a question."""
        return sys.stdin.isatty() and sys.stderr.isatty()

    def note(self, text: str) -> None:
        """Say something beside the result: on stderr, so that stdout stays what was asked for."""
        click.echo(text, err=True)
