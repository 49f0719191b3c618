# SPDX-License-Identifier: Apache-2.0
"""Names of notebooks: each is its owner's once, among those that are not being deleted. Asked inside the transaction
that gives the name."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

from notebookd.domain.actor import Actor
from notebookd.domain.spec import LONGEST_NAME
from notebookd.errors import Conflict
from notebookd.ports.store import Reader


def require_name(store: Reader, actor: Actor, name: str, what: str, *, owner: str | None = None) -> None:
    """Raise Conflict when the owner (the actor, where nobody else is) has a notebook of that name. Which one it is, is
    told to who may see it."""
    owner = actor.name if owner is None else owner
    namesake = store.find_named(owner, name)
    if namesake is None:
        return
    entry = store.find_entry(namesake)
    seen = entry is not None and actor.may_see(entry.notebook.owner, entry.notebook.spec.labels)
    raise Conflict(
        f"cannot {what}: {owner} has a notebook named {name}",
        hint="choose another name" + f", or use that one: `notebookctl start {name}`" * seen,
        details={"notebook": namesake} if seen else None,
    )


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
