# SPDX-License-Identifier: Apache-2.0
"""``notebookctl token``."""

from __future__ import annotations

from datetime import datetime

import click

from notebookd import wire
from notebookd.cli.here import Here, Verb, completes, output_option, pass_here
from notebookd.cli.naming import named_id
from notebookd.cli.output import Table, age, clean, emit
from notebookd.client import Reply

__all__ = ["verb"]

ROLES = {"operator": "ai_training_operator", "read": "ai_training_read"}
COLUMNS = ("ID", "NAME", "ROLE", "LABEL", "VERSION", "USER", "CREATED")


@click.command("token", cls=Verb)
@click.argument("action", type=click.Choice(["list", "create", "renew", "delete"]), default="list")
@click.argument("token", required=False, shell_complete=completes("tokens"))
@click.option("--role", type=click.Choice(list(ROLES)), help="What a new token may do.  [default: read]")
@click.option("--label-selector", metavar="K=V", help="Notebooks with this label alone exist for a new token.")
@output_option
@pass_here
def verb(
    here: Here, *, action: str, token: str | None, role: str | None, label_selector: str | None, output: str
) -> None:
    """Make and end app tokens, by which programs act for you.

    \b
    list          your tokens; an admin's list has everybody's
    create NAME   a new one: its value is printed, and cannot be had again
    renew TOKEN   another value; the one before is worth nothing from now on
    delete TOKEN  the end of it

    A TOKEN is named by its id, a unique start of that, or your own unique name for it. Nobody is an admin by a token.
    """
    if (action == "list") != (token is None):
        raise click.UsageError(f"{action} takes {'no token' if action == 'list' else 'a name'}")
    if action != "create" and (role or label_selector is not None):
        raise click.UsageError("--role and --label-selector go with create")
    match action, token:
        case "create", str():
            _show_value(here, here.client.create_token(_wish(token, role or "read", label_selector)), output)
        case "renew", str():
            _show_value(here, here.client.renew_token(_token_id(here, token)), output)
        case "delete", str():
            here.client.delete_token(_token_id(here, token))
        case _:
            _show_list(here, output)


def _wish(name: str, role: str, selector: str | None) -> wire.NewToken:
    return wire.NewToken(name=name, role=ROLES[role], label_selector=wire.UNSET if selector is None else selector)


def _show_value(here: Here, reply: Reply[wire.Token], output: str) -> None:
    """The value alone for people and their shells; for programs the token with its value."""
    token = reply.value
    value = token.status.value or ""
    here.terminal.note(f"token {clean(token.spec.name)}: keep its value, it is not shown again")
    emit(output, reply.body, Table(("ID", "NAME", "VERSION", "VALUE"), [(*_short(token), value)]), clean(value))


def _short(token: wire.Token) -> tuple[str, str, str]:
    return (token.id, token.spec.name, str(token.status.version))


def _show_list(here: Here, output: str) -> None:
    reply = here.client.list_tokens()
    now = None if output == "csv" else here.terminal.now()
    tokens = reply.value.items if output in {"json", "yaml"} else _every_token(here, reply.value)
    emit(output, reply.body, Table(COLUMNS, [_row(each, now) for each in tokens]))


def _row(token: wire.Token, now: datetime | None) -> tuple[str, ...]:
    names = {value: name for name, value in ROLES.items()}
    return (
        token.id,
        token.spec.name,
        names.get(token.spec.role, token.spec.role),
        token.spec.label_selector or "",
        str(token.status.version),
        token.user,
        age(token.created_at, now) if now else token.created_at,
    )


def _every_token(here: Here, first: wire.TokenList) -> list[wire.Token]:
    """All tokens that the caller can see, over all pages."""
    found = list(first.items)
    for page in range(2, first.metadata.page_count + 1):
        found += here.client.list_tokens(page=page).value.items
    return found


def _token_id(here: Here, word: str) -> str:
    return named_id(
        here,
        "token",
        word,
        lambda: _every_token(here, here.client.list_tokens().value),
        hint="notebookctl token list shows yours",
    )
