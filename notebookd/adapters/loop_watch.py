# SPDX-License-Identifier: Apache-2.0
"""How long an event loop is held up: for whoever looks for what blocks it.

A loop waits in its selector. So the time from there and back is how long it was away, and nobody was served. A thread
looks meanwhile at what it is doing. Waiting for a CPU is the machine's doing, and is told apart where the kernel counts
it (``schedstat``).
"""

from __future__ import annotations

import asyncio
import os
import selectors
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Self

LOOK_EVERY_S = 0.01
MOST_FRAMES = 40
"""Of the stack, from where the loop is."""

_NS = 1e9
_ROOTS = frozenset({"notebookd", "tests"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A time in which a loop did not come back: seconds in all, and of them those of waiting for a CPU. ``where`` is
    what it was at when it was looked at, innermost first, as ``file:line name``; empty where nobody looked in time."""

    seconds: float
    waited_s: float
    where: tuple[str, ...]

    @property
    def own_s(self) -> float:
        """Without the wait for a CPU."""
        return max(self.seconds - self.waited_s, 0.0)

    def __str__(self) -> str:
        at = " < ".join(self.where[:6]) or "nobody saw where"
        return f"held up for {self.seconds * 1000:.0f} ms ({self.waited_s * 1000:.0f} ms for a CPU) at {at}"


class LoopWatch:
    """Tells of each time that a loop was away for at least ``least_s``, the wait for a CPU left out. The loop is made
    by :meth:`make_loop`; one at a time."""

    def __init__(self, told: Callable[[Block], None], *, least_s: float) -> None:
        self._told = told
        self.least_s = least_s
        self._thread_id = 0
        self._away_since: float | None = None
        self._where: tuple[str, ...] = ()
        self._stopped = threading.Event()
        self._looking = threading.Thread(target=self._look, daemon=True, name="loop-watch")

    def make_loop(self) -> asyncio.AbstractEventLoop:
        """A loop that is watched."""
        return asyncio.SelectorEventLoop(_Watched(self))

    def __enter__(self) -> Self:
        self._looking.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._looking.join()

    def left(self) -> None:
        """The loop has come out of its selector."""
        self._thread_id = threading.get_ident()
        self._where = ()
        self._away_since = time.perf_counter()

    def came_back(self, waited_s: Callable[[], float]) -> None:
        """The loop is in its selector again."""
        since, self._away_since = self._away_since, None
        if since is None or (seconds := time.perf_counter() - since) < self.least_s:
            return
        block = Block(seconds=seconds, waited_s=waited_s(), where=self._where)
        if block.own_s >= self.least_s:
            self._told(block)

    def _look(self) -> None:
        while not self._stopped.wait(LOOK_EVERY_S):
            since = self._away_since
            if since is None or self._where or time.perf_counter() - since < self.least_s / 2:
                continue
            frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - there is no other way
            if self._away_since == since and frame is not None:
                self._where = _stack_of(frame)


def _stack_of(frame: FrameType | None) -> tuple[str, ...]:
    found: list[str] = []
    while frame is not None and len(found) < MOST_FRAMES:
        found.append(f"{_short(frame.f_code.co_filename)}:{frame.f_lineno} {frame.f_code.co_name}")
        frame = frame.f_back
    return tuple(found)


def _short(file: str) -> str:
    """The path from the package on, or its end."""
    parts = Path(file).parts
    roots = [place for place, part in enumerate(parts) if part in _ROOTS]
    return "/".join(parts[roots[-1] :] if roots else parts[-2:])


class _Watched(selectors.EpollSelector):
    def __init__(self, watch: LoopWatch) -> None:
        super().__init__()
        self._watch = watch
        self._waits: int | None = None
        self._before_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._watch.came_back(lambda: self._waited_s() - self._before_s)
        found = super().select(timeout)
        self._before_s = self._waited_s()
        self._watch.left()
        return found

    def _waited_s(self) -> float:
        """Seconds that this thread has waited for a CPU so far."""
        if self._waits is None:
            try:
                self._waits = os.open(
                    f"/proc/self/task/{threading.get_native_id()}/schedstat", os.O_RDONLY | os.O_CLOEXEC
                )
            except OSError:
                self._waits = -1
        if self._waits < 0:
            return 0.0
        return int(os.pread(self._waits, 100, 0).split()[1]) / _NS

    def close(self) -> None:
        if self._waits is not None and self._waits >= 0:
            os.close(self._waits)
            self._waits = -1
        super().close()
