# SPDX-License-Identifier: Apache-2.0
"""The whole screen of a terminal, lent for a while: keys and signals in, frames out, everything put back at the end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

__all__ = ["Bell", "show"]

_LEAVING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Bell:
    """Wakes who waits on it, from any thread and from a signal's handler. It hangs as long as the program runs."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    def ring(self) -> None:
        """Wake. A bell that rings already is left alone."""
        with contextlib.suppress(BlockingIOError, OSError):
            os.write(self._write, b"!")

    def wait(self, seconds: float, keys: int | None) -> bytes:
        """Wait for the bell or a key, so long at most; the keys that were pressed."""
        sources = [self._read] if keys is None else [self._read, keys]
        ready, _, _ = select.select(sources, [], [], seconds)
        if self._read in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._read, 4096)
        if keys is None or keys not in ready:
            return b""
        return os.read(keys, 64) or b"q"  # the terminal is gone: there is nobody to show anything to


class _Signals:
    """What the system told us, noted by handlers that do nothing else."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self.leaving = 0
        self.stopping = False

    def note(self, number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGTSTP:
            self.stopping = True
        elif number in _LEAVING:
            self.leaving = number
        self._bell.ring()


def show(
    draw: Callable[[int, int], list[Text]],
    console: Console,
    bell: Bell,
    interval_s: float,
    press: Callable[[bytes], bool],
) -> int:
    """Show ``draw(width, height)`` on the whole screen: each interval, at each ring and key, at each change of size.

    Left by keys of which ``press`` says so, SIGTERM or SIGHUP; gives the signal's number, 0 for a key. Ctrl-Z suspends,
    and the screen is the shell's meanwhile.
    """
    keys = sys.stdin.fileno() if sys.stdin.isatty() else None
    signals = _Signals(bell)
    with _listening(signals):
        while True:
            with _single_keys(keys), _live(console) as live:
                while not signals.leaving and not signals.stopping:
                    size = console.size
                    live.update(Group(*draw(size.width, size.height)), refresh=True)
                    if (pressed := bell.wait(interval_s, keys)) and press(pressed):
                        return 0
            if signals.leaving:
                return signals.leaving
            signals.stopping = False
            os.kill(os.getpid(), signal.SIGSTOP)


def _live(console: Console) -> Live:
    return Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)


@contextlib.contextmanager
def _listening(signals: _Signals) -> Iterator[None]:
    numbers = (*_LEAVING, signal.SIGTSTP, signal.SIGWINCH)
    before = {number: signal.signal(number, signals.note) for number in numbers}
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)


@contextlib.contextmanager
def _single_keys(keys: int | None) -> Iterator[None]:
    """Keys as they are pressed, and unseen; the terminal as it was afterwards."""
    if keys is None:
        yield
        return
    before = termios.tcgetattr(keys)
    tty.setcbreak(keys)
    try:
        yield
    finally:
        termios.tcsetattr(keys, termios.TCSAFLUSH, before)
