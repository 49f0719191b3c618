# SPDX-License-Identifier: Apache-2.0
"""Rows as CSV, which people open in a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

__all__ = ["cell", "written"]

# What begins a formula where a spreadsheet opens the file, at the start of a cell or behind what parts cells elsewhere.
# A number may have its sign.
_FORMULA = re.compile(r"(^|[;\t])(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


def written(rows: Iterable[Sequence[str]]) -> str:
    """The rows as RFC 4180 has them, but with plain line ends."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().rstrip("\n")


def cell(text: str) -> str:
    """A cell that computes nothing where the file is opened: a ``'`` is put before what looks like a formula."""
    return text if _NUMBER.fullmatch(text) else _FORMULA.sub(r"\1'", text)
