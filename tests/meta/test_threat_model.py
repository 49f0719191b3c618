# SPDX-License-Identifier: Apache-2.0
"""The threat model names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_defence_is_shown_by_a_test_that_there_is() -> None:
    page = (ROOT / "THREAT-MODEL.md").read_text(encoding="utf-8")
    defences = page.partition("## Defences")[2].partition("\n## ")[0]
    rows = [row for row in defences.splitlines() if row.startswith("| ")][2:]
    named = [set(re.findall(r"`(test_\w+)`", row)) for row in rows]
    assert all(named), [row for row, tests in zip(rows, named, strict=True) if not tests]
    there = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(r"def (test_\w+)", path.read_text(encoding="utf-8"))
    }
    assert set().union(*named) - there == set()
