# SPDX-License-Identifier: Apache-2.0
"""What csv holds is for machines, whatever the verb: bytes, seconds, RFC 3339, one thing a cell."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
FOR_PEOPLE = re.compile(
    r"[0-9.]+ ?([KMGT]i?B|B)"  # sizes
    r"|[0-9]+(%|C|W)"  # measures
    r"|([0-9]+[dhms]){1,2}"  # ages
    r"|in [0-9]+ .*|now|goes on"  # times ahead
    r"|(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [0-9]{4}-.*"  # times in a zone
    r"|[0-9,.]+ [A-Z]{3}( .*)?"  # money
    r"|uid [0-9].*|-"
)


def test_what_is_for_people_is_known_when_seen() -> None:
    for cell in (
        "64.0 GiB",
        "37%",
        "51C",
        "3h",
        "6d23h",
        "in 2 h 5 min",
        "Sun 2026-11-29 20:30 CET",
        "0.19 EUR",
        "1 B",
    ):
        assert FOR_PEOPLE.fullmatch(cell), cell
    for cell in ("68719476736", "2026-11-29T19:30:00.000Z", "py311", "calm", "GPU-1", ""):
        assert not FOR_PEOPLE.fullmatch(cell), cell


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.csv")), ids=lambda file: file.stem)
def test_cells_are_for_machines(file: Path) -> None:
    header, *rows = csv.reader(file.read_text().splitlines())
    assert rows
    for row in rows:
        assert len(row) == len(header)
        for name, cell in zip(header, row, strict=True):
            if name not in {"VALUE", "MESSAGE", "SAID", "DETAILS"}:
                assert not FOR_PEOPLE.fullmatch(cell), (name, cell)
