# SPDX-License-Identifier: Apache-2.0
"""The program ``notebookd``, for what has to work without the daemon: the machine and the configuration."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click

__all__ = ["become_daemon_program", "find_daemon_program"]


def find_daemon_program() -> str | None:
    """Beside notebookctl, else on PATH."""
    beside = Path(sys.argv[0]).resolve().with_name("notebookd")
    return str(beside) if os.access(beside, os.X_OK) and beside.is_file() else shutil.which("notebookd")


def become_daemon_program(words: Sequence[str]) -> NoReturn:
    """Run ``notebookd`` with these words in place of this process: its output and exit status are the result."""
    program = find_daemon_program()
    if program is None:
        click.echo("notebookctl: cannot find the program notebookd, neither beside notebookctl nor on PATH", err=True)
        click.echo("hint: add its folder to PATH, or install the package again", err=True)
        sys.exit(1)
    sys.stdout.flush()
    os.execv(program, ["notebookd", *words])  # noqa: S606 - fixed program, no shell
