# SPDX-License-Identifier: Apache-2.0
"""``notebookctl list``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import click
import msgspec

from notebookd import wire
from notebookd.cli import notebooks, words
from notebookd.cli.here import Here, Verb, completes, completes_among, look, output_option, pass_here, watch_option
from notebookd.cli.output import emit, narrowed
from notebookd.client import Client, Reply
from notebookd.wire.base import STATES

SORTS = {
    "age": ("createdAt", "desc"),
    "name": ("spec.name", "asc"),
    "state": ("status.state", "asc"),
    "updated": ("updatedAt", "desc"),
}
"""What the daemon sorts by, and how: the newest first."""

_MOST = 1000
_NONE_YET = (
    "you have no notebook: `notebookctl run conda jupyterlab` starts one, `notebookctl capabilities` shows others"
)
_NONE_LIKE_THAT = "no notebook is like that: `notebookctl list` without options shows all of yours"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """Which notebooks are asked for, in which order and how many."""

    states: list[str]
    user: str | None
    labels: Mapping[str, str]
    sort: str | None
    limit: int | None
    narrow: bool


@click.command("list", cls=Verb)
@click.option(
    "--states", metavar="A,B", shell_complete=completes_among(STATES), help="Only those in one of these states."
)
@click.option("--all", "everybody", is_flag=True, help="Every owner's (admins).")
@click.option("--owner", metavar="NAME", shell_complete=completes("owners"), help="Only this owner's (admins).")
@click.option("-l", "--label", "label", multiple=True, metavar="K=V", help="Only those with this label.")
@click.option("--sort", type=click.Choice(list(SORTS)), help="In this order; the newest first by age and updated.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.")
@click.option(
    "--columns",
    metavar="A,B",
    shell_complete=completes_among(notebooks.EVERY_COLUMN),
    help=f"These columns, of {', '.join(notebooks.EVERY_COLUMN)}.",
)
@click.option("-q", "--quiet", is_flag=True, help="Only the ids, one a line.")
@watch_option
@output_option
@pass_here
def verb(
    here: Here,
    *,
    states: str | None,
    everybody: bool,
    owner: str | None,
    label: tuple[str, ...],
    sort: str | None,
    limit: int | None,
    columns: str | None,
    quiet: bool,
    watch: bool,
    output: str,
) -> None:
    """List notebooks.

    On a terminal ids are short, long names are cut, and what does not fit is left out, URL first; get shows all of one.
    Elsewhere every line is whole. In csv an age is in seconds, and a deadline is the time.
    """
    if quiet and (columns or output != "table"):
        raise click.UsageError("--quiet writes ids alone: it goes with neither --columns nor --output")
    wish = _Wish(
        states=[state.strip().upper() for state in (states or "").split(",") if state.strip()],
        user=owner or _own(here, everybody=everybody),
        labels=dict(words.pairs(label, "--label")),
        sort=sort,
        limit=limit,
        narrow=bool(states or owner or label),
    )
    shown = _columns(columns) or _usual(everybody=everybody)

    def show(reply: Reply[wire.NotebookList]) -> None:
        if quiet:
            click.echo("".join(f"{each.id}\n" for each in reply.value.items), nl=False)
            return
        _show(here, reply, shown, output, spare=() if columns else notebooks.SPARE)
        if output == "table" and not watch:
            _remark(here, reply.value, wish)

    look(here, lambda: _all_pages(here.client, wish), show, watch=watch)


def _show(
    here: Here, reply: Reply[wire.NotebookList], columns: tuple[str, ...], output: str, *, spare: tuple[str, ...]
) -> None:
    width = here.terminal.width() if output == "table" else None
    table = notebooks.table(
        reply.value.items, here.terminal.now(), columns=columns, short=width is not None, exact=output == "csv"
    )
    emit(output, reply.body, table, narrowed(table, width, spare, notebooks.ELASTIC if spare else ()))


def _own(here: Here, *, everybody: bool) -> str | None:
    """Whose: only an admin is shown other people's, and has to be asked to."""
    if everybody:
        return None
    me = here.client.me().value
    return me.name if me.role == "administrator" else None


def _usual(*, everybody: bool) -> tuple[str, ...]:
    """Whose a notebook is stands behind its id, where there are several owners."""
    return notebooks.EVERY_COLUMN[:2] + notebooks.COLUMNS[1:] if everybody else notebooks.COLUMNS


def _columns(text: str | None) -> tuple[str, ...]:
    names = tuple(name.strip().upper() for name in (text or "").split(",") if name.strip())
    for name in names:
        if name not in notebooks.EVERY_COLUMN:
            known = ", ".join(notebooks.EVERY_COLUMN)
            raise click.BadParameter(f"there is no column {name}; there are {known}", param_hint="--columns")
    return names


def _remark(here: Here, found: wire.NotebookList, wish: _Wish) -> None:
    """What the table does not say: that it is empty, and what to do; or that it is not all."""
    if not found.items:
        here.terminal.note(f"note: {_NONE_LIKE_THAT if wish.narrow else _NONE_YET}")
    elif len(found.items) < found.metadata.total:
        here.terminal.note(f"note: these are {len(found.items)} of {found.metadata.total}")


def _page(client: Client, wish: _Wish, page: int) -> Reply[wire.NotebookList]:
    sort, order = SORTS[wish.sort] if wish.sort else (None, None)
    size = min(wish.limit or _MOST, _MOST)
    return client.list_notebooks(
        page=page, size=size, states=wish.states, user=wish.user, labels=wish.labels, sort=sort, order=order
    )


def _all_pages(client: Client, wish: _Wish) -> Reply[wire.NotebookList]:
    """The list. It is the daemon's answer as it came, unless there are more than one page holds."""
    reply = _page(client, wish, 1)
    pages = reply.value.metadata.page_count
    if pages <= 1 or (wish.limit is not None and wish.limit <= _MOST):
        return reply
    whole = msgspec.json.decode(reply.body)
    for page in range(2, pages + 1):
        whole["items"] += msgspec.json.decode(_page(client, wish, page).body)["items"]
    whole["items"] = whole["items"][: wish.limit]
    whole["metadata"] |= {"pageCount": 1, "links": {}}
    return Reply(wire.encode(whole), wire.NotebookList)
