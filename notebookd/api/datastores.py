# SPDX-License-Identifier: Apache-2.0
"""Routes of datastores."""

from __future__ import annotations

from aiohttp import web

from notebookd import wire
from notebookd.api import data_shapes
from notebookd.api.call import Call, answer


async def list_all(call: Call) -> web.Response:
    """GET /v1/datastore."""
    stores = call.services.datastores.list_readable(call.actor)
    return answer(wire.DatastoreList(items=[data_shapes.datastore(store, right) for store, right in stores]))


async def list_objects(call: Call) -> web.Response:
    """GET /v1/datastore/{alias}/object."""
    below = call.request.query.get("prefix", "").strip("/")
    found = await call.services.datastores.list_objects(call.actor, call.request.match_info["alias"], below)
    return answer(wire.ObjectList(items=[data_shapes.stored_object(each, below) for each in found]))
