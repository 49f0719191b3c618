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
from notebookd.cli.output import ahead, asked_for, clean, waits_for
from notebookd.cli.top import gpus, rows
from notebookd.cli.top.gpus import Sheet
from notebookd.cli.top.ink import Signs, cell, line
from notebookd.cli.top.past import Past
from notebookd.cli.top.sight import Seen
from notebookd.cli.top.view import View

__all__ = ["draw"]

_HEALTH_STYLES = {"ok": "green", "degraded": "yellow", "failed": "bold red"}
_LEAST_QUEUE = 3  # so many waiting ones are shown, whatever else there is


def draw(
    seen: Seen,
    *,
    width: int,
    height: int | None,
    now: datetime,
    signs: Signs,
    foot: str,
    view: View | None = None,
    past: Past | None = None,
) -> list[Text]:
    """The lines of a frame; no more than ``height`` of them (None: as many as it takes). ``foot`` stands behind the
    keys; empty, there is neither."""
    view, past = view or View(), past or Past()
    if seen.gpu.value is not None:
        past.note(seen.gpu.value, seen.gpu.at)
    sheet = Sheet(width=width, now=now, signs=signs, known=_names(seen), past=past)
    head = _head(seen, sheet, view)
    end = _foot(f"{view.help}   {foot}" if foot else "", sheet)
    room = None if height is None else max(0, height - len(head) - len(end))
    body = _body(seen, sheet, room, view)
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


def _head(seen: Seen, sheet: Sheet, view: View) -> list[Text]:
    clock = f"{sheet.now:%H:%M:%S}"
    title = Text(" ", no_wrap=True).append("notebookd", "bold")
    health = None if seen.health.trouble or seen.gpu.trouble else seen.health.value
    if health is not None:
        title.append(f" {clean(health.version)}", "dim")
        if health.status == "ok":
            title.append(f"  {sheet.signs.states['leased']} ok", _HEALTH_STYLES["ok"])
    title.truncate(max(0, sheet.width - len(clock) - 3), overflow="ellipsis")
    title.pad_right(max(0, sheet.width - title.cell_len - len(clock) - 1))
    title.append(clock, "dim")
    return [title, *_ailment(health, sheet, view), *_banners(seen, sheet), *_summary(seen, sheet), Text("")]


def _ailment(health: wire.Health | None, sheet: Sheet, view: View) -> list[Text]:
    """What ails the daemon: a line, which may be opened and dismissed."""
    if health is None or health.status == "ok" or not view.ailing(health):
        return []
    style = _HEALTH_STYLES.get(health.status, "")
    sign = sheet.signs.ill if health.status == "failed" else sheet.signs.states["foreign"]
    ill = [(name, each) for name, each in health.dependencies.items() if each.status != "ok"]
    ill.sort(key=lambda pair: pair[1].status != "failed")
    words = [f"{name}: {each.message or each.status}" for name, each in ill]
    title = f"{sign} {health.status}"
    if view.opened:
        lines = [line for each in words for line in _in_lines(each, sheet.width - 4)]
        return [Text(f" {clean(title)}", style), *(Text(f"   {line}", style) for line in lines)]
    return [Text(" ") + cell(f"{title}  {'; '.join(words)}", sheet.width - 2, style)]


def _in_lines(text: str, width: int) -> list[str]:
    return textwrap.wrap(clean(text), max(20, width), subsequent_indent="  ")


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


def _summary(seen: Seen, sheet: Sheet) -> list[Text]:
    """How many GPUs are how, and of what models; in two lines where one has no room."""
    if seen.gpu.value is None:
        return [Text("" if seen.gpu.trouble else " asking notebookd", "dim")]
    items = seen.gpu.value.items
    models = Counter(each.name for each in items)
    counts = Counter(each.state for each in items)
    told = [f"{count} {state}{'?' if seen.gpu.value.trouble else ''}" for state, count in counts.items()]
    if seen.queue.value is not None and seen.queue.value.items:
        told.append(f"{len(seen.queue.value.items)} waiting")
    counted = clean("   ".join(told))
    model = clean(", ".join(f"{count} x {model}" for model, count in models.items()) or "no GPU")
    if len(counted) + len(model) + 4 <= sheet.width or not counted:
        return [Text(f" {counted}   {model}" if counted else f" {model}")]
    return [Text(f" {counted}"), Text(f" {model}")]


# The body: GPUs, queue, notebooks, each as far as there is room


def _body(seen: Seen, sheet: Sheet, room: int | None, view: View) -> list[Text]:
    cards = gpus.blocks(seen.gpu.value, sheet, view) if seen.gpu.value else []
    queue = seen.queue.value.items if seen.queue.value else []
    waiting = [_waiting(each, sheet) for each in queue if view.shows(each.name, each.owner)]
    active = rows.drawn(seen, sheet, view)
    if room is None:
        room = 6 + sum(len(card) for card in cards) + len(waiting) + len(active)
    least = 2 + min(len(waiting), _LEAST_QUEUE) if waiting else 0
    lines = _section(gpus.header(sheet), cards, room - least, sheet)
    queue_head = _titled(("", "WAITING", "OWNER", "ASKS FOR", "LATEST START", "WAITS FOR"), sheet)
    for head, found in ((queue_head, waiting), (rows.header(sheet), active)):
        gap = [Text("")] if lines else []
        section = _section(head, [[row] for row in found], room - len(lines) - len(gap), sheet)
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


def _cells(words: Sequence[str], sheet: Sheet) -> list[Text]:
    """The queue's columns; the last takes what is left, and in a narrow frame they fall away."""
    widths = [2, 15, 9, 16, 13, 12]
    if sheet.width >= 100:
        widths = [2, 17, 9, 26, 13, 12]
    if sheet.width >= 150:
        widths = [2, 42, 22, 26, 13, 12]
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
