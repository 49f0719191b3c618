# SPDX-License-Identifier: Apache-2.0
"""The board in words: what a GPU's state, holder, strangers and health are called, and its table at any width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from notebookd import wire
from notebookd.cli.output import Table, ahead, clean, narrowed, size

__all__ = [
    "UNSEEN",
    "ailment",
    "holder",
    "leftover",
    "names",
    "sheet",
    "short_uuid",
    "states",
    "stranger",
    "strangers",
    "text",
]

UNSEEN = "the GPUs cannot be seen"

# From the first on, what a narrow terminal does without.
_SPARE = ("PCI BUS ID", "NAME", "POWER", "TEMP", "FREE AT", "UUID", "UTIL", "MEMORY")
_SHORTEST_UUID = 8  # as many letters as still look like a UUID: GPU-3f2a


def states(gpu: wire.Gpu, *, unseen: bool = False) -> str:
    """The state, and what else holds: ``leased+foreign``; with a question mark where it is ``unseen`` whether still."""
    flags = (("drained", gpu.drained), ("foreign", gpu.foreign), ("leftover", bool(gpu.leftover)))
    words = "+".join([gpu.state, *(flag for flag, is_set in flags if is_set and flag != gpu.state)])
    return f"{words}?" if unseen else words


def names(board: wire.GpuList) -> dict[str, str]:
    """What the board itself knows of notebooks' names, by id."""
    return {each.lease.notebook: each.lease.name for each in board.items if each.lease and each.lease.name}


def holder(lease: wire.GpuLease, known: Mapping[str, str]) -> str:
    """The notebook by its name, or by the start of its id where that is unknown, and whose it is."""
    return f"{_notebook(lease.notebook, known)} ({lease.owner})"


def _notebook(identity: str, known: Mapping[str, str]) -> str:
    return known.get(identity) or identity[:8]


def strangers(gpu: wire.Gpu) -> list[wire.GpuProcess]:
    """The processes that are no notebook's, the largest first."""
    return sorted((each for each in gpu.processes if each.notebook is None), key=lambda each: -(each.memory or 0))


def stranger(each: wire.GpuProcess) -> str:
    """Who it is: user, pid, memory, command."""
    memory = "memory unknown" if each.memory is None else size(each.memory)
    return f"{each.user}, pid {each.pid}, {memory}: {each.command}"


def leftover(gpu: wire.Gpu) -> str:
    """What there is to say of memory that nobody holds; empty where there is no such, or its health says it."""
    if not gpu.leftover or gpu.health.message:
        return ""
    words = f"{size(gpu.leftover)} of its memory is held by no process that is seen"
    return words if gpu.lease else f"{words}: it is leased last"


def ailment(gpu: wire.Gpu, known: Mapping[str, str], now: datetime) -> str:
    """What is wrong with a GPU, or what was noted about it; empty when nothing is. Times are in ``now``'s zone."""
    health = gpu.health
    if health.status in {"ok", "unknown", gpu.state} and not health.xid and not health.message:
        return ""
    facts = [
        f"Xid {health.xid}" if health.xid else "",
        _moment(health.at, now) if health.at else "",
        f"hit {_notebook(health.notebook, known)}" if health.notebook else "",
    ]
    found = ", ".join(fact for fact in facts if fact)
    message = "" if not health.message or health.message == facts[0] else health.message
    if not found and not message and health.status != gpu.state:
        message = health.status
    return ": ".join(part for part in ("noted" if health.status == "ok" else "", found, message) if part)


def _moment(at: str, now: datetime) -> str:
    try:
        then = wire.parse_rfc3339(at).astimezone(now.tzinfo)
    except ValueError:
        return at
    return then.strftime("%H:%M" if then.date() == now.date() else "%b %d %H:%M")


def short_uuid(uuid: str, others: Iterable[str]) -> str:
    """The start of a UUID that tells it from the others, and names it to ``notebookctl gpu``."""
    rest = [other for other in others if other != uuid]
    length = next(
        (
            length
            for length in range(_SHORTEST_UUID, len(uuid))
            if not any(other.startswith(uuid[:length]) for other in rest)
        ),
        len(uuid),
    )
    return uuid[:length]


