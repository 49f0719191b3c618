# SPDX-License-Identifier: Apache-2.0
"""Which branch of a Git repository is taken: the default one, or where that is missing the only one there is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from notebookd.mover.gitrun import Git
from notebookd.mover.report import Code, Fault, named

NOTHING = "0" * 40
"""Stands for the commit of an empty repository, as git has it."""

MOST_NAMED = 10


def find_tip(git: Git) -> tuple[str, str]:
    """The ref that is the remote's default branch, and its commit, which is NOTHING where there is none at all."""
    branch, tip = "HEAD", ""
    for value, name in _remote_refs(git, "--symref", "HEAD"):
        if name == "HEAD" and value.startswith("ref: refs/heads/"):
            branch = value.removeprefix("ref: ")
        elif name == "HEAD" and re.fullmatch(r"[0-9a-f]{40,64}", value):
            tip = value
    return (branch, tip) if tip else _only_branch(git)


def _only_branch(git: Git) -> tuple[str, str]:
    """The branch to take where the default one is not there. Raises Fault when that cannot be told."""
    refs = {name: value for value, name in _remote_refs(git) if not name.endswith("^{}")}
    branches = {name: value for name, value in refs.items() if name.startswith("refs/heads/")}
    if not refs:
        return "HEAD", NOTHING
    if len(branches) == 1:
        return branches.popitem()
    there = [name.removeprefix("refs/heads/") for name in sorted(branches or refs)]
    raise Fault(
        Code.INVALID_SOURCE,
        f"cannot clone the repository: it has no default branch; there are {named(there, MOST_NAMED)}; whoever may "
        "write there can make one of them the default",
    )


def _remote_refs(git: Git, *words: str) -> Iterator[tuple[str, str]]:
    """What the remote says of its refs: value, name."""
    options = [word for word in words if word.startswith("--")]
    patterns = [word for word in words if not word.startswith("--")]
    for line in os.fsdecode(git.run("ls-remote", *options, "--", git.url(), *patterns).output).splitlines():
        value, _, name = line.partition("\t")
        yield value, name
