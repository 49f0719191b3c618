# SPDX-License-Identifier: Apache-2.0
"""``notebookctl rm``."""

from __future__ import annotations

import click

from notebookd.cli.here import Declined, Here, Verb, completes, pass_here
from notebookd.cli.naming import notebook_and_path, notebook_id
from notebookd.cli.output import clean


@click.command("rm", cls=Verb)
@click.argument(
    "targets", metavar="NOTEBOOK:PATH...", nargs=-1, required=True, shell_complete=completes("notebook_paths")
)
@pass_here
def verb(here: Here, *, targets: tuple[str, ...]) -> None:
    """Remove files of a notebook's workspace.

    They are gone for good, and nothing is asked before. PATH is relative to /workspace. A folder goes with all that is
    in it; a link goes, and what it points to stays. The notebook may be stopped, and over its quota. Volumes are no
    part of the workspace.
    """
    named = [_named(here, target) for target in targets]
    for target, notebook, path in named:
        here.client.remove_path(notebook, path)
        here.terminal.note(f"removed {clean(target)}")


def _named(here: Here, target: str) -> tuple[str, str, str]:
    parted = notebook_and_path(target)
    if parted is None:
        raise click.UsageError(f"{target}: write NOTEBOOK:PATH; files here are removed by rm itself")
    notebook, path = parted
    if ".." in path.split("/"):
        raise Declined(f"{path}: write it without ..")
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if not parts or (path.startswith("/") and parts == ["workspace"]):
        raise Declined(f"{target}: name what is in the workspace; delete removes a notebook with all of it")
    return target, notebook_id(here, notebook), path
