# SPDX-License-Identifier: Apache-2.0
"""Routes of the accounts: reports of usage, receipts."""

from __future__ import annotations

import csv
import io
import re
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from notebookd import wire
from notebookd.api import wishes
from notebookd.api.call import Call, answer
from notebookd.domain.billing import Stay, Window, minutes, price
from notebookd.domain.clocks import moment, wall_ms
from notebookd.domain.gpu_use import GpuUse
from notebookd.domain.spec import LABEL_KEY, Fault
from notebookd.domain.usage import LABEL, GroupKey, Key, LabelKey, Line, month_of
from notebookd.service.usage import GpuReceipt, Receipt, Report

_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_GROUPS = frozenset(map(str, GroupKey))
_FORMATS = frozenset({"json", "csv"})


async def report(call: Call) -> web.Response:
    """GET /v1/usage."""
    query = wishes.Query(call.request.query, "report the usage")
    keys = _keys(query)
    as_csv = query.choice("format", "json", _FORMATS) == "csv"
    window = _window(query, call.services.usage.this_month())
    query.done()
    found = await call.services.usage.report(call.actor, window, keys, call.request.query.get("user"))
    shaped = _report(found)
    if not as_csv:
        return answer(shaped)
    return web.Response(text=_csv(shaped), content_type="text/csv", charset="utf-8")


async def receipt(call: Call) -> web.Response:
    """GET /v1/notebook/{id}/receipt."""
    query = wishes.Query(call.request.query, "get the receipt")
    number = query.integer("run", 0, least=1)
    query.done()
    return answer(_receipt(call.services.usage.receipt(call.actor, call.notebook_id, number or None)))


async def disk(call: Call) -> web.Response:
    """GET /v1/usage/disk."""
    found = await call.services.usage.disk(call.actor)
    rows = [
        wire.DiskRow(
            notebook=row.entry.notebook.id,
            name=row.entry.notebook.spec.name,
            owner=row.entry.notebook.owner,
            state=row.entry.state,
            snapshots=row.snapshots,
            used=row.use.used_bytes if row.use else wire.UNSET,
            measured_at=wire.rfc3339(row.use.measured_at) if row.use else wire.UNSET,
        )
        for row in found.rows
    ]
    total = sum(row.use.used_bytes for row in found.rows if row.use)
    return answer(wire.DiskUsage(items=rows, total=total, free=found.free_bytes))


def _keys(query: wishes.Query) -> list[Key]:
    words = [word.strip(" ") for text in query.every("groupBy") for word in text.split(",") if word.strip(" ")]
    keys = [_key(word) for word in words]
    query.faults += [key for key in keys if isinstance(key, Fault)]
    return list(dict.fromkeys(key for key in keys if not isinstance(key, Fault)))


def _key(word: str) -> Key | Fault:
    """What a word says to group by, or what is wrong with it."""
    if word in _GROUPS:
        return GroupKey(word)
    name = word.removeprefix(LABEL)
    if name == word:
        known = f"{', '.join(GroupKey)}, and {LABEL}NAME for a label, as {LABEL}course"
        return Fault("$query.groupBy", f"{word!r} is no group; there are {known}")
    if not LABEL_KEY.fullmatch(name):
        rule = f"its name follows {LABEL}, as {LABEL}course: 1 to 128 characters of letters, digits and . _ / -"
        return Fault("$query.groupBy", f"{word!r} names no label; {rule}")
    return LabelKey(name)


def _window(query: wishes.Query, month: Window) -> Window:
    """The window asked for. Without a beginning, the month in which it ends; without an end, all from its beginning
    up to the end of this month."""
    begin, end = _instant(query, "from"), _instant(query, "to")
    end_ms = month.end_ms if end is None else wall_ms(end)
    begin_ms = wall_ms(begin) if begin is not None else month_of(end_ms - 1).start_ms if end else month.start_ms
    if begin_ms >= end_ms and not query.faults:
        query.faults.append(Fault("$query.to" if end else "$query.from", "the window ends before it begins"))
    return Window(begin_ms, end_ms)


def _instant(query: wishes.Query, name: str) -> datetime | None:
    text = next(iter(query.every(name)), None)
    if text is None:
        return None
    try:
        if _DAY.fullmatch(text):
            text += "T00:00:00Z"
        at = wire.parse_rfc3339(text)
        if not datetime(1970, 1, 1, tzinfo=UTC) < at < datetime(9000, 1, 1, tzinfo=UTC):
            raise ValueError("out of range")  # noqa: TRY301 - one fault for all that is no time of ours
    except (ValueError, OverflowError):
        query.faults.append(Fault(f"$query.{name}", "must be a day (2026-11-01, UTC) or an RFC 3339 time"))
        return None
    return at


def _report(found: Report) -> wire.Usage:
    return wire.Usage(
        from_=wire.rfc3339(moment(found.window.start_ms)),
        to=wire.rfc3339(moment(found.window.end_ms)),
        group_by=[str(key) for key in found.keys],
        items=[_row(line, found, dict(zip(found.keys, group, strict=True))) for group, line in found.lines],
        totals=_row(found.total, found, {}),
    )


