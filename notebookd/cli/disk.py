# SPDX-License-Identifier: Apache-2.0
"""Who fills the disk, as ``notebookctl usage disk`` shows it."""

from __future__ import annotations

from collections import defaultdict

from notebookd import wire
from notebookd.cli.here import Here
from notebookd.cli.output import Table, age, size

_UNKNOWN = "?"


def disk_text(usage: wire.DiskUsage, here: Here, *, by_user: bool) -> str:
    """The table, by notebook or by owner, with what they come to and what is free."""
    table = _by_owner(usage) if by_user else _by_notebook(usage, here)
    free = f"{size(usage.total)} in workspaces, {size(usage.free)} free"
    return f"{table.text().rstrip()}\n{free}"


def disk_sheet(usage: wire.DiskUsage) -> Table:
    """The same in plain numbers, for programs that read CSV."""
    heads = ("NOTEBOOK", "NAME", "OWNER", "STATE", "SNAPSHOTS", "USED", "MEASURED AT")
    rows = [
        [row.notebook, row.name, row.owner, row.state, str(row.snapshots), _number(row.used), row.measured_at or ""]
        for row in usage.items
    ]
    return Table(heads, rows)


def _by_notebook(usage: wire.DiskUsage, here: Here) -> Table:
    now = here.terminal.now()
    rows = [
        [
            _UNKNOWN if isinstance(row.used, wire.UnsetType) else size(row.used),
            row.owner,
            row.name,
            row.state,
            str(row.snapshots),
            age(row.measured_at, now) if row.measured_at else "never",
        ]
        for row in usage.items
    ]
    return Table(("USED", "OWNER", "NAME", "STATE", "SNAPSHOTS", "MEASURED"), rows)


def _by_owner(usage: wire.DiskUsage) -> Table:
    used: defaultdict[str, int] = defaultdict(int)
    counts: defaultdict[str, int] = defaultdict(int)
    for row in usage.items:
        used[row.owner] += 0 if isinstance(row.used, wire.UnsetType) else row.used
        counts[row.owner] += 1
    owners = sorted(used, key=lambda owner: (-used[owner], owner))
    return Table(("USED", "OWNER", "NOTEBOOKS"), [[size(used[each]), each, str(counts[each])] for each in owners])


def _number(count: int | wire.UnsetType) -> str:
    return "" if isinstance(count, wire.UnsetType) else str(count)
