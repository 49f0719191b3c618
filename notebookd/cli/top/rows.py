# SPDX-License-Identifier: Apache-2.0
"""The notebooks of a frame: those that are not stopped and wait for nothing, each with what it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from rich.text import Text

from notebookd import wire
from notebookd.cli.output import age, until
from notebookd.cli.top.gpus import Sheet
from notebookd.cli.top.ink import cell, line
from notebookd.cli.top.sight import Seen
from notebookd.cli.top.view import View

__all__ = ["drawn", "header"]

_WORDS = ("", "NOTEBOOK", "OWNER", "ON", "CPUS", "MEMORY", "DISK", "ENDS", "STATE")
_FIGURES = frozenset({"CPUS", "MEMORY", "DISK"})
_UNITS = ("B", "K", "M", "G", "T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A notebook and what is known of it now; None is not known."""

    notebook: wire.Notebook
    indices: tuple[int, ...]
    cpus: float | None
    memory: int | None
    disk: int | None
    ends: str


def header(sheet: Sheet) -> Text:
    """What the columns are."""
    title = _line(dict(zip(_WORDS, _WORDS, strict=True)), sheet)
    title.stylize("dim bold")
    return title


def drawn(seen: Seen, sheet: Sheet, view: View) -> list[Text]:
    """A line each, of those that are looked for, in the order that was chosen."""
    found = [each for each in _rows(seen) if view.shows(each.notebook.spec.name, each.notebook.user, _state(each))]
    found.sort(key=_order(view.sort), reverse=view.backwards)
    return [_line(_told(each, sheet), sheet) for each in found]


def _rows(seen: Seen) -> list[_Row]:
    if seen.notebook.value is None:
        return []
    queued = {each.notebook for each in seen.queue.value.items} if seen.queue.value else set()
    board = seen.gpu.value.items if seen.gpu.value else []
    loads = {each.notebook: each for each in seen.load.value.items} if seen.load.value else {}
    return [
        _row(each, tuple(gpu.index for gpu in board if gpu.lease and gpu.lease.notebook == each.id), loads.get(each.id))
        for each in seen.notebook.value.items
        if each.id not in queued
    ]


def _row(notebook: wire.Notebook, indices: tuple[int, ...], load: wire.Load | None) -> _Row:
    job, workspace = notebook.status.last_job_status, notebook.status.workspace
    cpus = load.cpus if load else wire.UNSET
    used = workspace.storage_used if workspace else wire.UNSET
    return _Row(
        notebook=notebook,
        indices=indices,
        cpus=None if cpus is wire.UNSET else cpus,
        memory=load.memory if load else None,
        disk=None if used is wire.UNSET else used,
        ends=(job.timeout_at or "") if job else "",
    )


def _order(sort: str) -> Callable[[_Row], tuple[float | str, ...]]:
    """The key of an order: who takes most comes first, and what is not known last; ties by age."""
    born: Callable[[_Row], str] = lambda row: row.notebook.created_at  # noqa: E731 - it is part of every key
    keys: Mapping[str, Callable[[_Row], tuple[float | str, ...]]] = {
        "age": lambda row: (born(row),),
        "cpu": lambda row: (-(row.cpus or 0), born(row)),
        "memory": lambda row: (-(row.memory or 0), born(row)),
        "disk": lambda row: (-(row.disk or 0), born(row)),
        "ends": lambda row: (row.ends or "~", born(row)),
        "owner": lambda row: (row.notebook.user, row.notebook.spec.name),
        "name": lambda row: (row.notebook.spec.name, row.notebook.user),
    }
    return keys[sort]


def _told(row: _Row, sheet: Sheet) -> dict[str, str]:
    spec, resources = row.notebook.spec, row.notebook.spec.resources
    amount = resources.cpu or 0
    where = "GPU " + ",".join(map(str, row.indices)) if row.indices else f"{amount} CPU" if amount else "-"
    return {
        "": "",
        "NOTEBOOK": spec.name,
        "OWNER": row.notebook.user,
        "ON": where,
        "CPUS": "-" if row.cpus is None else f"{row.cpus:.1f}",
        "MEMORY": _amount(row.memory),
        "DISK": _amount(row.disk),
        "ENDS": f"in {until(row.ends, sheet.now)}" if row.ends else "-",
        "STATE": f"{_state(row)} {age(row.notebook.created_at, sheet.now)}",
    }


def _state(row: _Row) -> str:
    return row.notebook.status.state


def _amount(count: int | None) -> str:
    """Bytes in at most five letters: ``1.5G``."""
    if count is None:
        return "-"
    value = float(count)
    for unit in _UNITS:
        if value < 1000 or unit == _UNITS[-1]:
            return f"{value:.0f}{unit}" if value >= 10 or unit == "B" else f"{value:.1f}{unit}"
        value /= 1024
    raise AssertionError("the last unit takes all")


def _widths(sheet: Sheet) -> dict[str, int]:
    """The columns that there is room for; the state takes what is left."""
    names, owners, on = (42, 22, 16) if sheet.width >= 150 else (24, 14, 10) if sheet.width >= 110 else (15, 9, 7)
    widths = {"": 2, "NOTEBOOK": names, "OWNER": owners, "ON": on, "CPUS": 5, "MEMORY": 6, "DISK": 5, "ENDS": 8}
    spare = ["DISK", "ENDS", "MEMORY", "CPUS", "ON", "OWNER"]
    if sheet.width < 80:
        while spare and _taken(widths) + 8 > sheet.width:
            del widths[spare.pop(0)]
    elif sheet.width < 90:
        del widths["DISK"]
    return widths | {"STATE": max(0, sheet.width - 1 - _taken(widths))}


def _taken(widths: Mapping[str, int]) -> int:
    return sum(widths.values()) + 2 * len(widths)


def _line(words: Mapping[str, str], sheet: Sheet) -> Text:
    cells = [cell(words[name], width, right=name in _FIGURES) for name, width in _widths(sheet).items()]
    return line(*cells, gap=2)
