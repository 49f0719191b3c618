# SPDX-License-Identifier: Apache-2.0
"""Answers that were encoded already, for those who ask the same again.

Shaping and encoding a page of notebooks takes longer than all else that a request costs, and whoever polls asks the
same again and again. What is remembered is forgotten at the next commit, whatever it changed, and after a second at the
latest: an answer also tells what no commit tells, how long something runs and how far a transfer is.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from notebookd.ports.clock import Clock

MOST_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """An answer's bytes and headers; of a notebook, whose it is and its labels, since not everybody may see it."""

    body: bytes
    headers: Mapping[str, str] | None = None
    owner: str = ""
    labels: Mapping[str, str] | None = None


class Memory:
    """The answers of one commit and second."""

    def __init__(self, generation: Callable[[], int], clock: Clock) -> None:
        self._generation = generation
        self._clock = clock
        self._moment: tuple[int, int] | None = None
        self._answers: dict[Hashable, Remembered] = {}
        self._bytes = 0

    def find(self, question: Hashable) -> Remembered | None:
        """The answer to that question, where it holds still. Ask before reading what an answer is made of."""
        moment = (self._generation(), int(self._clock.now().timestamp()))
        if moment != self._moment:
            self._moment, self._bytes = moment, 0
            self._answers.clear()
        return self._answers.get(question)

    def keep(self, question: Hashable, answer: Remembered) -> Remembered:
        """Remember an answer for which :meth:`find` was asked in vain, without anything awaited since."""
        self._bytes += len(answer.body)
        if self._bytes <= MOST_BYTES:
            self._answers[question] = answer
        return answer


MEMORY: Final = web.AppKey("memory", Memory)
