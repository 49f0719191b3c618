# SPDX-License-Identifier: Apache-2.0
"""The directory port: the machine's accounts and groups, wherever they are kept (files, LDAP, sssd).

A directory service may be slow or away. An answer that was had before is given again meanwhile; what was never known is
waited for, and then refused with :class:`~notebookd.errors.DirectoryUnavailable`. No call ever holds the event loop up.

Implementation: :mod:`notebookd.adapters.directory`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """An account with the names of its groups. Names are text that can be shown and kept: a byte that is not UTF-8, or
    that would steer a terminal, reads ``\\xNN``."""

    name: str
    uid: int
    groups: frozenset[str] = frozenset()


class Directory(Protocol):
    """Accounts and groups. Each method may raise DirectoryUnavailable."""

    async def peer(self, uid: int, gids: Collection[int] | None) -> Person:
        """Who a process is that the kernel says this of; without ``gids`` the groups are those that are on file. A uid
        without an account is named by its number. Root is known whatever happens."""
        ...

    async def person(self, name: str) -> Person | None:
        """The account of that name, with the groups that are on file; None when there is none."""
        ...

    async def has_group(self, name: str) -> bool:
        """Whether there is a group of that name."""
        ...
