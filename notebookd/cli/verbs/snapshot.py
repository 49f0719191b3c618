# SPDX-License-Identifier: Apache-2.0
"""``notebookctl snapshot``."""

from __future__ import annotations

import click

from notebookd import wire
from notebookd.cli.here import (
    Declined,
    Family,
    Here,
    Verb,
    completes,
    notebook_argument,
    output_option,
    pass_here,
    wait_option,
)
from notebookd.cli.naming import notebook_id
from notebookd.cli.output import Table, age, emit, moment, seconds, size
from notebookd.cli.result import show_entry, show_notebook
from notebookd.cli.waiting import wait_until_running
from notebookd.client import Refused, Reply

COLUMNS = ("ID", "TAKEN", "AGE", "FILES", "SIZE")


@click.group("snapshot", cls=Family, context_settings={"help_option_names": ["-h", "--help"]})
def verb() -> None:
    """List, fork or check snapshots of a workspace.

    One is taken whenever a notebook stops. They are deduplicated: what did not change takes no room again.
    """


@verb.command("list", cls=Verb)
@notebook_argument
@output_option
@pass_here
def list_snapshots(here: Here, *, notebook: str, output: str) -> None:
    """List the snapshots of a notebook, the newest first."""
    reply = here.client.list_backups(notebook_id(here, notebook))
    now, zone = here.terminal.now(), here.terminal.zone()
    if output == "csv":
        rows = [
            (each.id, each.backup_date, seconds(each.backup_date, now), str(each.files), str(each.size))
            for each in reply.value.items
        ]
    else:
        rows = [
            (each.id, moment(each.backup_date, zone), age(each.backup_date, now), str(each.files), size(each.size))
            for each in reply.value.items
        ]
    emit(output, reply.body, Table(COLUMNS, rows))


@verb.command("fork", cls=Verb)
@notebook_argument
@click.argument("snapshot", required=False, metavar="[SNAPSHOT]", shell_complete=completes("snapshots"))
@wait_option
@output_option
@pass_here
def fork(here: Here, *, notebook: str, snapshot: str | None, wait: bool | None, output: str) -> None:
    """Make and start a new notebook that begins with a snapshot.

    SNAPSHOT is an id, or a unique start of one; without it the newest is taken. The new notebook asks for the same as
    the old one, which stays as it is.
    """
    identity = notebook_id(here, notebook)
    taken = _chosen(here.client.list_backups(identity), notebook, snapshot)
    begun = here.terminal.now()
    reply = here.client.fork_backup(identity, taken)
    made = reply.value
    if wait if wait is not None else here.terminal.watched():
        here.terminal.note(f"notebook {made.spec.name} ({made.id})")
        show_entry(here, wait_until_running(here, made.id, begun), output)
    else:
        show_notebook(here, reply, output)


def _chosen(reply: Reply[wire.NotebookBackupList], notebook: str, word: str | None) -> str:
    items = reply.value.items
    found = items[:1] if word is None else [each for each in items if each.id.startswith(word.lower())]
    if len(found) == 1:
        return found[0].id
    if found:
        raise Declined(f"{word!r} means more than one snapshot: {', '.join(each.id for each in found)}")
    message = f"cannot find snapshot {word!r} of {notebook}" if word else f"notebook {notebook} has no snapshot"
    raise Refused(status=404, code="not-found", message=message, hint=f"notebookctl snapshot list {notebook}")


@verb.command("check", cls=Verb)
@notebook_argument
@output_option
@pass_here
def check(here: Here, *, notebook: str, output: str) -> None:
    """Read all of a notebook's snapshots, and see whether they are sound."""
    reply = here.client.check_backups(notebook_id(here, notebook))
    emit(output, reply.body, Table(("SAID",), [(reply.value.said,)]), reply.value.said)
