# SPDX-License-Identifier: Apache-2.0
"""The commands that the pages have one type: where they stand, and what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Typed:
    """A line to be typed: its page and the section that it is in, and the line without its remark."""

    page: str
    section: str
    line: str

    @property
    def commands(self) -> list[str]:
        """What is typed one after the other, or side by side in a pipe."""
        return [each.strip() for each in re.split(r"[;|]", self.line)]


def typed(page: str) -> Iterator[Typed]:
    """The lines of the blocks that are indented, which are commands; code of other languages is fenced, or has no
    command in front."""
    section, fenced = "", False
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        fenced ^= line.startswith("```")
        if fenced:
            continue
        if line.startswith("#"):
            section = line.lstrip("# ")
        elif found := re.fullmatch(r" {4}(\S.*)", line):
            yield Typed(page, section, re.split(r"\s#", found[1])[0].strip())
