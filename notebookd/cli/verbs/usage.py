# SPDX-License-Identifier: Apache-2.0
"""``notebookctl usage``."""

from __future__ import annotations

import re
from datetime import date

import click

from notebookd import wire
from notebookd.cli import consumed, words
from notebookd.cli.disk import disk_sheet, disk_text
from notebookd.cli.here import Here, Verb, completes_among, output_option, pass_here
from notebookd.cli.output import Table, emit

KEYS = ("user", "notebook", "flavor", "gpu", "day", "month")
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@click.command("usage", cls=Verb)
@click.argument("what", required=False, type=click.Choice(["disk"]))
@click.option(
    "--group-by",
    "--by",
    metavar="KEY,...",
    default="notebook",
    show_default=True,
    shell_complete=completes_among(KEYS),
    help=f"Some of {', '.join(KEYS)}; of disk: user.",
)
@click.option("--month", metavar="2026-11", help="A whole month. [default: this one]")
@click.option("--from", "start", metavar="WHEN", help="From this day or time on: 2026-11-01, yesterday, 18:00, 2d.")
@click.option("--to", "end", metavar="WHEN", help="Up to this day or time, itself not included.")
@click.option(
    "--chart/--no-chart",
    "drawn",
    default=None,
    help="Draw it over days or months, or list it. [default: drawn on a terminal]",
)
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
    drawn: bool | None,
    everybody: bool,
    output: str,
) -> None:
    """Show what was used, and what it costs; with `disk`, who fills the disk.

    Each minute that a notebook began to run counts in full: GPU MIN for each of its GPUs, CPU MIN once for a notebook
    without one. Days and months are UTC's: by them it is drawn on a terminal. LEASED is the time for which
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
    if drawn and not consumed.is_over_time(keys):
        raise click.UsageError("--chart is over time: group by day or by month as well")
    asked = [*keys, "flavor"] if output == "table" and "flavor" not in keys else keys
    reply = here.client.usage(start=start, end=end, group_by=asked, user=user)
    usage, width, zone = reply.value, here.terminal.width(), here.terminal.zone()
    on_chart = consumed.is_over_time(keys) and (width is not None if drawn is None else drawn)
    text = consumed.chart(usage, keys, width or 80, zone) if on_chart else consumed.table(usage, keys, width, zone)
    emit(output, reply.body, _sheet(usage), text)


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
