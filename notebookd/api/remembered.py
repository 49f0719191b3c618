# SPDX-License-Identifier: Apache-2.0
"""Answers that were encoded already, for those who ask the same again.

Shaping and encoding a notebook takes longer than all else that a request costs, and whoever polls asks the same again
and again. What is remembered of one notebook is forgotten at the next commit that touches it, what is remembered of all
of them at the next commit, and everything after a second at the latest: an answer also tells what no commit tells, how
long something runs and how far a transfer is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from notebookd.domain.ids import NotebookId
from notebookd.ports.clock import Clock

MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """An answer's bytes and headers; of a notebook, whose it is and its labels, since not everybody may see it."""

    body: bytes
    headers: Mapping[str, str] | None = None
    owner: str = ""
    labels: Mapping[str, str] | None = None


Stamp = tuple[int, int]
"""What was the last commit, and which second it was, when somebody began to read."""


class Memory:
    """The answers of one second."""

    def __init__(self, generation: Callable[[NotebookId | None], int], clock: Clock) -> None:
        self._generation = generation
        self._clock = clock
        self._second = 0
        self._answers: dict[Hashable, tuple[Stamp, Remembered]] = {}
        self._bytes = 0

    def stamp(self, about: NotebookId | None = None) -> Stamp:
        """Ask for it before reading what an answer is made of, and await nothing until it is kept. ``about`` says that
        it is made of nothing but one notebook."""
        second = int(self._clock.now().timestamp())
        if second != self._second:
            self._second, self._bytes = second, 0
            self._answers.clear()
        return self._generation(about), second

    def find(self, question: Hashable, stamp: Stamp) -> Remembered | None:
        """The answer to that question, where it still holds."""
        kept = self._answers.get(question)
        return kept[1] if kept is not None and kept[0] == stamp else None

    def keep(self, question: Hashable, answer: Remembered, stamp: Stamp) -> Remembered:
        """Remember an answer that was read after ``stamp``."""
        self._bytes += len(answer.body)
        if self._bytes <= MOST_BYTES:
            self._answers[question] = stamp, answer
        return answer


MEMORY: Final = web.AppKey("memory", Memory)
