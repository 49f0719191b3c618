# SPDX-License-Identifier: Apache-2.0
"""Volumes as they come: as objects, in the shape of the OVHcloud AI API, or as people write them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from notebookd import wire
from notebookd.domain.spec import Fault
from notebookd.domain.volumes import (
    MAX_VOLUMES,
    PERMISSIONS,
    GitSource,
    Permission,
    ScratchSource,
    Source,
    StoreSource,
    Volume,
    parse_volume,
)

__all__ = ["read_volumes"]

Wish = wire.Volume | str | wire.UnsetType

_SERVED = ("data_store", "public_git", "standalone")
_ELSEWHERE = ("private_swift", "public_swift", "target_data_store", "target_private_swift")
_NAMES = {
    "data_store": "dataStore",
    "public_git": "publicGit",
    "standalone": "standalone",
    "private_swift": "privateSwift",
    "public_swift": "publicSwift",
    "target_data_store": "targetDataStore",
    "target_private_swift": "targetPrivateSwift",
}


def read_volumes(wishes: Sequence[Wish] | None, faults: list[Fault]) -> tuple[Volume, ...] | None:
    """The volumes that are wished for; what cannot be read of them is added to ``faults``. Each keeps its place, so
    that what is found wrong with it later has the right path. Of too many no more are read than show that."""
    if wishes is None:
        return None
    return tuple(_read(wish, index, faults) for index, wish in enumerate(wishes[: MAX_VOLUMES + 1]))


def _read(wish: Wish, index: int, faults: list[Fault]) -> Volume:
    path = f"$.volumes[{index}]"
    if isinstance(wish, str):
        try:
            return parse_volume(wish)
        except ValueError as fault:
            faults.append(Fault(path, str(fault)))
            return _stand_in(index)
    if isinstance(wish, wire.UnsetType):
        return _stand_in(index)
    found = list(_faults(wish, path))
    faults += found
    source, permission = _source(wish), _permission(wish)
    mount_path = wish.mount_path if isinstance(wish.mount_path, str) else _stand_in(index).mount_path
    if found or source is None or permission is None:
        return _stand_in(index, mount_path)
    return Volume.of(source, mount_path, permission, cache=wish.cache is True)


def _stand_in(index: int, mount_path: str = "") -> Volume:
    """In the place of a volume whose faults are reported already: it has none of its own."""
    return Volume.of(ScratchSource(), mount_path or f"/unread/{index}")


def _faults(wish: wire.Volume, path: str) -> Iterator[Fault]:
    for name in _ELSEWHERE:
        if getattr(wish, name) is not wire.UNSET:
            yield Fault(f"{path}.{_NAMES[name]}", "there is no such source here: use dataStore, with an alias")
    given = [name for name in _SERVED if getattr(wish, name) is not wire.UNSET]
    if len(given) > 1 or (not given and not any(getattr(wish, name) is not wire.UNSET for name in _ELSEWHERE)):
        yield Fault(path, "must have exactly one source: dataStore, publicGit or standalone")
    if isinstance(wish.permission, str) and _permission(wish) is None:
        yield Fault(f"{path}.permission", "must be r, ro, rw or rwd")
    if isinstance(store := wish.data_store, wire.DataStoreSource):
        if store.archive:
            yield Fault(f"{path}.dataStore.archive", "nothing is packed into archives here: leave it out")
        if store.internal is True:
            yield Fault(f"{path}.dataStore.internal", "there is no internal storage here: leave it out")


def _permission(wish: wire.Volume) -> Permission | None:
    return PERMISSIONS.get(wish.permission.lower()) if isinstance(wish.permission, str) else None


def _source(wish: wire.Volume) -> Source | None:
    """Its source, as far as it could be read."""
    if isinstance(store := wish.data_store, wire.DataStoreSource):
        if not isinstance(store.alias, str) or not isinstance(store.container, str):
            return None
        return StoreSource(alias=store.alias, container=store.container, prefix=store.prefix or "")
    if isinstance(git := wish.public_git, wire.UrlSource):
        return GitSource(git_url=git.url) if isinstance(git.url, str) else None
    return ScratchSource() if isinstance(wish.standalone, wire.StandaloneSource) else None
