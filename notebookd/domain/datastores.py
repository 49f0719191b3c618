# SPDX-License-Identifier: Apache-2.0
"""Datastores: the places that the administrator lets data come from and go to, and who may which of them.

``read`` and ``write`` of a datastore hold ``*`` (everybody), names of users and ``@group``. Whoever may write may read,
and admins may both. A datastore that somebody may not read does not exist for him.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from notebookd.config import Datastore, DirectoryDatastore, RcloneDatastore
from notebookd.domain.actor import Actor
from notebookd.domain.volumes import Permission, StoreSource, Volume

__all__ = [
    "DataRules",
    "Datastore",
    "DirectoryDatastore",
    "RcloneDatastore",
    "may_read",
    "may_write",
    "rights_faults",
    "store_right",
]


def may_read(store: Datastore, user: str, groups: Collection[str]) -> bool:
    """Whether ``user``, who is in ``groups``, may read what is in ``store``."""
    return _named(store.read, user, groups) or may_write(store, user, groups)


def may_write(store: Datastore, user: str, groups: Collection[str]) -> bool:
    """Whether ``user``, who is in ``groups``, may change what is in ``store``."""
    return _named(store.write, user, groups)


def _named(people: Sequence[str], user: str, groups: Collection[str]) -> bool:
    return any(each in ("*", user) or (each.startswith("@") and each[1:] in groups) for each in people)


def store_right(store: Datastore, actor: Actor) -> Permission | None:
    """The most that ``actor`` may with ``store``: RWD, RO, or None, which is nothing."""
    if actor.admin or may_write(store, actor.name, actor.groups):
        return Permission.RWD
    return Permission.RO if may_read(store, actor.name, actor.groups) else None


def rights_faults(
    volumes: Sequence[Volume], stores: Mapping[str, Datastore], actor: Actor
) -> Iterator[tuple[int, str, str]]:
    """Which volumes are of a datastore that is not there for ``actor``, or that he may not write to: index, field,
    sentence. ``stores`` is by alias."""
    for index, volume in enumerate(volumes):
        if not isinstance(volume.source, StoreSource):
            continue
        alias = volume.source.alias
        right = store_right(stores[alias], actor) if alias in stores else None
        if right is None:
            known = sorted(name for name, store in stores.items() if store_right(store, actor) is not None)
            yield index, "dataStore.alias", f"there is no datastore {alias}; there are: {', '.join(known) or 'none'}"
        elif volume.permission.writable and not right.writable:
            yield index, "permission", f"the datastore {alias} may be read and not written: RO"


@dataclass(frozen=True, slots=True, kw_only=True)
class DataRules:
    """What the machine's administrator lets volumes be: datastores by alias, and the schemes of Git URLs."""

    stores: Mapping[str, Datastore] = field(default_factory=dict)
    git_schemes: tuple[str, ...] = ("https",)

    @property
    def directories(self) -> Mapping[str, bool]:
        """Which datastores are folders of the host."""
        return {alias: isinstance(store, DirectoryDatastore) for alias, store in self.stores.items()}
