# SPDX-License-Identifier: Apache-2.0
"""A frame: everything that was seen, drawn into so many columns and lines. The same sight gives the same frame."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from rich.text import Text

from notebookd import wire
from notebookd.cli import board
from notebookd.cli.output import age, ahead, asked_for, clean, waits_for
from notebookd.cli.top import gpus
from notebookd.cli.top.gpus import Sheet
from notebookd.cli.top.ink import Signs, cell, line
from notebookd.cli.top.sight import Seen

__all__ = ["draw"]

_HEALTH_STYLES = {"ok": "green", "degraded": "yellow", "failed": "bold red"}
_LEAST_QUEUE = 3  # so many waiting ones are shown, whatever else there is


def draw(seen: Seen, *, width: int, height: int | None, now: datetime, signs: Signs, foot: str) -> list[Text]:
    """The lines of a frame; no more than ``height`` of them (None: as many as it takes)."""
    sheet = Sheet(width=width, now=now, signs=signs, known=_names(seen))
    head = _head(seen, sheet)
    end = _foot(foot, sheet)
    room = None if height is None else max(0, height - len(head) - len(end))
    body = _body(seen, sheet, room)
    if height is not None:
        body += [Text("")] * (height - len(head) - len(body) - len(end))
    if "gpu" in seen.troubles():
        for each in body:
            each.stylize("dim")
    lines = [*head, *body, *end]
    for each in lines:
        each.truncate(width)
    return lines if height is None else lines[:height]


def _names(seen: Seen) -> dict[str, str]:
    known = {each.notebook: each.name for each in seen.queue.value.items} if seen.queue.value else {}
    known |= {each.id: each.spec.name for each in seen.notebook.value.items} if seen.notebook.value else {}
    return known | (board.names(seen.gpu.value) if seen.gpu.value else {})


# The head: who speaks, how it is, what is wrong


def _head(seen: Seen, sheet: Sheet) -> list[Text]:
    clock = f"{sheet.now:%H:%M:%S}"
    title = _health(seen, sheet)
    title.truncate(max(0, sheet.width - len(clock) - 3), overflow="ellipsis")
    title.pad_right(max(0, sheet.width - title.cell_len - len(clock) - 1))
    title.append(clock, "dim")
    return [title, *_banners(seen, sheet), _summary(seen), Text("")]


def _health(seen: Seen, sheet: Sheet) -> Text:
    title = Text(" ", no_wrap=True).append("notebookd", "bold")
    health = seen.health.value
    if seen.health.trouble or seen.gpu.trouble or health is None:
        return title
    signs = sheet.signs
    sign = {"ok": signs.states["leased"], "failed": signs.ill}.get(health.status, signs.states["foreign"])
    title.append(f" {clean(health.version)}", "dim")
    title.append(f"  {sign} {clean(health.status)}", _HEALTH_STYLES.get(health.status, ""))
    ill = [(name, each) for name, each in health.dependencies.items() if each.status != "ok"]
    for name, each in sorted(ill, key=lambda pair: pair[1].status != "failed"):
        title.append(clean(f"  {name}: {each.message or each.status}"), _HEALTH_STYLES.get(each.status, ""))
    return title


def _banners(seen: Seen, sheet: Sheet) -> list[Text]:
    """What stands between the reader and the truth, in full."""
    troubles = seen.troubles()
    messages = dict.fromkeys(trouble.message for trouble in troubles.values())
    said = [(f"{sheet.signs.ill} {message}; trying again", "bold red") for message in messages]
    at = seen.gpu.at
    if "gpu" in troubles and at is not None:
        ago = max(0, int((sheet.now - at).total_seconds()))
        said.append((f"  below is what was seen {ago} s ago", "red"))
    if seen.gpu.value is not None and seen.gpu.value.trouble:
        sign = sheet.signs.states["foreign"]
        said.append((f"{sign} {board.UNSEEN}: {seen.gpu.value.trouble}", "bold yellow"))
    return [
        Text(f" {part}", style)
        for text, style in said
        for part in textwrap.wrap(clean(text), max(20, sheet.width - 2), max_lines=3, drop_whitespace=True)
    ]


def _summary(seen: Seen) -> Text:
    if seen.gpu.value is None:
        return Text("" if seen.gpu.trouble else " asking notebookd", "dim")
    items = seen.gpu.value.items
    models = Counter(each.name for each in items)
    counts = Counter(each.state for each in items)
    told = [f"{count} {state}{'?' if seen.gpu.value.trouble else ''}" for state, count in counts.items()]
    if seen.queue.value is not None and seen.queue.value.items:
        told.append(f"{len(seen.queue.value.items)} waiting")
    told.append(", ".join(f"{count} x {model}" for model, count in models.items()) or "no GPU")
    return Text(" " + clean("   ".join(told)))


# The body: GPUs, queue, notebooks, each as far as there is room


def _body(seen: Seen, sheet: Sheet, room: int | None) -> list[Text]:
    cards = gpus.blocks(seen.gpu.value, sheet) if seen.gpu.value else []
    waiting = [_waiting(each, sheet) for each in seen.queue.value.items] if seen.queue.value else []
    active = _active(seen, sheet)
    if room is None:
        room = 6 + sum(len(card) for card in cards) + len(waiting) + len(active)
    least = 2 + min(len(waiting), _LEAST_QUEUE) if waiting else 0
    lines = _section(gpus.header(sheet), cards, room - least, sheet)
    queue_head = _titled(("", "WAITING", "OWNER", "ASKS FOR", "LATEST START", "WAITS FOR"), sheet)
    notebook_head = _titled(("", "NOTEBOOK", "OWNER", "ON", "ENDS", "STATE"), sheet)
    for head, rows in ((queue_head, waiting), (notebook_head, active)):
        gap = [Text("")] if lines else []
        section = _section(head, [[row] for row in rows], room - len(lines) - len(gap), sheet)
        lines += [*gap, *section] if section else []
    return lines


def _section(head: Text, cards: Sequence[list[Text]], room: int, sheet: Sheet) -> list[Text]:
    """The head and as many cards as there is room for; how many more there are stands beneath."""
    if not cards or room < 2:
        return []
    if 1 + sum(len(card) for card in cards) <= room:
        return [head, *(row for card in cards for row in card)]
    lines, shown = [head], 0
    for card in cards:
        if len(lines) + len(card) + 1 > room:
            break
        lines += card
        shown += 1
    return [*lines, Text(f" {sheet.signs.more} {len(cards) - shown} more", "dim")]


def _waiting(entry: wire.QueueEntry, sheet: Sheet) -> Text:
    latest = ahead(entry.latest_start_at, sheet.now) if entry.latest_start_at else "not known"
    words = (str(entry.position), entry.name, entry.owner, asked_for(entry.asks_for), latest, waits_for(entry))
    return line(*_cells(words, sheet), gap=2)


def _active(seen: Seen, sheet: Sheet) -> list[Text]:
    """The notebooks that are not stopped and wait for nothing; the longest standing first."""
    if seen.notebook.value is None:
        return []
    queued = {each.notebook for each in seen.queue.value.items} if seen.queue.value else set()
    items = [each for each in seen.notebook.value.items if each.id not in queued]
    leases = (
        [(each.lease.notebook, each.index) for each in seen.gpu.value.items if each.lease] if seen.gpu.value else []
    )
    return [
        _notebook(each, [index for notebook, index in leases if notebook == each.id], sheet)
        for each in sorted(items, key=lambda each: each.created_at)
    ]


def _notebook(notebook: wire.Notebook, indices: list[int], sheet: Sheet) -> Text:
    spec, status = notebook.spec, notebook.status
    job = status.last_job_status
    amount = spec.resources.cpu or 0
    where = "GPU " + ",".join(str(index) for index in indices) if indices else f"{amount} CPU" if amount else "-"
    timeout_at = (job.timeout_at or "") if job else ""
    ends = ahead(timeout_at, sheet.now) if timeout_at else "-"
    since = f"{status.state} {age(notebook.created_at, sheet.now)}"
    return line(*_cells(("", spec.name, notebook.user, where, ends, since), sheet), gap=2)


def _cells(words: Sequence[str], sheet: Sheet) -> list[Text]:
    """The columns that queue and notebooks share; the last takes what is left, and in a narrow frame they fall away."""
    widths = [2, 15, 9, 16, 13, 12]
    if sheet.width >= 100:
        widths = [2, 17, 9, 26, 13, 12]
    while len(widths) > 2 and sum(widths) + 2 * len(widths) > sheet.width:
        widths.pop()
    widths[-1] += max(0, sheet.width - sum(widths) - 2 * len(widths))
    return [
        cell(word, width, right=column == 0) for column, (word, width) in enumerate(zip(words, widths, strict=False))
    ]


def _titled(words: Sequence[str], sheet: Sheet) -> Text:
    drawn = line(*_cells(words, sheet), gap=2)
    drawn.stylize("dim bold")
    return drawn


def _foot(foot: str, sheet: Sheet) -> list[Text]:
    if not foot:
        return []
    signs = sheet.signs
    legend = f"{signs.parts[-1]} notebooks  {signs.strange} strangers  {signs.track} free "
    drawn = Text(f" {foot}", "dim", no_wrap=True)
    if drawn.cell_len + len(legend) < sheet.width:
        drawn.pad_right(sheet.width - drawn.cell_len - len(legend))
        drawn.append(legend)
    return [drawn]
