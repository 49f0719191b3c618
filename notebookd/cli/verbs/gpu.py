# SPDX-License-Identifier: Apache-2.0
"""``notebookctl gpu``."""

from __future__ import annotations

import click

from notebookd import wire
from notebookd.cli.here import Here, Verb, output_option, pass_here
from notebookd.cli.output import Table, emit, size
from notebookd.cli.verbs.listing import CLEAR

COLUMNS = (
    "INDEX",
    "UUID",
    "NAME",
    "STATE",
    "MEMORY",
    "UTIL",
    "TEMP",
    "POWER",
    "OWNER",
    "NOTEBOOK",
    "FREE AT",
    "PROCESSES",
)


@click.command("gpu", cls=Verb)
@click.argument("action", type=click.Choice(["list"]), default="list")
@click.option("--watch", is_flag=True, help="Show it again every two seconds.")
@output_option
@pass_here
def verb(here: Here, *, action: str, watch: bool, output: str) -> None:  # noqa: ARG001 - there is one action so far
    """Show the GPUs: who holds them, what runs on them."""
    while True:
        reply = here.client.list_gpus()
        if watch and output == "table" and here.terminal.watched():
            click.echo(CLEAR, nl=False)
        emit(output, reply.body, Table(COLUMNS, [_row(each) for each in reply.value.items]))
        if not watch:
            return
        here.terminal.sleep(2.0)


def _row(gpu: wire.Gpu) -> tuple[str, ...]:
    flags = [
        flag for flag, is_set in (("drained", gpu.drained), ("foreign", gpu.foreign)) if is_set and flag != gpu.state
    ]
    return (
        str(gpu.index),
        gpu.uuid,
        gpu.name,
        "+".join([gpu.state, *flags]),
        f"{size(gpu.memory.used)} / {size(gpu.memory.total)}" if gpu.memory else "",
        _measure(gpu.utilisation, "%"),
        _measure(gpu.temperature, "C"),
        _measure(None if gpu.power is None else round(gpu.power), "W"),
        gpu.lease.owner if gpu.lease else "",
        gpu.lease.notebook if gpu.lease else "",
        (gpu.lease.free_at or "") if gpu.lease else "",
        ", ".join(f"{each.command} ({each.pid}, {each.user})" for each in gpu.processes),
    )


def _measure(value: int | None, unit: str) -> str:
    return "" if value is None else f"{value}{unit}"
