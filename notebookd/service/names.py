# SPDX-License-Identifier: Apache-2.0
"""Names of notebooks: each is its owner's once, among those that are not being deleted. Asked inside the transaction
that gives the name."""

from __future__ import annotations

import itertools

from notebookd.domain.spec import LONGEST_NAME
from notebookd.errors import Conflict
from notebookd.ports.store import Reader


def require_name(store: Reader, owner: str, name: str, what: str) -> None:
    """Raise Conflict when the owner has a notebook of that name."""
    namesake = store.find_named(owner, name)
    if namesake is not None:
        raise Conflict(
            f"cannot {what}: {owner} has a notebook named {name}",
            hint=f"choose another name, or use that one: `notebookctl start {name}`",
            details={"notebook": namesake},
        )


def free_name(store: Reader, owner: str, name: str) -> str:
    """``name``, or if the owner has a notebook of it, the same with the first number from 2 on that makes it free."""
    endings = itertools.chain([""], (f"-{number}" for number in itertools.count(2)))
    names = (name[: LONGEST_NAME - len(ending)] + ending for ending in endings)
    return next(each for each in names if store.find_named(owner, each) is None)
