# SPDX-License-Identifier: Apache-2.0
"""``notebookctl push-data``."""

from __future__ import annotations

import click

from notebookd.cli.here import Here, Verb, notebook_argument, output_option, pass_here, stay_option, volume_argument
from notebookd.cli.sync import transfer


@click.command("push-data", cls=Verb)
@notebook_argument
@volume_argument
@stay_option
@output_option
@pass_here
def verb(here: Here, *, notebook: str, volume: str | None, wait: bool, output: str) -> None:
    """Carry a notebook's changed data back.

    That is what its stop does, too. RW volumes add and change, RWD volumes delete as well what was deleted here. Of a
    notebook that is SYNC_FAILED it carries back what could not be carried back then. VOLUME is a mount path or an id;
    without one it is all volumes.
    """
    transfer(here, notebook, "push", volume, wait=wait, output=output)
