# SPDX-License-Identifier: Apache-2.0
"""What a caller may know of datastores: which there are for him, and what lies in them."""

from __future__ import annotations

from notebookd.domain.actor import Actor
from notebookd.domain.datastores import Datastore, DirectoryDatastore, store_right
from notebookd.domain.faults import invalid
from notebookd.domain.rules import RulesNow
from notebookd.domain.spec import Fault
from notebookd.domain.volumes import CONTAINER, Permission, StoreSource, store_faults
from notebookd.errors import Conflict, NotFound, VolumeFault
from notebookd.ports.movers import Movers, StoredObject

SOURCE_NOT_FOUND = "DATASYNC_SOURCE_NOT_FOUND"


class Datastores:
    """Reads of datastores."""

    def __init__(self, movers: Movers, rules: RulesNow) -> None:
        self._movers = movers
        self._rules = rules

    def list_readable(self, actor: Actor) -> list[tuple[Datastore, Permission]]:
        """The datastores that exist for the actor, by alias, each with what he may."""
        rights = [(store, store_right(store, actor)) for store in self._rules().datastores]
        return sorted(((store, right) for store, right in rights if right), key=lambda each: each[0].alias)

    async def list_objects(self, actor: Actor, alias: str, prefix: str) -> list[StoredObject]:
        """What lies below ``prefix``, whose first part is the container, one level deep."""
        store = next((store for store, _ in self.list_readable(actor) if store.alias == alias), None)
        if store is None:
            raise NotFound(f"cannot list the objects of datastore {alias!r}: there is none of that name")
        container, _, rest = prefix.strip("/").partition("/")
        if isinstance(store, DirectoryDatastore) and not CONTAINER.fullmatch(container):  # its folders have any name
            container, rest = "", prefix.strip("/")
        source = StoreSource(alias=alias, container=container, prefix=rest)
        if found := [Fault("$query.prefix", message) for _, message in store_faults(source)]:
            raise invalid(f"list the objects of datastore {alias}", found)
        try:
            return await self._movers.list_objects(alias, container, rest)
        except VolumeFault as fault:
            if fault.info_code == SOURCE_NOT_FOUND:
                raise NotFound(fault.message, hint=fault.hint) from fault
            if fault.info_code == "DATASYNC_INVALID_SOURCE":
                raise Conflict(fault.message, hint=fault.hint) from fault
            raise