def _row(line: Line, found: Report, group: dict[Key, str]) -> wire.UsageRow:
    keys = {str(key): value or wire.UNSET for key, value in group.items() if isinstance(key, GroupKey)}
    labels = {key.name: value for key, value in group.items() if isinstance(key, LabelKey) and value}
    by_label = any(isinstance(key, LabelKey) for key in group)
    notebook = group.get(GroupKey.NOTEBOOK)
    name = found.names.get(notebook, "") if notebook else ""
    return _sums(line, found.currency, name=name or wire.UNSET, labels=labels if by_label else wire.UNSET, **keys)


def _sums(line: Line, currency: str, **keys: Any) -> wire.UsageRow:
    prices = _prices(line, currency)
    used = line.use.sampled_s > 0
    return wire.UsageRow(
        minutes=_minutes(line.minutes),
        gpu_minutes=_minutes(line.gpu_minutes),
        leased_gpu_seconds=line.leased_ms / 1000,
        used_gpu_seconds=round(line.use.busy_s, 3) if used else wire.UNSET,
        energy_joules=_energy(line.use),
        peak_gpu_memory=line.use.peak_memory_bytes or wire.UNSET,
        price=prices[0] if prices else wire.UNSET,
        other_prices=prices[1:] or wire.UNSET,
        **keys,
    )


def _minutes(count: int) -> wire.Minutes:
    return wire.Minutes(unit="Minute", value=count)


def _energy(use: GpuUse) -> float | wire.UnsetType:
    return round(use.energy_j, 3) if use.sampled_s or use.energy_j else wire.UNSET


def _prices(line: Line, currency: str) -> list[wire.Price]:
    """Today's currency first."""
    order = sorted(line.price.items(), key=lambda each: (each[0] != currency, each[0]))
    return [wire.Price(currency=name, micros=micros) for name, micros in order]


def _csv(shaped: wire.Usage) -> str:
    """The rows of a report; a column for each key, empty for what is not known, ``(none)`` for a
    label that is not there."""
    keys = [name for key in shaped.group_by for name in ([key, "name"] if key == "notebook" else [key])]
    sums = ("leased_gpu_seconds", "used_gpu_seconds", "energy_joules", "peak_gpu_memory")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    words = ("leasedGpuSeconds", "usedGpuSeconds", "energyJoules", "peakGpuMemory")
    writer.writerow([*keys, "minutes", "gpuMinutes", *words, "currency", "priceMicros"])
    for row in shaped.items:
        money = row.price if isinstance(row.price, wire.Price) else None
        rest = row.other_prices if isinstance(row.other_prices, list) else []
        cells = [wire.group_word(row, name) for name in keys]
        amounts = [row.minutes.value, row.gpu_minutes.value, *(_cell(getattr(row, name)) for name in sums)]
        writer.writerow([*cells, *amounts, money.currency if money else "", money.micros if money else ""])
        for other in rest:
            writer.writerow([*cells, 0, 0, 0, "", "", "", other.currency, other.micros])
    return out.getvalue()


def _cell(value: object) -> object:
    return "" if value is wire.UNSET else value


def _receipt(found: Receipt) -> wire.Receipt:
    bill, run = found.bill, found.run
    last = len(found.stays) - 1
    return wire.Receipt(
        notebook=bill.notebook_id,
        name=bill.name,
        user=bill.owner,
        run=run.number,
        state=str(run.state),
        flavor=bill.flavor,
        units=bill.units,
        open=found.open,
        queued_at=wire.rfc3339(run.queued_at),
        stays=[
            _stay(state, each, goes_on=found.open and place == last) for place, (state, each) in enumerate(found.stays)
        ],
        gpus=[_gpu(each) for each in found.gpus],
        totals=_sums(found.total, ""),
        ended=_ending(found),
    )


def _ending(found: Receipt) -> wire.Ending | wire.UnsetType:
    outcome = found.run.outcome
    if outcome is None:
        return wire.UNSET
    return wire.Ending(
        state=str(outcome.state),
        code=outcome.code,
        message=outcome.message,
        actor=outcome.actor,
        exit_code=wire.UNSET if found.run.exit_code is None else found.run.exit_code,
    )


def _stay(state: str, each: Stay, *, goes_on: bool) -> wire.ReceiptStay:
    count = minutes(each.length_ms)
    rated = each.rate is not None
    return wire.ReceiptStay(
        state=state,
        started_at=wire.rfc3339(moment(each.started_ms)),
        ended_at=wire.UNSET if goes_on else wire.rfc3339(moment(each.started_ms + each.length_ms)),
        seconds=each.length_ms / 1000,
        minutes=_minutes(count),
        rate=wire.Price(currency=each.currency, micros=each.rate or 0) if rated else wire.UNSET,
        price=wire.Price(currency=each.currency, micros=price(count, each.units, each.rate or 0))
        if rated
        else wire.UNSET,
    )


def _gpu(each: GpuReceipt) -> wire.ReceiptGpu:
    used = each.use.sampled_s > 0
    return wire.ReceiptGpu(
        uuid=each.uuid,
        leased_seconds=each.leased_ms / 1000,
        used_seconds=round(each.use.busy_s, 3) if used else wire.UNSET,
        peak_utilisation=round(100 * each.use.peak_utilisation) if used else wire.UNSET,
        peak_memory=each.use.peak_memory_bytes or wire.UNSET,
        energy_joules=_energy(each.use),
    )
