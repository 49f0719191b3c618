# SPDX-License-Identifier: Apache-2.0
"""``notebookctl gpu``."""

from __future__ import annotations

import re

import click

from notebookd import wire
from notebookd.cli import board
from notebookd.cli.here import Here, Verb, completes, look, output_option, pass_here, watch_option
from notebookd.cli.naming import only
from notebookd.cli.output import clean, emit
from notebookd.client import Reply

ABOUT_ONE = ("drain", "undrain", "clear")
ABOUT_ALL = ("release", "acquire")
_UUID = re.compile(r"GPU(-[0-9a-f]+){5}")


@click.command("gpu", cls=Verb)
@click.argument("action", type=click.Choice(["list", *ABOUT_ONE, *ABOUT_ALL]), default="list")
@click.argument("gpus", metavar="[GPU...|all]", nargs=-1, shell_complete=completes("gpus"))
@click.option("--reason", metavar="TEXT", help="With drain: why, for everybody to read, those who wait first.")
@watch_option
@output_option
@pass_here
def verb(here: Here, *, action: str, gpus: tuple[str, ...], reason: str | None, watch: bool, output: str) -> None:
    """Show the GPUs: who holds them, what runs on them.

    \b
    list            every GPU: state, use, holder, strangers, health
    drain GPU...    lease it to nobody new; who holds it keeps it
    undrain GPU...  lease it out again
    clear GPU...    take it out of quarantine
    release         let go of the driver, so that it can be reset or upgraded
    acquire         take the driver again

    A GPU is named by its index, its UUID, or a unique start of that; all is each of them. All verbs but list are for
    admins.
    """
    if (action in ABOUT_ONE) != bool(gpus):
        raise click.UsageError(f"{action} takes {'the name of a GPU, or several' if action in ABOUT_ONE else 'no GPU'}")
    if reason is not None and action != "drain":
        raise click.UsageError("--reason goes with drain")
    if watch and action != "list":
        raise click.UsageError("--watch goes with list")
    if action == "list":
        look(here, here.client.list_gpus, lambda reply: _show(here, reply, output), watch=watch)
        return
    _act(here, action, gpus, reason)
    if output != "table":
        _show(here, here.client.list_gpus(), output)


def _show(here: Here, reply: Reply[wire.GpuList], output: str) -> None:
    found = reply.value
    text = board.text(found, here.terminal.local_now(), here.terminal.width())
    emit(output, reply.body, board.sheet(found), text)
    if found.trouble and output == "csv":
        here.terminal.note(f"note: {board.UNSEEN}: {clean(found.trouble)}")


def _act(here: Here, action: str, gpus: tuple[str, ...], reason: str | None) -> None:
    client = here.client
    if action in ABOUT_ALL:
        return client.release_gpus() if action == "release" else client.acquire_gpus()
    for uuid in _uuids(here, gpus):
        match action:
            case "drain":
                client.drain_gpu(uuid, reason=reason)
            case "undrain":
                client.undrain_gpu(uuid)
            case _:
                client.clear_gpu(uuid)
    return None


def _uuids(here: Here, gpus: tuple[str, ...]) -> list[str]:
    """The UUIDs that the words mean, each once. All are looked up before one is touched."""
    if gpus == ("all",):
        return [each.uuid for each in here.client.list_gpus().value.items]
    return list(dict.fromkeys(gpu_uuid(here, word) for word in gpus))


def gpu_uuid(here: Here, word: str) -> str:
    """The UUID that a word means: an index, or the start of a UUID, with its ``GPU-`` or without."""
    if _UUID.fullmatch(word):
        return word
    items = here.client.list_gpus().value.items
    begun = [each for each in items if word and each.uuid.lower().startswith((word.lower(), f"gpu-{word.lower()}"))]
    ways = (
        [each for each in begun if each.uuid == word],
        [each for each in items if str(each.index) == word],
        begun,
    )
    matches = [[(each.uuid, f"{each.uuid} (index {each.index})") for each in found] for found in ways]
    missing = "neither an index, nor a UUID, nor the start of one"
    return only("GPU", word, matches, missing=missing, hint="notebookctl gpu list shows them")
