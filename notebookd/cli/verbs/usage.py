# SPDX-License-Identifier: Apache-2.0
"""``notebookctl usage``."""

from __future__ import annotations

import re
from datetime import date, tzinfo

import click

from notebookd import wire
from notebookd.cli import words
from notebookd.cli.disk import disk_sheet, disk_text
from notebookd.cli.here import Here, Verb, completes_among, output_option, pass_here
from notebookd.cli.money import energy, hours, money, share, unbilled_seconds
from notebookd.cli.output import Table, emit, moment

KEYS = ("user", "notebook", "flavor", "gpu", "day", "month")
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")
_WIDEST_BAR = 30
_EIGHTHS = " ▏▎▍▌▋▊▉"


@click.command("usage", cls=Verb)
@click.argument("what", required=False, type=click.Choice(["disk"]))
@click.option(
    "--group-by",
    metavar="KEY,...",
    default="notebook",
    show_default=True,
    shell_complete=completes_among(KEYS),
    help=f"Some of {', '.join(KEYS)}; of disk: user.",
)
@click.option("--month", metavar="2026-11", help="A whole month. [default: this one]")
@click.option("--from", "start", metavar="WHEN", help="From this day or time on: 2026-11-01, yesterday, 18:00, 2d.")
@click.option("--to", "end", metavar="WHEN", help="Up to this day or time, itself not included.")
@click.option("--all", "everybody", is_flag=True, help="Every owner's (admins; --group-by user asks for them too).")
@output_option
@pass_here
def verb(
    here: Here,
    *,
    what: str | None,
    group_by: str,
    month: str | None,
    start: str | None,
    end: str | None,
    everybody: bool,
    output: str,
) -> None:
    """Show what was used, and what it costs; with `disk`, who fills the disk.

    Each minute that a notebook began to run counts in full. Days and months are UTC's. LEASED is the time for which
    GPUs were held, UNBILLED what of it no minute pays for, as while an editor boots, USED how busy they were. A price
    is shown where rates are set.

    `usage disk` lists workspaces by their bytes, the fullest first: your own, an admin's are everybody's. They are
    measured while a notebook runs and when it stops; --group-by user adds them up.
    """
    if what is not None:
        if month is not None or start is not None or end is not None:
            raise click.UsageError("disk is what is used now: it goes without --month, --from and --to")
        if group_by not in {"notebook", "user"}:
            raise click.BadParameter(f"{group_by!r} is none of notebook, user", param_hint="--group-by")
        answer = here.client.disk_usage()
        emit(output, answer.body, disk_sheet(answer.value), disk_text(answer.value, here, by_user=group_by == "user"))
        return
    keys = [word.strip() for word in group_by.split(",") if word.strip()]
    if unknown := [key for key in keys if key not in KEYS]:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(KEYS)}", param_hint="--group-by")
    if month is not None:
        if start is not None or end is not None:
            raise click.UsageError("--month goes without --from and --to")
        start, end = _month(month)
    else:
        start = words.day_or_instant(start, here.terminal, "--from")
        end = words.day_or_instant(end, here.terminal, "--to")
    user = None if everybody or "user" in keys else _myself(here)
    reply = here.client.usage(start=start, end=end, group_by=keys, user=user)
    emit(output, reply.body, _sheet(reply.value), _text(reply.value, here.terminal.width(), here.terminal.zone()))


def _month(word: str) -> tuple[str, str]:
    found = _MONTH.fullmatch(word)
    if found is None or not 1970 < int(found[1]) < 9000:
        raise click.BadParameter(f"{word!r} is no month, as 2026-11 is one", param_hint="--month")
    year, number = int(found[1]), int(found[2])
    following = date(year + 1, 1, 1) if number == 12 else date(year, number + 1, 1)
    return f"{word}-01", following.isoformat()


def _myself(here: Here) -> str | None:
    """Whom to ask about: only an admin is shown other people's, and has to be asked to."""
    me = here.client.me().value
    return me.name if me.role == "administrator" else None


