# SPDX-License-Identifier: Apache-2.0
"""``notebookctl datastore``."""

from __future__ import annotations

from datetime import tzinfo

import click

from notebookd import wire
from notebookd.cli.here import Here, Verb, completes, output_option, pass_here
from notebookd.cli.output import Table, emit, moment, size


@click.command("datastore", cls=Verb)
@click.argument("action", type=click.Choice(["list", "objects"]), default="list")
@click.argument("alias", required=False, shell_complete=completes("datastores"))
@click.argument("prefix", required=False, metavar="[CONTAINER[/PREFIX]]")
@output_option
@pass_here
def verb(here: Here, *, action: str, alias: str | None, prefix: str | None, output: str) -> None:
    """Show the datastores, and what is in them.

    \b
    list                            those that you may read, and whether you may write
    objects ALIAS [CONTAINER/...]   what lies in one, one level deep

    A datastore is where the admin lets data come from and go to: ALIAS in a volume CONTAINER@ALIAS/PREFIX:/PATH.
    """
    if (action == "objects") != (alias is not None):
        raise click.UsageError("objects takes the ALIAS of a datastore, list takes none")
    if alias is None:
        stores = here.client.list_datastores()
        rows = [(each.alias, each.type, each.permission) for each in stores.value.items]
        emit(output, stores.body, Table(("ALIAS", "TYPE", "PERMISSION"), rows))
        return
    objects = here.client.list_objects(alias, prefix or "")
    zone = here.terminal.zone()
    rows = [_sheet_row(each) if output == "csv" else _row(each, zone) for each in objects.value.items]
    emit(output, objects.body, Table(("PATH", "SIZE", "MODIFIED"), rows))


def _row(found: wire.StoredObject, zone: tzinfo | None) -> tuple[str, str, str]:
    modified = moment(found.modified_at, zone) if found.modified_at else ""
    return (f"{found.path}/", "", modified) if found.folder else (found.path, size(found.size), modified)


def _sheet_row(found: wire.StoredObject) -> tuple[str, str, str]:
    modified = found.modified_at or ""
    return (f"{found.path}/", "", modified) if found.folder else (found.path, str(found.size), modified)
