# SPDX-License-Identifier: Apache-2.0
"""``notebookctl bugreport``."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from notebookd.cli.bundle import contents_of, gather, write
from notebookd.cli.here import Declined, Here, Verb, output_option, pass_here
from notebookd.cli.output import Table, clean, emit, size
from notebookd.client import ClientError


@click.command("bugreport", cls=Verb)
@click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path), metavar="[FILE.tar.gz]")
@click.option(
    "--log",
    "logs",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Take the end of this file as well, where a log is not in the journal. Repeatable.",
)
@output_option
@pass_here
def verb(here: Here, *, file: Path | None, logs: tuple[Path, ...], output: str) -> None:
    """Bundle what a bug report needs, without secrets.

    Into one archive: what the doctor finds, versions, health, configuration, board, queue, the notebooks that you may
    see with the reasons of their states, the last events, the end of the log. Tokens, values of environment variables,
    passwords and keys are taken out; names of users and notebooks stay. It works with the daemon down, and says what
    is missing. Root sees most.
    """
    now = here.terminal.now()
    target = file or Path(f"notebookd-bugreport-{now:%Y%m%d-%H%M%S}.tar.gz")
    if target.exists() or target.is_symlink():
        raise Declined(f"{target} exists already: name another file")
    bundle = gather(here.client, logs)
    try:
        write(bundle, target, now)
    except OSError as error:
        raise ClientError(f"cannot write {target}: {error.strerror}", hint="name a file that you may write") from error
    for each in bundle.missing:
        here.terminal.note(clean(f"missing: {each.what}: {each.why}"))
    items = list(contents_of(bundle))
    missing = [{"what": each.what, "why": each.why} for each in bundle.missing]
    body = msgspec.json.encode({"file": str(target), "items": items, "missing": missing})
    rows = [
        (str(each["name"]), str(each["bytes"]) if output == "csv" else size(int(each["bytes"])), str(each["what"]))
        for each in items
    ]
    emit(output, body, Table(("NAME", "SIZE", "WHAT"), rows))
    here.terminal.note(f"wrote {target}: it has no secrets that we know of; look through it before you send it")
