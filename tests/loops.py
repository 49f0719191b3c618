# SPDX-License-Identifier: Apache-2.0
"""Who held a loop up, and for how long: for the tests whose loop a daemon lives in."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from notebookd.adapters.loop_watch import Block, LoopWatch

TOPIC = "the event loop, held up (waiting for a CPU left out)"
LEAST_S = 0.02
MOST_S = 0.05
"""For so long nothing may hold it up."""

FAKES = "notebookd/testing/"


def is_the_daemons(block: Block) -> bool:
    """Whether it was the daemon's code: not a test that called something, and not a fake."""
    ours = [frame for frame in block.where if frame.startswith(("notebookd/", "tests/"))]
    if not ours:
        return not block.where
    return ours[-1].startswith("notebookd/") and not ours[0].startswith(FAKES)


@dataclass(slots=True)
class Seen:
    """The blocks of loops, as they come."""

    blocks: list[Block] = field(default_factory=list)

    def watch(self) -> LoopWatch:
        """One that puts them here."""
        return LoopWatch(self.blocks.append, least_s=LEAST_S)

    @property
    def daemons(self) -> list[Block]:
        """Those by the daemon, the longest first."""
        return sorted(filter(is_the_daemons, self.blocks), key=lambda block: block.own_s, reverse=True)

    def line(self) -> str:
        """For the end of a run."""
        longest = f", the longest {self.daemons[0]}" if self.daemons else ""
        over = sum(block.own_s > MOST_S for block in self.daemons)
        return f"{len(self.daemons)} times over {LEAST_S * 1000:.0f} ms, {over} over {MOST_S * 1000:.0f} ms{longest}"


_LOGGED = re.compile(r"(the event loop was held up for (\d+) ms \((\d+) ms for a CPU\).*)")


def logged(text: str) -> list[tuple[int, str]]:
    """What held the loop up of a daemon with ``NOTEBOOKD_LOOP_WATCH`` whose log this is, since it served for the first
    time: milliseconds without the wait for a CPU, and the words; the longest first."""
    found = _LOGGED.findall(text.partition(" serves ")[2])
    return sorted(((int(all_ms) - int(cpu_ms), words) for words, all_ms, cpu_ms in found), reverse=True)


def logged_line(blocks: Iterable[tuple[int, str]]) -> str:
    """The same for the end of a run."""
    blocks = list(blocks)
    longest = f", the longest {blocks[0][0]} ms: {blocks[0][1]}" if blocks else ""
    over = sum(own_ms > MOST_S * 1000 for own_ms, _ in blocks)
    return f"{len(blocks)} times over {LEAST_S * 1000:.0f} ms, {over} over {MOST_S * 1000:.0f} ms{longest}"
