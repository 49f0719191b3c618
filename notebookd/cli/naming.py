# SPDX-License-Identifier: Apache-2.0
"""Which thing a word means: its id, a name, ``OWNER/NAME``, or a unique prefix of an id."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from notebookd import wire
from notebookd.cli.here import Declined, Here
from notebookd.cli.output import clean
from notebookd.client import Refused

__all__ = ["named_id", "notebook_and_path", "notebook_id", "only"]

Named = TypeVar("Named", wire.Notebook, wire.Token)

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def notebook_id(here: Here, word: str) -> str:
    """The id of the notebook that a word means."""
    return named_id(here, "notebook", word, here.client.each_notebook, hint="notebookctl list shows yours")


def notebook_and_path(word: str) -> tuple[str, str] | None:
    """The two halves of ``NOTEBOOK:PATH``, also of ``OWNER/NAME:PATH``; None for what can only be a file here."""
    notebook, colon, path = word.partition(":")
    owner, slash, name = notebook.rpartition("/")
    if not colon or not name or (slash and not owner) or "/" in owner or owner in {".", "..", "~"}:
        return None
    return notebook, path


def named_id(here: Here, kind: str, word: str, visible: Callable[[], Iterable[Named]], *, hint: str) -> str:
    """The id that a word means among what the caller can see, which is asked for only if the word is no whole id.

    One's own name goes before the same name of others, and a name before a prefix. An ambiguous word is a usage error.
    """
    if _ID.fullmatch(word.lower()):
        return word.lower()
    every = list(visible())
    owner, _, name = word.rpartition("/")
    named = _standing([each for each in every if each.spec.name == name and owner in {"", each.user}])
    if not owner and len({each.user for each in named}) > 1:
        me = here.client.me().value.name
        named = [each for each in named if each.user == me] or named
    prefixed = [each for each in every if word and each.id.startswith(word.lower())]
    several = len({each.user for each in named}) > 1
    matches = [
        [(each.id, f"{each.user}/{name}" if several else f"{each.id} ({each.spec.name})") for each in named],
        [(each.id, f"{each.id} ({each.spec.name})") for each in prefixed],
    ]
    return only(kind, word, matches, missing="neither an id, nor the start of one, nor a name of yours", hint=hint)


def _standing(named: list[Named]) -> list[Named]:
    """Without those that are being deleted, which have given their names up, unless there is no other."""
    staying = [each for each in named if not (isinstance(each, wire.Notebook) and each.status.state == "DELETING")]
    return staying or named


def only(kind: str, word: str, matches: Iterable[Sequence[tuple[str, str]]], *, missing: str, hint: str) -> str:
    """The one match, an id and what people know it by, of the first matches that there are. Several are a usage
    error, none is not found: ``missing`` says what the word would have to be."""
    for found in matches:
        if len(found) == 1:
            return found[0][0]
        if found:
            shown = ", ".join(name for _, name in found)
            raise Declined(clean(f"{word!r} means more than one {kind}: {shown}"))
    message = f"cannot find {kind} {word!r}: it is {missing}"
    raise Refused(status=404, code="not-found", message=message, hint=hint)
