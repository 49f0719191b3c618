# SPDX-License-Identifier: Apache-2.0
"""``notebookctl image``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, cast

import click

from notebookd import wire
from notebookd.cli.here import Here, Verb, completes, output_option, pass_here
from notebookd.cli.output import Table, age, clean, emit, seconds, size
from notebookd.cli.progress import Screen, screen
from notebookd.client import ClientError, Refused, Reply

ORDERS = ("build", "pull", "prepare")
_DIGEST_SHOWN = 12
_STEP = "STEP "


@click.command("image", cls=Verb)
@click.argument("action", type=click.Choice(["list", *ORDERS, "remove"]), default="list")
@click.argument("name", required=False, shell_complete=completes("images"))
@click.option("--base", metavar="IMAGE", help="Build on this image instead of the recipe's own base.")
@output_option
@pass_here
def verb(here: Here, *, action: str, name: str | None, base: str | None, output: str) -> None:
    """Show the images that notebooks are made of, and see to them.

    \b
    list          every image: which choices of the catalogue it is, who runs on it
    build RECIPE  build a recipe of this machine, and prepare what comes of it
    pull NAME     fetch an image from its registry, and prepare it
    prepare NAME  do now what its first start would wait for
    remove NAME   remove an image that no notebook runs on

    All but list are for admins. An interrupt gives up what goes on; nothing half made gets the name.
    """
    if (action == "list") != (name is None):
        raise click.UsageError(f"{action} takes {'no name' if action == 'list' else 'a name'}")
    if base is not None and action != "build":
        raise click.UsageError("--base goes with build")
    if name is None:
        _list(here, output)
    elif action == "remove":
        here.client.remove_image(name)
        if output != "table":
            _list(here, output)
    else:
        _order(here, action, name, base, output)


def _list(here: Here, output: str) -> None:
    reply = here.client.list_images()
    found = reply.value
    table = _sheet(here, found.items) if output == "csv" else _table(here, found.items)
    remarks = [clean(line) for line in _remarks(found)]
    emit(output, reply.body, table, "\n".join([table.text(), *(["", *remarks] if remarks else [])]))


def _table(here: Here, images: list[wire.Image]) -> Table:
    columns = ("IMAGE", "DIGEST", "SIZE", "AGE", "CATALOGUE", "NOTEBOOKS", "PREPARED FOR")
    return Table(columns, [_row(here, each) for each in images])


def _row(here: Here, image: wire.Image) -> tuple[str, ...]:
    digest = image.digest.removeprefix("sha256:")[:_DIGEST_SHOWN] if image.digest else ""
    names = [each.name for each in image.notebooks]
    others = image.in_use - len(names)
    return (
        image.name or "",
        digest if image.present else "absent",
        size(image.size) if image.size else "",
        age(image.created_at, here.terminal.now()) if image.created_at else "",
        ", ".join(f"{each.editor}/{each.framework}/{each.version}" for each in image.catalogue),
        ", ".join([*names, *([f"{others} of others"] if others else [])]),
        f"uid {', '.join(map(str, image.prepared_for))}" if image.prepared_for else "",
    )


def _sheet(here: Here, images: list[wire.Image]) -> Table:
    """The same for programs that read CSV: whole digests, bytes, seconds."""
    columns = ("IMAGE", "DIGEST", "PRESENT", "SIZE", "AGE", "CATALOGUE", "NOTEBOOKS", "IN USE", "PREPARED FOR")
    return Table(columns, [_sheet_row(here, each) for each in images])


def _sheet_row(here: Here, image: wire.Image) -> tuple[str, ...]:
    return (
        image.name or "",
        image.digest or "",
        "yes" if image.present else "no",
        str(image.size) if image.size else "",
        seconds(image.created_at, here.terminal.now()) if image.created_at else "",
        " ".join(f"{each.editor}/{each.framework}/{each.version}" for each in image.catalogue),
        " ".join(each.name for each in image.notebooks),
        str(image.in_use),
        " ".join(map(str, image.prepared_for)),
    )


def _remarks(found: wire.ImageList) -> Iterator[str]:
    for each in found.items:
        if each.busy:
            yield f"{each.name or each.digest}: somebody's {each.busy} goes on"
    made = {each.name for each in found.items if each.present or each.busy == "build"}
    for recipe in found.recipes:
        if recipe.fault:
            yield f"recipe {recipe.name} cannot be used: {recipe.fault}"
        elif missing := [name for name in recipe.images if name not in made]:
            yield f"recipe {recipe.name} is not built: notebookctl image build {recipe.name} makes {', '.join(missing)}"


def _order(here: Here, action: str, name: str, base: str | None, output: str) -> None:
    last: Reply[wire.ImageProgress] | None = None
    what = cast("Literal['build', 'prepare', 'pull']", action)
    with screen(here) as shown:
        for last in here.client.order_image(what, name, base=base):
            _show(shown, last.value)
    end = last.value if last is not None else wire.ImageProgress()
    if end.error:
        error = end.error
        raise Refused(status=200, code=error.code, message=error.message, hint=error.hint or None)
    if last is None or not isinstance(end.images, list):
        raise ClientError(f"cannot tell what came of it: the answer broke off (notebookctl image list shows {name})")
    table = _sheet(here, end.images) if output == "csv" else _table(here, end.images)
    emit(output, last.body, table)
    for each in end.images:
        if action != "prepare" and each.name and not each.catalogue:
            here.terminal.note(
                f"note: no choice of the catalogue is {each.name}: a file in /etc/notebookd/catalogue.d makes it one"
                + (", such as the recipe's own catalogue.toml" if action == "build" else "")
            )


def _show(shown: Screen, progress: wire.ImageProgress) -> None:
    if not progress.text:
        return
    text = clean(progress.text)
    if text.startswith(_STEP):
        shown.done(f"  {text}")
    elif progress.total:
        shown.current(text, f"{size(progress.done or 0)} of {size(progress.total)}")
    else:
        shown.current(text)
