# SPDX-License-Identifier: Apache-2.0
"""Numbers as they are reported: a median, its spread, and a target where there is one."""

from __future__ import annotations

import os
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of the table. ``target`` bounds the median: from above, or below where ``at_least``."""

    name: str
    values: tuple[float, ...]
    unit: str
    target: float | None = None
    at_least: bool = False
    digits: int = 3

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def missed(self) -> bool:
        if self.target is None:
            return False
        return self.median < self.target if self.at_least else self.median > self.target

    def row(self) -> tuple[str, ...]:
        spread = f"{self._text(min(self.values))}-{self._text(max(self.values))}" if len(self.values) > 1 else ""
        bound = "" if self.target is None else f"{'≥' if self.at_least else '≤'} {self._text(self.target)}"
        verdict = "" if self.target is None else "MISSED" if self.missed else "ok"
        return (self.name, self._text(self.median), spread, str(len(self.values)), self.unit, bound, verdict)

    def _text(self, value: float) -> str:
        return f"{value:,.{self.digits}f}"


def ratio(name: str, above: Figure, below: Figure, *, target: float | None = None) -> Figure:
    """The quotient of two medians."""
    return Figure(name=name, values=(above.median / below.median,), unit="x", target=target, digits=2)


def table(figures: Sequence[Figure]) -> str:
    """The table as text."""
    rows = [("measure", "median", "min-max", "N", "unit", "target", ""), *(each.row() for each in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(text.ljust(width) if not column else text.rjust(width) for column, (text, width) in enumerate(pairs))
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(line.rstrip() for line in lines)


def machine() -> str:
    """The machine in a line."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        os.uname().machine,
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} x {model}, {memory:.0f} GiB, Linux {os.uname().release}, load {load:.2f} at the start"
