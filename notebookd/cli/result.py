# SPDX-License-Identifier: Apache-2.0
"""What verbs about one notebook leave on stdout."""

from __future__ import annotations

from contextlib import suppress

from notebookd import wire
from notebookd.cli import in_full, notebooks
from notebookd.cli.here import Here
from notebookd.cli.output import emit
from notebookd.client import ClientError, Refused, Reply

__all__ = ["note_where_nobody_answers", "show_changed", "show_entry", "show_notebook"]

_SHUT = frozenset({"STOPPING", "STOPPED", "FAILED", "ERROR", "SYNC_FAILED"})


def show_notebook(here: Here, reply: Reply[wire.Notebook], output: str) -> None:
    """The notebook, whole."""
    now, zone = here.terminal.now(), here.terminal.zone()
    notebook = reply.value
    emit(output, reply.body, notebooks.table([notebook], now, exact=output == "csv"), in_full.view(notebook, now, zone))


def show_entry(here: Here, reply: Reply[wire.Notebook], output: str) -> None:
    """The way in, for people; the notebook, for programs."""
    if output != "table":
        show_notebook(here, reply, output)
        return
    notebook = reply.value
    try:
        url = here.client.access(notebook.id).value.url
    except Refused:  # it is somebody else's: the token is the owner's
        url = notebook.status.url
    emit(output, reply.body, notebooks.table([], here.terminal.now()), url)


def show_changed(here: Here, notebook: str, output: str) -> None:
    """Nothing for people, who know what they asked for; the notebook as it is now, for programs."""
    if output != "table":
        show_notebook(here, here.client.get_notebook(notebook), output)


def note_where_nobody_answers(here: Here, notebook: str) -> None:
    """Say on stderr that a URL leads to no editor now, and that its token is not the one of the next start."""
    with suppress(ClientError):  # a remark, and no more
        found = here.client.get_notebook(notebook).value
        if found.status.state in _SHUT:
            here.terminal.note(
                f"note: {found.spec.name} is {found.status.state}: nobody answers there, and the next start "
                f"makes a new token; notebookctl start {found.spec.name}, then ask again"
            )
