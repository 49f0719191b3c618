# SPDX-License-Identifier: Apache-2.0
"""What one listing of Podman's tells of many containers, so that they need no inspection each.

A listing has state, pid and labels, but times to the second only, and no conmon. So it is believed of one kind of
container alone: one that an inspection has shown running, of which the listing tells the same run (name, id, pid and
start), and whose process, known by its start time, lives. Nothing else of it can have changed meanwhile. All others
are inspected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from notebookd.adapters.podman.liveness import Liveness
from notebookd.adapters.podman.translate import Inspected, unavailable
from notebookd.ports.engine import Container

Row = Mapping[str, Any]


def rows_of(body: Any, *, label: str, instance: str) -> list[Row]:
    """The rows of a listing. Those that a label says are another instance's are left out. Raises EngineUnavailable
    when this is no listing."""
    rows = [] if body is None else body
    if not isinstance(rows, list) or not all(isinstance(row, dict) and isinstance(row.get("Id"), str) for row in rows):
        raise unavailable("list containers", "its answer is no listing")
    return [row for row in rows if not isinstance(row.get("Labels"), dict) or row["Labels"].get(label) == instance]


def name_of(row: Row) -> str:
    """The container's name; empty when it has none or several."""
    names = row.get("Names")
    return names[0] if isinstance(names, list) and len(names) == 1 and isinstance(names[0], str) else ""


class Sightings:
    """Running containers as they were last inspected. Used from worker threads; a step is one dictionary operation."""

    def __init__(self, liveness: Liveness) -> None:
        self._liveness = liveness
        self._seen: dict[str, tuple[Inspected, Container]] = {}

    def note(self, inspected: Inspected) -> Container:
        """The container, whose process was seen living just now."""
        container = inspected.as_container(alive=True)
        if inspected.state == "running" and inspected.started_at is not None:
            self._seen[inspected.name] = (inspected, container)
        return container

    def believed(self, row: Row) -> Container | None:
        """What an inspection would show of the row's container; None where only an inspection can tell. Raises
        EngineUnavailable when /proc will not tell."""
        seen = self._seen.get(name_of(row))
        if seen is None:
            return None
        inspected, container = seen
        assert inspected.started_at is not None
        told = (row.get("Id"), row.get("State"), row.get("Pid"), row.get("StartedAt"))
        if told != (inspected.id, "running", inspected.pid, int(inspected.started_at.timestamp())):
            return None
        return container if self._liveness.process(inspected) is not None else None

    def keep(self, rows: Sequence[Row]) -> None:
        """Forget what a listing of all has not: it was removed."""
        there = {name_of(row) for row in rows}
        for name in list(self._seen):
            if name not in there:
                self._seen.pop(name, None)
