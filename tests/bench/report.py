# SPDX-License-Identifier: Apache-2.0
"""What a run of the bench says: a table for people, and JSON for whoever compares two runs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench.control import scratch, sync_ms
from tests.bench.figures import Figure, Verdict, moved

CHECKOUT = Path(__file__).parents[2]
COLUMNS = ("measure", "median", "min-max", "N", "unit", "target", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where it was measured."""

    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    python: str
    podman: str
    sqlite: str
    disk_sync_ms: float
    load: float
    """The load average at the start."""

    @classmethod
    def look(cls) -> Machine:
        """This one, now."""
        import sqlite3

        lines = Path("/proc/cpuinfo").read_text().splitlines()
        models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
        with scratch() as folder:
            disk_sync_ms = sync_ms(folder)
        return cls(
            cpu=next(models, os.uname().machine),
            cores=os.cpu_count() or 1,
            memory_gib=round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
            kernel=os.uname().release,
            python=platform.python_version(),
            podman=_said("podman", "--version").removeprefix("podman version "),
            sqlite=sqlite3.sqlite_version,
            disk_sync_ms=round(disk_sync_ms, 3),
            load=os.getloadavg()[0],
        )

    def line(self) -> str:
        """For the head of the table."""
        return (
            f"{self.cores} x {self.cpu}, {self.memory_gib:.0f} GiB, Linux {self.kernel}, "
            f"Podman {self.podman or 'none'}, Python {self.python}, SQLite {self.sqlite}; "
            f"a disk sync takes {self.disk_sync_ms:.2f} ms; "
            f"load {self.load:.2f} at the start"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What came of a part. ``pulses_ms`` is the machine's control, before and after it; ``fault`` is why there are no
    figures."""

    name: str
    about: str
    seconds: float
    pulses_ms: tuple[float, ...]
    figures: tuple[Figure, ...] = ()
    fault: str = ""

    @property
    def moved(self) -> bool:
        """Whether the machine's control moved meanwhile."""
        return moved(self.pulses_ms)

    def verdicts(self) -> list[Verdict]:
        """One to each figure."""
        return [each.verdict(machine_moved=self.moved) for each in self.figures]


def failed(results: Sequence[Result]) -> bool:
    """Whether a target is missed, or a part ended with a fault."""
    return any(each.fault or Verdict.MISSED in each.verdicts() for each in results)


def table(results: Sequence[Result]) -> str:
    """The table as text: the parts one under another, in columns that are as wide everywhere."""
    parts = [(each, [_row(*pair) for pair in zip(each.figures, each.verdicts(), strict=True)]) for each in results]
    rows = [COLUMNS, *(row for _, some in parts for row in some)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    lines = [_line(COLUMNS, widths)]
    for part, some in parts:
        moving = " - the machine moved" if part.moved else ""
        lines += ["", f"--- {part.name}: {part.about} ({part.seconds:.0f} s{moving})"]
        lines += [f"FAILED: {part.fault}"] if part.fault else []
        lines += [_line(row, widths) for row in some]
    return "\n".join([*lines, "", summary(results)])


def summary(results: Sequence[Result]) -> str:
    """The line at the end."""
    verdicts = [verdict for each in results for verdict in each.verdicts()]
    counts = [
        (sum(each is not Verdict.NONE for each in verdicts), "targets"),
        (verdicts.count(Verdict.OK), "ok"),
        (verdicts.count(Verdict.MISSED), "missed"),
        (verdicts.count(Verdict.NOISY), "noisy (missed, while the control moved by more than a third)"),
        (sum(bool(each.fault) for each in results), "parts failed"),
    ]
    pulses = [pulse for each in results for pulse in each.pulses_ms]
    said = ", ".join(f"{count} {word}" for count, word in counts)
    return f"{said}; the calibrated loop took {min(pulses):.1f} to {max(pulses):.1f} ms"


def _row(figure: Figure, verdict: Verdict) -> tuple[str, ...]:
    text = figure.text
    spread = f"{text(min(figure.values))}-{text(max(figure.values))}" if len(figure.values) > 1 else ""
    return (figure.name, text(figure.median), spread, str(len(figure.values)), figure.unit, figure.bound, verdict)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        text.rjust(width) if column else text.ljust(width)
        for column, (text, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join([first, *rest]).rstrip()


def as_json(machine: Machine, results: Sequence[Result]) -> str:
    """Everything that was measured, value by value."""
    content = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _said("git", "-C", str(CHECKOUT), "describe", "--always", "--dirty"),
        "machine": {name: getattr(machine, name) for name in Machine.__slots__},
        "parts": [_part(each) for each in results],
    }
    return json.dumps(content, indent=1) + "\n"


def _part(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "seconds": round(result.seconds, 1),
        "loop_ms": list(result.pulses_ms),
        "moved": result.moved,
        "fault": result.fault,
        "figures": [
            {
                "name": figure.name.strip(),
                "unit": figure.unit,
                "median": figure.median,
                "values": list(figure.values),
                "target": figure.target,
                "at_least": figure.at_least,
                "beside": list(figure.beside),
                "verdict": verdict.lower(),
            }
            for figure, verdict in zip(result.figures, result.verdicts(), strict=True)
        ],
    }


def _said(*command: str) -> str:
    """What a program says; nothing where there is none."""
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
