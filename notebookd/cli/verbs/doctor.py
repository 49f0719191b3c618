# SPDX-License-Identifier: Apache-2.0
"""``notebookctl doctor``."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import click

from notebookd.cli.here import Verb


@click.command("doctor", cls=Verb, context_settings={"ignore_unknown_options": True})
@click.option("-o", "--output", type=click.Choice(["table", "json"]), default="table", help="How to write the result.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def verb(output: str, arguments: tuple[str, ...]) -> None:
    """Check the machine, also with the daemon down.

    This is "notebookd doctor", and takes its arguments.
    """
    beside = Path(sys.argv[0]).resolve().with_name("notebookd")
    program = str(beside) if os.access(beside, os.X_OK) and beside.is_file() else shutil.which("notebookd")
    if program is None:
        click.echo("notebookctl: cannot find the program notebookd, neither beside notebookctl nor on PATH", err=True)
        click.echo("hint: add its folder to PATH, or install the package again", err=True)
        sys.exit(1)
    sys.stdout.flush()
    extra = ["--json"] if output == "json" else []
    os.execv(program, ["notebookd", "doctor", *extra, *arguments])  # noqa: S606 - fixed program, no shell
