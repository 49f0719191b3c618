# SPDX-License-Identifier: Apache-2.0
"""Names of notebooks: each is its owner's once, among those that are not being deleted. Asked inside the transaction
that gives the name."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

from notebookd.domain.actor import Actor
from notebookd.domain.ids import NotebookId
from notebookd.domain.spec import LONGEST_NAME
from notebookd.ports.store import Reader


def namesake(store: Reader, actor: Actor, owner: str, name: str) -> tuple[NotebookId, bool] | None:
    """The owner's notebook of that name, and whether the actor may see it; None when there is none."""
    notebook_id = store.find_named(owner, name)
    if notebook_id is None:
        return None
    entry = store.find_entry(notebook_id)
    return notebook_id, entry is not None and actor.may_see(entry.notebook.owner, entry.notebook.spec.labels)


def free_name(store: Reader, owner: str, name: str, *, beside: Collection[str] = ()) -> str:
    """``name``, or if the owner has a notebook of it, the same with the first number from 2 on that makes it free, and
    none of those ``beside``."""
    endings = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    names = (name[: LONGEST_NAME - len(ending)] + ending for ending in endings)
    return next(each for each in names if each not in beside and store.find_named(owner, each) is None)


def names_of_given(store: Reader, new: str, given: Sequence[str]) -> list[str]:
    """What notebooks of these names are called when they are ``new``'s: as they were, unless ``new`` has that name."""
    named: list[str] = []
    for name in given:
        clashes = store.find_named(new, name) is not None
        named.append(free_name(store, new, name, beside=[*given, *named]) if clashes else name)
    return named
