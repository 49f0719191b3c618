# SPDX-License-Identifier: Apache-2.0
"""The telemetry port: what is counted as it happens, and how it is told with what is read at that moment.

Implementation: :mod:`notebookd.adapters.prometheus`. Counting neither blocks nor raises. Whatever is handed over as a
label comes out of a small, fixed set (a route's pattern, a state, a kind of work), never out of a request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal, Protocol

Direction = Literal["in", "out"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A figure as it is now, for each set of labels. A counter's ``name`` ends in ``_total``; units are in the name."""

    name: str
    about: str
    kind: Literal["gauge", "counter"] = "gauge"
    labels: tuple[str, ...] = ()
    samples: Sequence[tuple[tuple[str, ...], float]] = ()


class Telemetry(Protocol):
    """What is counted since this daemon's start."""

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """The API began an answer, so long after the request was there. ``route`` is the pattern."""
        ...

    def turned(self, kind: str, seconds: float) -> None:
        """A turn of the reconciler ended, so long after it was asked for."""
        ...

    def wrote(self, seconds: float) -> None:
        """A write transaction was committed, so long after it began; waiting for the writer before it is left out."""
        ...

    def moved(self, direction: Direction, count_bytes: int) -> None:
        """A mover carried so many more bytes."""
        ...

    def transferred(self, kind: str, state: str) -> None:
        """A transfer ended."""
        ...

    def follower(self) -> AbstractContextManager[None]:
        """Somebody follows the events for as long as the block lasts."""
        ...

    def expose(self, families: Sequence[Family], *, openmetrics: bool) -> bytes:
        """All of it as text, in the format of OpenMetrics or of Prometheus."""
        ...


CONTENT_TYPES: Mapping[bool, str] = {
    True: "application/openmetrics-text; version=1.0.0; charset=utf-8",
    False: "text/plain; version=0.0.4; charset=utf-8",
}
"""Of what :meth:`Telemetry.expose` gives, by whether it is OpenMetrics."""
