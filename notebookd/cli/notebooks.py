# SPDX-License-Identifier: Apache-2.0
"""How notebooks look as rows of the list."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from notebookd import wire
from notebookd.cli.output import Table, age, seconds, telling, until

__all__ = ["COLUMNS", "ELASTIC", "EVERY_COLUMN", "SPARE", "deadline_of", "table"]

COLUMNS = ("ID", "NAME", "STATE", "AGE", "FRAMEWORK", "VERSION", "EDITOR", "GPUS", "DEADLINE", "URL")
EVERY_COLUMN = (COLUMNS[0], "OWNER", *COLUMNS[1:-1], "CPUS", "FLAVOR", "LABELS", COLUMNS[-1])
SPARE = ("URL", "VERSION", "EDITOR", "FRAMEWORK", "AGE", "GPUS", "DEADLINE", "ID")
"""From the first on, what a narrow terminal does without."""
ELASTIC = ("NAME", "OWNER", "LABELS")
"""What a narrow terminal cuts before."""


def table(
    notebooks: Iterable[wire.Notebook],
    now: datetime,
    *,
    columns: Sequence[str] = COLUMNS,
    short: bool = False,
    exact: bool = False,
) -> Table:
    """The list. With ``short``, ids are as long as tells them apart; with ``exact``, which programs want, an age is
    seconds and a deadline is RFC 3339."""
    shown = list(notebooks)
    length = telling([each.id for each in shown]) if short else None
    return Table(EVERY_COLUMN, [_row(each, now, length, exact=exact) for each in shown]).only(columns)


def _row(notebook: wire.Notebook, now: datetime, length: int | None, *, exact: bool) -> tuple[str, ...]:
    spec, status = notebook.spec, notebook.status
    deadline = deadline_of(notebook)
    return (
        notebook.id[:length],
        notebook.user,
        spec.name,
        status.state,
        seconds(notebook.created_at, now) if exact else age(notebook.created_at, now),
        spec.env.framework_id,
        spec.env.framework_version or "",
        spec.env.editor_id,
        str(spec.resources.gpu or 0),
        until(deadline, now) if deadline and not exact else deadline,
        str(spec.resources.cpu or 0),
        spec.resources.flavor or "",
        ",".join(f"{name}={value}" for name, value in (spec.labels or {}).items()),
        status.url,
    )


def deadline_of(notebook: wire.Notebook) -> str:
    """When it will be stopped, in RFC 3339; empty where it does not run."""
    job = notebook.status.last_job_status
    return (job.timeout_at or "") if job and notebook.status.state in {"RUNNING", "RESTARTING"} else ""
