# SPDX-License-Identifier: Apache-2.0
"""``notebookctl pull-data``."""

from __future__ import annotations

import click

from notebookd.cli.here import Here, Verb, notebook_argument, output_option, pass_here, stay_option, volume_argument
from notebookd.cli.sync import transfer


@click.command("pull-data", cls=Verb)
@notebook_argument
@volume_argument
@stay_option
@output_option
@pass_here
def verb(here: Here, *, notebook: str, volume: str | None, wait: bool, output: str) -> None:
    """Bring a notebook's data in anew.

    The notebook runs meanwhile, and what was changed in it is never replaced. VOLUME is a mount path or an id; without
    one it is all volumes.
    """
    transfer(here, notebook, "pull", volume, wait=wait, output=output)
