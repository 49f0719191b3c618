# SPDX-License-Identifier: Apache-2.0
"""What the GPUs did while one watches: the last looks at each, for a line of little bars."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from datetime import datetime

from notebookd import wire

__all__ = ["Past"]

MOST_LOOKS = 120


class Past:
    """Utilisation in percent of each GPU by its UUID, the newest last; None where it was not told."""

    def __init__(self) -> None:
        self._looks: dict[str, deque[int | None]] = {}
        self._last: datetime | None = None

    def note(self, board: wire.GpuList, at: datetime | None) -> None:
        """Keep a look; one that is kept already is not kept twice."""
        if at is None or at == self._last:
            return
        self._last = at
        self._looks = {each.uuid: self._looks.get(each.uuid, deque(maxlen=MOST_LOOKS)) for each in board.items}
        for each in board.items:
            self._looks[each.uuid].append(None if board.trouble else each.utilisation)

    def of(self, uuid: str) -> Sequence[int | None]:
        """The looks at a GPU."""
        return self._looks.get(uuid, ())
