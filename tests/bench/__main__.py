# SPDX-License-Identifier: Apache-2.0
"""``make bench``, or ``make bench ONLY="crowd one"``: how quick notebookd is, beside what does the same without it.

Prints a table; writes every value as JSON to ``.cache/bench/``. Exit status 1 when a target is missed or a part fails.
Parts that need no daemon also run by themselves: ``.venv/bin/python -m tests.bench leasing``.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.bench.control import pulse_ms
from tests.bench.figures import Figure
from tests.bench.parts import PARTS, Part
from tests.bench.report import CHECKOUT, Machine, Result, as_json, failed, table

DESCRIPTION = "How quick notebookd is, beside what does the same without it."


def main() -> int:
    """Measure what was asked for; everything by default."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description=DESCRIPTION,
        epilog="parts: " + "; ".join(f"{part.name} ({'long: ' if part.long else ''}{part.about})" for part in PARTS),
    )
    parser.add_argument("part", nargs="*", help="some of the parts below, by commas or spaces (all but long ones)")
    parser.add_argument("--json", type=Path, help="where the values go (a new file in .cache/bench)")
    asked = parser.parse_args()
    names = [name for each in asked.part for name in each.replace(",", " ").split()]
    if unknown := sorted(set(names) - {part.name for part in PARTS}):
        parser.error(f"no such part: {', '.join(unknown)}; there are {', '.join(part.name for part in PARTS)}")
    return measure_all(
        [part for part in PARTS if part.name in names or not (names or part.long)], asked.json or _new_file()
    )


def measure_all(parts: Sequence[Part], file: Path) -> int:
    """One after the other. A part that fails does not keep the others from being measured."""
    if any(part.needs_daemon for part in parts) and (os.geteuid() != 0 or "NOTEBOOKD_RUN" not in os.environ):
        sys.exit("cannot measure: run it as root, under contrib/quickstart -- (`sudo make bench` does both)")
    machine = Machine.look()
    results: list[Result] = []
    file.parent.mkdir(parents=True, exist_ok=True)
    for part in parts:
        print(f"measuring: {part.name} ...", file=sys.stderr)
        results.append(_measured(part))
        file.write_text(as_json(machine, results), encoding="utf-8")  # what is measured stays, whatever ends the run
    print(f"{machine.line()}\n\n{table(results)}")
    print(f"every value: {file}")
    return 1 if failed(results) else 0


def _measured(part: Part) -> Result:
    figures: list[Figure] = []
    fault = ""
    before, begun = pulse_ms(), time.monotonic()
    try:
        figures = part.measure()
    except Exception as error:  # noqa: BLE001 - it is told, and the other parts are measured
        traceback.print_exc()
        fault = f"{type(error).__name__}: {error}"
    seconds = time.monotonic() - begun
    return Result(
        name=part.name,
        about=part.about,
        seconds=seconds,
        pulses_ms=(before, pulse_ms()),
        figures=tuple(figures),
        fault=fault,
    )


def _new_file() -> Path:
    return CHECKOUT / ".cache" / "bench" / f"{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}.json"


if __name__ == "__main__":
    sys.exit(main())