def sheet(board: wire.GpuList) -> Table:
    """Everything of the board, for programs that read CSV: absolute times, whole UUIDs, and bytes, percent, degrees
    Celsius and watts as bare numbers."""
    columns = (
        *("INDEX", "UUID", "NAME", "STATE", "MEMORY USED", "MEMORY TOTAL", "UTIL", "TEMP", "POWER"),
        *("OWNER", "NOTEBOOK", "FREE AT", "PROCESSES", "STRANGERS", "HEALTH", "XID", "HEALTH SINCE", "HEALTH NOTEBOOK"),
        *("HEALTH MESSAGE", "PCI BUS ID", "THROTTLE"),
    )
    return Table(columns, [_sheet_row(each) for each in board.items])


def _sheet_row(gpu: wire.Gpu) -> tuple[str, ...]:
    lease, health = gpu.lease, gpu.health
    return (
        str(gpu.index),
        gpu.uuid,
        gpu.name,
        states(gpu),
        _number(gpu.memory.used if gpu.memory else None),
        _number(gpu.memory.total if gpu.memory else None),
        *(_number(each) for each in (gpu.utilisation, gpu.temperature, gpu.power)),
        lease.owner if lease else "",
        lease.notebook if lease else "",
        (lease.free_at or "") if lease else "",
        *(
            ", ".join(f"{each.command} ({each.pid}, {each.user})" for each in some)
            for some in (gpu.processes, strangers(gpu))
        ),
        health.status,
        _number(health.xid or None),
        health.at or "",
        health.notebook or "",
        health.message or "",
        gpu.pci_bus_id or "",
        " ".join(health.throttle or ()),
    )


def _number(value: float | None) -> str:
    return "" if value is None else str(value)


def _measures(gpu: wire.Gpu) -> tuple[str, str, str, str]:
    def measure(value: float | None, unit: str) -> str:
        return "" if value is None else f"{round(value)}{unit}"

    return (
        f"{size(gpu.memory.used)} / {size(gpu.memory.total)}" if gpu.memory else "",
        measure(gpu.utilisation, "%"),
        measure(gpu.temperature, "C"),
        measure(gpu.power, "W"),
    )


def text(board: wire.GpuList, now: datetime, width: int | None) -> str:
    """The board for people: a table that fits ``width`` columns (None: any), and beneath it what is out of order."""
    known = names(board)
    columns, rows = _columns(board, known, now)
    table = _fitted(columns, rows, [each.uuid for each in board.items], width)
    remarks = [line for remark in _remarks(board, known, now) for line in _wrapped(remark, width)]
    return "\n".join([table, *(["", *remarks] if remarks else [])])


def _columns(
    board: wire.GpuList, known: Mapping[str, str], now: datetime
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    columns = ("INDEX", "UUID", "NAME", "PCI BUS ID", "STATE", "MEMORY", "UTIL", "TEMP", "POWER", "HOLDER", "FREE AT")
    rows: list[tuple[str, ...]] = [
        (
            str(each.index),
            each.uuid,
            each.name,
            each.pci_bus_id or "",
            states(each, unseen=bool(board.trouble)),
            *_measures(each),
            holder(each.lease, known) if each.lease else "",
            ahead(each.lease.free_at, now) if each.lease and each.lease.free_at else "",
        )
        for each in board.items
    ]
    return columns, rows


def _fitted(columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], uuids: Sequence[str], width: int | None) -> str:
    """The table; too wide a one is made with short UUIDs, then without one column after the other."""
    written = Table(columns, rows).text()
    if width is None or _widest(written) <= width:
        return written
    rows = [(row[0], short_uuid(row[1], uuids), *row[2:]) for row in rows]
    return narrowed(Table(columns, rows), width, _SPARE)


def _widest(lines: str) -> int:
    return max(len(line) for line in lines.splitlines())


def _remarks(board: wire.GpuList, known: Mapping[str, str], now: datetime) -> Iterator[str]:
    if board.trouble:
        yield f"{UNSEEN}: {board.trouble}" + ("; the rows tell what was seen last" if board.items else "")
    for gpu in board.items:
        for each in strangers(gpu):
            yield f"GPU {gpu.index}: stranger {stranger(each)}"
        if sick := ailment(gpu, known, now):
            yield f"GPU {gpu.index}: {sick}"
        if gpu.drain_reason:
            yield f"GPU {gpu.index}: drained: {gpu.drain_reason}"
        if words := leftover(gpu):
            yield f"GPU {gpu.index}: {words}"
        if gpu.health.throttle:
            yield f"GPU {gpu.index}: its clocks are held down: {', '.join(gpu.health.throttle)}"


def _wrapped(remark: str, width: int | None) -> list[str]:
    line = clean(remark)
    return [line] if width is None else textwrap.wrap(line, max(20, width), subsequent_indent="  ")
