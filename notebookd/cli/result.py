# SPDX-License-Identifier: Apache-2.0
"""What verbs about one notebook leave on stdout."""

from __future__ import annotations

from notebookd import wire
from notebookd.cli import notebooks
from notebookd.cli.here import Here
from notebookd.cli.output import emit
from notebookd.client import Refused, Reply

__all__ = ["show_changed", "show_entry", "show_notebook"]


def show_notebook(here: Here, reply: Reply[wire.Notebook], output: str) -> None:
    """The notebook, whole."""
    now = here.terminal.now()
    notebook = reply.value
    emit(output, reply.body, notebooks.table([notebook], now), notebooks.view(notebook, now))


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
