# SPDX-License-Identifier: Apache-2.0
"""Routes that describe the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from aiohttp import web

from notebookd import wire
from notebookd.api.call import Call, encoded
from notebookd.api.openapi import document
from notebookd.api.route import Route


class Served:
    """What is served; described when somebody asks for the first time."""

    def __init__(self, routes: Sequence[Route], version: str) -> None:
        self._routes = routes
        self._version = version

    @cached_property
    def index(self) -> bytes:
        """The routes beyond the OVHcloud AI API."""
        extensions = sorted(f"{route.method} {route.path}" for route in self._routes if route.ours)
        return wire.encode(wire.Index(version=self._version, extensions=extensions, openapi="/v1/openapi.json"))

    @cached_property
    def openapi(self) -> bytes:
        """All of it, as OpenAPI."""
        return wire.encode(document(self._routes, self._version))


SERVED: Final = web.AppKey("served", Served)


async def index(call: Call) -> web.Response:
    """GET /v1: what is served beyond the OVHcloud AI API."""
    return encoded(call.request.app[SERVED].index)


async def openapi(call: Call) -> web.Response:
    """GET /v1/openapi.json. To make it takes a tenth of a second, the first time."""
    served = call.request.app[SERVED]
    return encoded(await asyncio.to_thread(lambda: served.openapi))
