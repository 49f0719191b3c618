# SPDX-License-Identifier: Apache-2.0
"""Numbers as they are measured, and what is wanted of them.

A target belongs to a ratio, and both sides of a ratio are measured in the same run: so it says the same on a quick
machine and on a slow one. The other side is the ratio's control as well. Where the control moves by more than a third
while it is measured, a ratio that misses its target says nothing, and is called noisy.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MOST_MOVED = 4 / 3
"""By how much a control may move."""


class Verdict(StrEnum):
    """What became of a target."""

    OK = "ok"
    MISSED = "MISSED"
    NOISY = "noisy"
    NONE = ""
    """There was none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table. ``target`` bounds the median: from above, or below where ``at_least``. ``beside`` is what
    was measured on the other side of a ratio, in the order in which it was measured."""

    name: str
    values: tuple[float, ...]
    unit: str
    target: float | None = None
    at_least: bool = False
    beside: tuple[float, ...] = ()
    digits: int = 3

    def __post_init__(self) -> None:
        if not self.values:
            raise ValueError(f"{self.name}: nothing was measured")
        if self.target is not None and not (self.unit == "x" and self.beside):
            raise ValueError(f"{self.name}: a target is for a ratio to something that was measured beside it")

    @property
    def median(self) -> float:
        """What the target bounds."""
        return statistics.median(self.values)

    @property
    def bound(self) -> str:
        """The target as it is shown."""
        return "" if self.target is None else f"{'≥' if self.at_least else '≤'} {self.text(self.target)}"

    def verdict(self, *, machine_moved: bool) -> Verdict:
        """``machine_moved``: whether the machine's control moved while this was measured."""
        if self.target is None:
            return Verdict.NONE
        if self.median >= self.target if self.at_least else self.median <= self.target:
            return Verdict.OK
        return Verdict.NOISY if machine_moved or moved(self.beside) else Verdict.MISSED

    def text(self, value: float) -> str:
        """A value of this figure as it is shown."""
        return f"{value:,.{self.digits}f}"


def ratio(name: str, ours: Figure, theirs: Figure, *, target: float | None = None, at_least: bool = False) -> Figure:
    """Ours over theirs: of each pair where they took turns, of the medians otherwise."""
    if len(ours.values) == len(theirs.values):
        values = tuple(one / other for one, other in zip(ours.values, theirs.values, strict=True))
    else:
        values = (ours.median / theirs.median,)
    return Figure(name=name, values=values, unit="x", target=target, at_least=at_least, beside=theirs.values, digits=2)


def moved(control: Sequence[float]) -> bool:
    """Whether a control moved by more than a third: its upper quartile beside its lower one, so that one odd value is
    not a noisy machine; the greatest beside the least where there are too few for quartiles."""
    if len(control) < 2:
        return False
    if len(control) < 4:
        low, high = min(control), max(control)
    else:
        low, _, high = statistics.quantiles(control, n=4, method="inclusive")
    return high > low * MOST_MOVED
