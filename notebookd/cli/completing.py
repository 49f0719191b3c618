# SPDX-License-Identifier: Apache-2.0
"""What a TAB offers: names, and whatever else the daemon knows. A daemon that does not answer offers nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from notebookd.cli import remembered

if TYPE_CHECKING:
    from notebookd.client import Client

__all__ = [
    "among",
    "capabilities",
    "datastores",
    "editors",
    "flavors",
    "framework_versions",
    "frameworks",
    "gpus",
    "images",
    "notebook_paths",
    "notebook_paths_and_files",
    "notebooks",
    "owners",
    "snapshots",
    "tokens",
    "usage_keys",
    "volumes",
]

Question = Callable[["Client"], Iterable[Sequence[str]]]
"""Rows of words: what is offered, and what more is to say of it."""

_QUICK_S, _SLOW_S = 10.0, 300.0
"""How long notebooks and their like are kept, and how long what only an admin changes is."""
_PATIENCE_S = 2.0


def among(words: Iterable[str], incomplete: str) -> list[CompletionItem]:
    """These words, also the last of several that commas part."""
    before, comma, last = incomplete.rpartition(",")
    taken = before.split(",")
    return [
        CompletionItem(f"{before}{comma}{word}")
        for word in words
        if word.lower().startswith(last.lower()) and word not in taken
    ]


def notebooks(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Names, those of others with their owner where that is needed; ids once the beginning of one is there."""
    rows = _notebooks(ctx)
    bearers = Counter(name for name, *_ in rows)
    named = [[name if bearers[name] == 1 else f"{owner}/{name}", state] for name, state, _, owner, *_ in rows]
    found = _begun(named, incomplete)
    return found or (_begun([[row[2], row[0]] for row in rows], incomplete) if incomplete else [])


