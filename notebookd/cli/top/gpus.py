# SPDX-License-Identifier: Apache-2.0
"""The GPUs of a frame: a line each, and beneath it who else is on it and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from rich.text import Text

from notebookd import wire
from notebookd.cli import board
from notebookd.cli.output import ahead, size
from notebookd.cli.top import ink
from notebookd.cli.top.ink import Signs, bar, cell, line, sparks
from notebookd.cli.top.past import Past
from notebookd.cli.top.view import View

__all__ = ["Sheet", "blocks", "header"]

_HOT_C, _TOO_HOT_C = 83, 90
_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What is drawn on: columns across, the time (in the zone to show), notebooks' names by id."""

    width: int
    now: datetime
    signs: Signs
    known: Mapping[str, str]
    past: Past

    @property
    def bar(self) -> int:
        """The width of a bar; 0 where there is no room for any."""
        return 0 if self.width < 60 else min(24, max(6, (self.width - 70) // 4))

    @property
    def state(self) -> int:
        """The width of the state: with all its words where there is room, else a word and signs."""
        return 13 if self.width < 120 else 20

    @property
    def measured(self) -> bool:
        """Whether there is room for temperature and power."""
        return self.width >= 72

    @property
    def sparks(self) -> int:
        """How many looks back there is room for; the holder has 30 columns before there is any."""
        return 0 if self.width < 170 else min(40, self.width - 160)

    @property
    def columns(self) -> list[int]:
        """The widths of the columns; the holder's is what the others leave."""
        use = self.bar + 1 if self.bar else 0
        widths = [2, self.state, use + 4, use + 9]
        widths += [4, 5] if self.measured else []
        widths += [self.sparks] if self.sparks else []
        ends = [13] if self.width >= 100 else []
        left = self.width - 1 - sum(widths) - sum(ends) - 2 * (len(widths) + len(ends))
        return [*widths, max(0, left), *ends]


def header(sheet: Sheet) -> Text:
    """What the columns are."""
    words = ["", "GPU", "USE" if sheet.bar < 8 else "UTILISATION", "MEMORY"]
    words += ["TEMP", "POWER"] if sheet.measured else []
    words += ["LAST LOOKS".rjust(sheet.sparks)] if sheet.sparks else []
    words += ["HOLDER", "FREE AT"]
    drawn = line(*(cell(word, width) for word, width in zip(words, sheet.columns, strict=False)), gap=2)
    drawn.stylize("dim bold")
    return drawn


def blocks(found: wire.GpuList, sheet: Sheet, view: View) -> list[list[Text]]:
    """The lines of each GPU that is looked for."""
    return [
        [_gpu(each, sheet, unseen=bool(found.trouble)), *_remarks(each, sheet)]
        for each in found.items
        if view.shows(*_words(each, sheet))
    ]


def _words(gpu: wire.Gpu, sheet: Sheet) -> list[str]:
    """By what a GPU is found: its number, its state, whoever is on it."""
    holder = [board.holder(gpu.lease, sheet.known)] if gpu.lease else []
    return [f"gpu {gpu.index}", gpu.uuid, board.states(gpu), *holder, *map(board.stranger, board.strangers(gpu))]


def _gpu(gpu: wire.Gpu, sheet: Sheet, *, unseen: bool) -> Text:
    lease = gpu.lease
    cells = [
        cell(str(gpu.index), 2, "bold", right=True),
        _state(gpu, sheet, unseen=unseen),
        _beside(_utilisation_bar(gpu, sheet), _percent(gpu)),
        _beside(_memory_bar(gpu, sheet), _memory(gpu)),
        *([_temperature(gpu), _power(gpu)] if sheet.measured else []),
        *([sparks(sheet.past.of(gpu.uuid), sheet.sparks, sheet.signs)] if sheet.sparks else []),
    ]
    widths = sheet.columns[len(cells) :]
    free_at = ahead(lease.free_at, sheet.now) if lease and lease.free_at else ""
    ends = ((board.holder(lease, sheet.known) if lease else "", ""), (free_at, "dim"))
    cells += [cell(word, width, style) for (word, style), width in zip(ends, widths, strict=False)]
    return line(*cells, gap=2)


def _beside(picture: Text, figure: Text) -> Text:
    return Text(" ").join([picture, figure]) if picture.cell_len else figure


def _state(gpu: wire.Gpu, sheet: Sheet, *, unseen: bool) -> Text:
    sign, style = ink.state(gpu.state, sheet.signs)
    words = board.states(gpu, unseen=unseen)
    if unseen:
        style = "dim"
    if len(words) + 2 <= sheet.state:
        return cell(f"{sign} {words}", sheet.state, style)
    flags = "".join(ink.state(flag.rstrip("?"), sheet.signs)[0] for flag in words.split("+")[1:])
    return cell(f"{sign} {gpu.state} {flags}".rstrip(), sheet.state, style)


def _utilisation_bar(gpu: wire.Gpu, sheet: Sheet) -> Text:
    return bar([((gpu.utilisation or 0) / 100, "cyan", False)], sheet.bar, sheet.signs)


def _percent(gpu: wire.Gpu) -> Text:
    return cell("-" if gpu.utilisation is None else f"{gpu.utilisation}%", 4, right=True)


def _memory_bar(gpu: wire.Gpu, sheet: Sheet) -> Text:
    if gpu.memory is None or gpu.memory.total <= 0:
        return bar([], sheet.bar, sheet.signs)
    used, total, others = gpu.memory.used, gpu.memory.total, board.strangers(gpu)
    if gpu.lease is None:
        parts = [(used / total, "yellow", True)] if others else [(used / total, "dim", False)]
    else:
        theirs = min(sum(each.memory or 0 for each in others), used)
        parts = [((used - theirs) / total, "blue", False), (theirs / total, "yellow", True)]
    return bar(parts, sheet.bar, sheet.signs)


def _memory(gpu: wire.Gpu) -> Text:
    if gpu.memory is None:
        return cell("-", 9, right=True)
    used, total = gpu.memory.used / _GIB, gpu.memory.total / _GIB
    short = f"{used:.1f}" if used < 100 else f"{used:.0f}"
    return cell(f"{short}/{total:.0f}G", 9, right=True)


def _temperature(gpu: wire.Gpu) -> Text:
    heat = gpu.temperature
    if heat is None:
        return cell("-", 4, right=True)
    style, mark = ("bold red", "!") if heat >= _TOO_HOT_C else ("yellow", "!") if heat >= _HOT_C else ("", "")
    return cell(f"{heat}C{mark}", 4, style, right=True)


def _power(gpu: wire.Gpu) -> Text:
    return cell("-" if gpu.power is None else f"{gpu.power:.0f}W", 5, right=True)


def _remarks(gpu: wire.Gpu, sheet: Sheet) -> list[Text]:
    remarks = [(_stranger(each), "yellow") for each in board.strangers(gpu)]
    if sick := board.ailment(gpu, sheet.known, sheet.now):
        remarks.append((sick, "dim" if gpu.health.status == "ok" else "red"))
    if words := board.leftover(gpu):
        remarks.append((words, "yellow"))
    return [Text(" " * 5) + cell(f"{sheet.signs.branch} {text}", sheet.width - 6, style) for text, style in remarks]


def _stranger(each: wire.GpuProcess) -> str:
    memory = "memory unknown" if each.memory is None else size(each.memory)
    return f"{each.user}  pid {each.pid}  {memory}  {each.command}"
