# SPDX-License-Identifier: Apache-2.0
"""Which notebook a word means: its id, the name of one's own, or a unique prefix of an id."""

from __future__ import annotations

import re

import click

from notebookd import wire
from notebookd.cli.here import Here
from notebookd.client import Refused

__all__ = ["every_notebook", "notebook_id"]

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def notebook_id(here: Here, word: str) -> str:
    """The id that a word means. One's own name goes before a prefix; an ambiguous word is a usage error."""
    if _ID.fullmatch(word.lower()):
        return word.lower()
    visible = every_notebook(here)
    named = [each for each in visible if each.spec.name == word]
    if named and len({each.user for each in visible}) > 1:
        me = here.client.me().value.name
        named = [each for each in named if each.user == me]
    prefixed = [each for each in visible if word and each.id.startswith(word.lower())]
    for found in (named, prefixed):
        if len(found) == 1:
            return found[0].id
        if found:
            matches = ", ".join(f"{each.id} ({each.spec.name})" for each in found)
            raise click.UsageError(f"{word!r} means more than one notebook: {matches}")
    raise Refused(
        status=404,
        code="not-found",
        message=f"cannot find notebook {word!r}: it is neither an id, nor the start of one, nor a name of yours",
        hint="notebookctl list shows yours",
    )


def every_notebook(here: Here) -> list[wire.Notebook]:
    """All notebooks that the caller can see, over all pages."""
    found: list[wire.Notebook] = []
    page = 1
    while True:
        answer = here.client.list_notebooks(page=page).value
        found += answer.items
        if page >= answer.metadata.page_count:
            return found
        page += 1
