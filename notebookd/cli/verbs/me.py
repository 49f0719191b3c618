# SPDX-License-Identifier: Apache-2.0
"""``notebookctl me``."""

from __future__ import annotations

import click

from notebookd.cli.here import Here, Verb, output_option, pass_here
from notebookd.cli.output import Table, emit, size


@click.command("me", cls=Verb)
@output_option
@pass_here
def verb(here: Here, *, output: str) -> None:
    """Show who you are to the daemon."""
    reply = here.client.me()
    me = reply.value
    quotas = me.quotas.resources
    storage = str(me.quotas.storage) if output == "csv" else size(me.quotas.storage)
    row = (me.name, me.role, me.tenant, str(quotas.get("GPU", "")), str(quotas.get("CPU", "")), storage)
    emit(output, reply.body, Table(("NAME", "ROLE", "TENANT", "GPUS", "CPUS", "STORAGE"), [row]))
