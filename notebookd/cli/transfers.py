# SPDX-License-Identifier: Apache-2.0
"""Transfers of data in words: what is under way, how far it is, how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from notebookd import wire
from notebookd.cli.output import clean, counted, size
from notebookd.cli.progress import Rate

__all__ = ["SYNC_FAILED", "Transfers", "Underway", "count", "reason", "remarks", "word"]

SYNC_FAILED = frozenset({"FAILED", "INTERRUPTED"})
_OVER = SYNC_FAILED | {"DONE"}
_WORDS = {"pull": "data in", "push": "data out", "snapshot": "snapshot", "restore": "workspace in"}


@dataclass(frozen=True, slots=True)
class Underway:
    """What is under way, and how far it is; both empty where nothing is."""

    text: str = ""
    detail: str = ""


def word(sync: wire.DataSync) -> str:
    """What a transfer is for: ``data in``, ``data out``, ``snapshot``."""
    return _WORDS.get(sync.spec.kind or sync.spec.direction, sync.spec.direction)


def reason(sync: wire.DataSync) -> str:
    """How it stands, with the code."""
    info = sync.status.info
    return f"{info.message} ({info.code})" if info else sync.status.state


def remarks(sync: wire.DataSync) -> str:
    """What its movers have to say beside numbers: names in conflict, names that were left out. Begins with ``: ``, or
    is empty."""
    usual = sync.status.info.message if sync.status.info else ""
    said = [row.reason.message for row in sync.status.progress or [] if row.state == "DONE" and row.reason]
    return "".join(f": {each}" for each in dict.fromkeys(said) if each != usual)


def count(rows: list[wire.DataSyncProgress]) -> str:
    """How far it is: ``3 of 10 files, 12.0 MiB of 40.0 MiB``; and what was not copied, where there is such."""
    total, done = sum(row.total or 0 for row in rows), sum(row.processed or 0 for row in rows)
    whole, moved = sum(row.total_bytes or 0 for row in rows), sum(row.transferred_bytes or 0 for row in rows)
    words = [f"{done} of {counted(total, 'file')}" if total > done else counted(done, "file"), size(moved)]
    if whole > moved and total > done:
        words[-1] += f" of {size(whole)}"
    left = {name: sum(getattr(row, name) or 0 for row in rows) for name in ("deleted", "skipped", "failed")}
    return ", ".join([*words, *(f"{amount} {name}" for name, amount in left.items() if amount)])


class Transfers:
    """Tells the transfers of a notebook, each end once. Only what began after ``begun`` is told."""

    def __init__(self, begun: datetime) -> None:
        self._begun = begun - timedelta(milliseconds=5)  # times on the wire are cut to milliseconds
        self._told: set[str] = set()
        self._rates: dict[str, Rate] = {}

    def underway(self, status: wire.NotebookStatus, now: datetime, *, only: str | None = None) -> Underway:
        """What is under way now."""
        for sync in status.data_sync or []:
            if sync.status.state in _OVER or (only is not None and sync.id != only):
                continue
            rows = sync.status.progress or []
            running = [row for row in rows if row.state == "RUNNING"]
            paths = [row.notebook_volume.mount_path for row in running if row.notebook_volume]
            moved = sum(row.transferred_bytes or 0 for row in rows)
            rate = self._rates.setdefault(sync.id, Rate(now)).per_second(moved, now)
            text = " ".join((word(sync), *paths)) if running else f"{word(sync)} waits for its turn"
            return Underway(text, count(rows) + rate if running else "")
        return Underway()

    def finished(self, status: wire.NotebookStatus, *, only: str | None = None) -> Iterator[str]:
        """A line for each that ended meanwhile, the oldest first."""
        for sync in reversed(status.data_sync or []):
            began = wire.parse_rfc3339(sync.status.queued_at)
            wanted = sync.id == only if only is not None else began >= self._begun
            if not wanted or sync.status.state not in _OVER or sync.id in self._told:
                continue
            self._told.add(sync.id)
            if sync.status.state == "DONE":
                amount = count(sync.status.progress or [])
                yield clean(f"{word(sync):<14}{_seconds(sync):7.1f} s  {amount}{remarks(sync)}")
            else:
                yield clean(f"{word(sync):<14}{_seconds(sync):7.1f} s  {sync.status.state}: {reason(sync)}")


def _seconds(sync: wire.DataSync) -> float:
    began, ended = sync.status.started_at, sync.status.ended_at
    if not began or not ended:
        return 0.0
    return (wire.parse_rfc3339(ended) - wire.parse_rfc3339(began)).total_seconds()