def notebook_paths(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Notebooks with the colon before a path."""
    return [CompletionItem(f"{item.value}:", help=item.help) for item in notebooks(ctx, incomplete)]


def notebook_paths_and_files(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The same, and files here."""
    return [*notebook_paths(ctx, incomplete), CompletionItem(incomplete, type="file")]


def volumes(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Where the volumes of the notebook that was named are mounted."""
    return _begun([[path] for path in _named(ctx)[4:]], incomplete)


def snapshots(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Those of the notebook that was named."""
    notebook = "".join(_named(ctx)[2:3])

    def question(client: Client) -> Iterable[Sequence[str]]:
        return ((each.id, each.backup_date) for each in client.list_backups(notebook).value.items)

    return _begun(_known(ctx, f"snapshots-{notebook}", question), incomplete) if notebook else []


def owners(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Those who have notebooks that the caller may see."""
    return _begun([[owner] for owner in dict.fromkeys(row[3] for row in _notebooks(ctx))], incomplete)


def frameworks(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The frameworks."""
    return _begun(_frameworks(ctx), incomplete)


def editors(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The editors, of the framework that was named."""
    framework = str(ctx.params.get("framework") or "")

    def question(client: Client) -> Iterable[Sequence[str]]:
        listed = client.list_editors(compatible_with_framework=framework or None).value
        return ((each.id, each.description) for each in listed)

    name = f"editors-{framework}" if framework.isidentifier() else "editors"
    return _begun(_known(ctx, name, question, _SLOW_S), incomplete)


def framework_versions(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The versions of the framework that was named; it may be named after them."""
    named = ctx.params.get("framework")
    rows = [row for row in _frameworks(ctx) if named in {None, row[0]}]
    return _begun([[version, row[0]] for row in rows for version in row[2:]], incomplete)


def flavors(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The flavors."""

    def question(client: Client) -> Iterable[Sequence[str]]:
        return ((each.id, each.description) for each in client.list_flavors().value)

    return _begun(_known(ctx, "flavors", question, _SLOW_S), incomplete)


def capabilities(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The ids of what was named: flavors, frameworks or editors."""
    of_kind = {"flavor": flavors, "framework": frameworks, "editor": editors}.get(str(ctx.params.get("kind")))
    return of_kind(ctx, incomplete) if of_kind and ctx.params.get("action") == "get" else []


def datastores(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """The aliases, where one is asked for."""

    def question(client: Client) -> Iterable[Sequence[str]]:
        return ((each.alias, each.permission) for each in client.list_datastores().value.items)

    if ctx.params.get("action") != "objects":
        return []
    return _begun(_known(ctx, "datastores", question, _SLOW_S), incomplete)


def tokens(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Names of tokens, where one that there is is asked for; ids once the beginning of one is there."""

    def question(client: Client) -> Iterable[Sequence[str]]:
        return ((each.spec.name, each.id) for each in client.list_tokens().value.items)

    if ctx.params.get("action") not in {"renew", "delete"}:
        return []
    rows = _known(ctx, "tokens", question)
    found = _begun([row[:1] for row in rows], incomplete)
    return found or (_begun([[row[1], row[0]] for row in rows], incomplete) if incomplete else [])


def usage_keys(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """What usage is grouped by, also the last of several that commas part; labels are those of notebooks that the
    caller may see, but for the platform's."""
    from notebookd.cli.consumed import KEYS
    from notebookd.wire.usage import LABEL

    def question(client: Client) -> Iterable[Sequence[str]]:
        found = {name for each in client.list_notebooks().value.items for name in each.spec.labels or {}}
        return ([name] for name in sorted(found) if not name.startswith(("ovh/", "notebookd/")))

    last = incomplete.rpartition(",")[2]
    asked = last.startswith(LABEL) or LABEL.startswith(last)
    labels = [f"{LABEL}{row[0]}" for row in _known(ctx, "labels", question)] if asked else []
    return among([*KEYS, *labels], incomplete)


def gpus(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Indices and ``all``, and UUIDs once the beginning of one is there; none twice."""

    def question(client: Client) -> Iterable[Sequence[str]]:
        return ((str(each.index), each.state, each.uuid) for each in client.list_gpus().value.items)

    if ctx.params.get("action") not in {"drain", "undrain", "clear"}:
        return []
    rows = _known(ctx, "gpus", question)
    taken = ctx.params.get("gpus") or ()
    found = _begun([[*row[:2]] for row in [*rows, ["all"]] if row[0] not in taken], incomplete)
    return found or _begun([[row[2], row[1]] for row in rows], incomplete)


def images(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Names of images, or of recipes."""

    def question(client: Client) -> Iterable[Sequence[str]]:
        found = client.list_images().value
        yield from ((each.name, "recipe") for each in found.recipes)
        yield from ((each.name, "present" if each.present else "absent") for each in found.items if each.name)

    action = str(ctx.params.get("action"))
    wanted = {"build": {"recipe"}, "pull": {"absent"}, "prepare": {"present"}, "remove": {"present"}}.get(action, set())
    return _begun([row for row in _known(ctx, "images", question) if row[1] in wanted], incomplete) if wanted else []


def _known(ctx: click.Context, name: str, question: Question, keep_s: float = _QUICK_S) -> remembered.Known:
    """What the daemon answers to the question of that ``name``, or did a moment ago. No command has begun yet, so the
    client is made here, and is loaded only now."""
    address = str(ctx.find_root().params.get("socket") or "")
    file = remembered.file_of(name, address)
    if (rows := remembered.kept(file, keep_s)) is not None:
        return rows
    from notebookd.client import Client, ClientError

    try:
        rows = [[str(word) for word in row] for row in question(Client(address or None, timeout_s=_PATIENCE_S))]
    except ClientError:
        return []
    remembered.keep(file, rows)
    return rows


def _notebooks(ctx: click.Context) -> remembered.Known:
    """Rows of name, state, id, owner, and mount paths."""

    def question(client: Client) -> Iterable[Sequence[str]]:
        for each in client.list_notebooks().value.items:
            paths = [volume.mount_path for volume in each.spec.volumes or []]
            yield (each.spec.name, each.status.state, each.id, each.user, *paths)

    return _known(ctx, "notebooks", question)


def _named(ctx: click.Context) -> list[str]:
    """The row of the notebook that was named; empty where there is none."""
    word = str(ctx.params.get("notebook"))
    rows = _notebooks(ctx)
    named = [row for row in rows if word in {row[0], f"{row[3]}/{row[0]}"}]
    return next(iter(named or [row for row in rows if row[2].startswith(word)]), [])


def _frameworks(ctx: click.Context) -> remembered.Known:
    """Rows of id, description and versions."""

    def question(client: Client) -> Iterable[Sequence[str]]:
        return ((each.id, each.description, *each.versions) for each in client.list_frameworks().value)

    return _known(ctx, "frameworks", question, _SLOW_S)


def _begun(rows: Iterable[Sequence[str]], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(row[0], help=row[1] if row[1:] else None) for row in rows if row[0].startswith(incomplete)]