def _columns(usage: wire.Usage) -> list[str]:
    return [name for key in usage.group_by for name in (["name", "notebook"] if key == "notebook" else [key])]


def _text(usage: wire.Usage, width: int | None, zone: tzinfo | None) -> str:
    """The table with its totals; on a terminal with a bar a row, as long as its minutes are many."""
    names = _columns(usage)
    rows = [[str(getattr(row, name) or "") for name in names] + _amounts(row) for row in usage.items]
    rows.append([*(["total", *[""] * (len(names) - 1)] if names else []), *_amounts(usage.totals)])
    heads = [name.upper() for name in names] + ["MINUTES", "LEASED", "UNBILLED", "USED", "ENERGY", "PRICE"]
    shown = [index for index in range(len(heads)) if index <= len(names) or any(row[index] for row in rows)]
    widths = {index: max(len(row[index]) for row in [heads, *rows]) for index in shown}
    aligned = [
        [row[index].rjust(widths[index]) if index >= len(names) else row[index] for index in shown]
        for row in [heads, *rows]
    ]
    lines = Table(aligned[0], aligned[1:]).text().splitlines()
    room = 0 if width is None else min(_WIDEST_BAR, width - max(map(len, lines)) - 2)
    if room >= 5:
        lines = _with_bars(lines, [row.minutes.value for row in usage.items], room)
    return "\n".join([f"from {_moment(usage.from_, zone)} to {_moment(usage.to, zone)}", *lines])


def _amounts(row: wire.UsageRow) -> list[str]:
    used = row.used_gpu_seconds
    leased = row.leased_gpu_seconds
    prices = [price for price in (row.price, *(row.other_prices or ())) if isinstance(price, wire.Price)]
    return [
        f"{row.minutes.value:,}",
        hours(leased) if leased else "",
        hours(unbilled) if (unbilled := unbilled_seconds(row)) else "",
        f"{hours(used)} ({share(used, leased)})" if isinstance(used, float) and leased else "",
        energy(row.energy_joules) if row.energy_joules else "",
        " + ".join(money(price) for price in prices),
    ]


def _with_bars(lines: list[str], values: list[int], room: int) -> list[str]:
    most = max(values, default=0)
    place = max(map(len, lines)) + 2
    bars = ["", *(_bar(value, most, room) for value in values), ""]
    return [f"{line.ljust(place)}{bar}".rstrip() for line, bar in zip(lines, bars, strict=True)]


def _bar(value: int, most: int, room: int) -> str:
    eighths = -(-8 * room * value // most) if most else 0
    return "█" * (eighths // 8) + (_EIGHTHS[eighths % 8] if eighths % 8 else "")


def _moment(at: str, zone: tzinfo | None) -> str:
    day, parted, _ = at.partition("T00:00:00.000Z")
    return day if parted else moment(at, zone)


def _sheet(usage: wire.Usage) -> Table:
    """Everything of a report in plain numbers, for programs that read CSV."""
    names = _columns(usage)
    amounts = ("MINUTES", "GPU MINUTES", "LEASED GPU SECONDS", "USED GPU SECONDS", "ENERGY JOULES", "PEAK GPU MEMORY")
    heads = (*(name.upper() for name in names), *amounts, "CURRENCY", "PRICE MICROS")
    return Table(heads, [[*(str(getattr(row, name) or "") for name in names), *_numbers(row)] for row in usage.items])


def _numbers(row: wire.UsageRow) -> list[str]:
    price = row.price if isinstance(row.price, wire.Price) else None
    numbers = (
        row.minutes.value,
        row.gpu_minutes.value,
        row.leased_gpu_seconds,
        row.used_gpu_seconds,
        row.energy_joules,
        row.peak_gpu_memory,
    )
    cells = ["" if number is wire.UNSET else str(number) for number in numbers]
    return [*cells, price.currency if price else "", str(price.micros) if price else ""]
