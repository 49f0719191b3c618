# SPDX-License-Identifier: Apache-2.0
"""``notebookctl receipt``."""

from __future__ import annotations

from datetime import tzinfo

import click

from notebookd import wire
from notebookd.cli.here import Here, Verb, notebook_argument, output_option, pass_here
from notebookd.cli.money import energy, hours, money, share, unbilled_seconds
from notebookd.cli.naming import notebook_id
from notebookd.cli.output import Table, clean, emit, moment, size

COLUMNS = ("STATE", "FROM", "TO", "MINUTES", "RATE", "PRICE")
SHEET = ("STATE", "FROM", "TO", "MINUTES", "CURRENCY", "RATE MICROS", "PRICE MICROS")


@click.command("receipt", cls=Verb)
@notebook_argument
@click.option("--run", type=click.IntRange(min=1), metavar="N", help="An earlier run than the latest; the first is 1.")
@output_option
@pass_here
def verb(here: Here, *, notebook: str, run: int | None, output: str) -> None:
    """Show the bill of a notebook's run.

    Every stay in RUNNING with its minutes and their price, what its GPUs did, and what ended it. A deleted notebook
    still has one: name it by its id.
    """
    reply = here.client.receipt(notebook_id(here, notebook), run=run)
    receipt = reply.value
    emit(output, reply.body, _sheet(receipt), _text(receipt, here.terminal.zone()))


def _sheet(receipt: wire.Receipt) -> Table:
    """The stays for programs that read CSV; one that goes on has no end."""
    return Table(SHEET, [_sheet_row(each) for each in receipt.stays])


def _sheet_row(each: wire.ReceiptStay) -> tuple[str, ...]:
    priced = each.price or each.rate
    return (
        each.state,
        each.started_at,
        each.ended_at or "",
        str(each.minutes.value),
        priced.currency if priced else "",
        str(each.rate.micros) if each.rate else "",
        str(each.price.micros) if each.price else "",
    )


def _stays(receipt: wire.Receipt, zone: tzinfo | None) -> Table:
    return Table(COLUMNS, [_stay(each, zone) for each in receipt.stays])


def _stay(each: wire.ReceiptStay, zone: tzinfo | None) -> tuple[str, ...]:
    return (
        each.state,
        moment(each.started_at, zone, exact=True),
        moment(each.ended_at, zone, exact=True) if each.ended_at else "goes on",
        str(each.minutes.value),
        f"{money(each.rate)} per unit and hour" if each.rate else "",
        money(each.price) if each.price else "",
    )


def _text(receipt: wire.Receipt, zone: tzinfo | None) -> str:
    so_far = " so far" if receipt.open else ""
    unbilled = unbilled_seconds(receipt.totals)
    totals = receipt.totals
    count = totals.minutes.value
    prices = [price for price in (totals.price, *(totals.other_prices or ())) if isinstance(price, wire.Price)]
    amount = ", ".join([f"{count:,} {'minute' if count == 1 else 'minutes'}", *(money(price) for price in prices)])
    lines = [
        f"Notebook {receipt.name} ({receipt.notebook}) of {receipt.user}, run {receipt.run}",
        f"{receipt.units} x {receipt.flavor}, asked for on {moment(receipt.queued_at, zone)}",
        "",
        *(_stays(receipt, zone).text().splitlines() if receipt.stays else ["It has not run."]),
        "",
        f"Total{so_far}: {amount}",
        *([f"Held and not billed: {hours(unbilled)} of GPUs, while it booted or stopped"] if unbilled else []),
        *(_gpu(each) for each in receipt.gpus),
    ]
    if receipt.ended:
        by = receipt.ended
        exit_code = "" if by.exit_code is wire.UNSET else f", exit code {by.exit_code}"
        lines.append(f"Ended {by.state}: {by.message} ({by.code}){exit_code}")
    return "\n".join(clean(line) for line in lines)


def _gpu(each: wire.ReceiptGpu) -> str:
    facts = [f"leased {hours(each.leased_seconds)}"]
    if isinstance(each.used_seconds, float):
        facts.append(f"used {hours(each.used_seconds)} ({share(each.used_seconds, each.leased_seconds)})")
    if isinstance(each.peak_utilisation, int):
        facts.append(f"at most {each.peak_utilisation}% busy")
    if isinstance(each.peak_memory, int):
        facts.append(f"at most {size(each.peak_memory)}")
    if each.energy_joules:
        facts.append(energy(each.energy_joules))
    return f"{each.uuid}: {', '.join(facts)}"
