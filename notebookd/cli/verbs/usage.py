# SPDX-License-Identifier: Apache-2.0
"""``notebookctl usage``."""

from __future__ import annotations

import re
from datetime import date

import click

from notebookd import wire
from notebookd.cli import consumed, words
from notebookd.cli.consumed import KEYS
from notebookd.cli.disk import disk_sheet, disk_text
from notebookd.cli.here import Here, Verb, completes, output_option, pass_here
from notebookd.cli.output import Table, emit
from notebookd.wire.usage import LABEL

_LABEL_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?")
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@click.command("usage", cls=Verb)
@click.argument("what", required=False, type=click.Choice(["disk"]))
@click.option(
    "--group-by",
    "--by",
    metavar="KEY,...",
    default="notebook",
    show_default=True,
    shell_complete=completes("usage_keys"),
    help=f"Some of {', '.join(KEYS)} and label:NAME, as label:course; of disk: user.",
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

    --by label:course has a line for each value of the label course, and (none) for notebooks without it. The value is
    what the notebook had when a run of it ended; while a run goes on, what it has now. So a new label counts for the
    run that goes on and for later ones, and changes no bill of the past. Runs that ended before labels were kept count
    by the label of today.

    `usage disk` lists workspaces by their bytes, the fullest first: your own, an admin's are everybody's. They are
    measured while a notebook runs and when it stops; --group-by user adds them up.
    """
    if what is not None:
        if month is not None or start is not None or end is not None:
            raise click.UsageError("disk is what is used now: it goes without --month, --from and --to")
        _show_disk(here, group_by, output)
        return
    keys = _keys(group_by)
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


def _show_disk(here: Here, group_by: str, output: str) -> None:
    if group_by not in {"notebook", "user"}:
        raise click.BadParameter(f"{group_by!r} is none of notebook, user", param_hint="--group-by")
    answer = here.client.disk_usage()
    emit(output, answer.body, disk_sheet(answer.value), disk_text(answer.value, here, by_user=group_by == "user"))


def _keys(group_by: str) -> list[str]:
    keys = [word.strip() for word in group_by.split(",") if word.strip()]
    if unknown := [key for key in keys if key not in KEYS and not _is_label(key)]:
        raise click.BadParameter(_why_unknown(unknown[0]), param_hint="--group-by")
    return keys


def _is_label(key: str) -> bool:
    return key.startswith(LABEL) and _LABEL_NAME.fullmatch(key.removeprefix(LABEL)) is not None


def _why_unknown(key: str) -> str:
    if key.startswith(LABEL):
        return (
            f"{key!r} names no label: label: is followed by a label's name, as label:course, of letters, digits "
            "and . _ / -"
        )
    hint = f"; for a label of that name: label:{key}" if _LABEL_NAME.fullmatch(key) else ""
    return f"{key!r} is none of {', '.join(KEYS)}, label:NAME{hint}"


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
    heads = (*map(consumed.head, names), *amounts, "CURRENCY", "PRICE MICROS")
    return Table(heads, [[*(wire.group_word(row, name) for name in names), *_numbers(row)] for row in usage.items])


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
