# SPDX-License-Identifier: Apache-2.0
"""The machine's figures for Prometheus, and how long the API takes to answer."""

from __future__ import annotations

from aiohttp import web
from aiohttp.typedefs import Handler

from notebookd.api.call import Call
from notebookd.api.turns import TURNS
from notebookd.ports.clock import Clock
from notebookd.ports.telemetry import CONTENT_TYPES, Telemetry

_NO_ROUTE = "none"
_BEGUN = web.RequestKey("begun", float)


async def expose(call: Call) -> web.Response:
    """GET /metrics."""
    openmetrics = "application/openmetrics-text" in call.request.headers.get("Accept", "")
    async with call.request.app[TURNS].of(call.actor.name):
        families = await call.services.readings.now(
            lambda notebook: call.actor.may_see(notebook.owner, notebook.spec.labels)
        )
        body = call.services.telemetry.expose(families, openmetrics=openmetrics)
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPES[openmetrics]})


class Stopwatch:
    """Counts how long each answer takes to begin: a stream's end says nothing about the API."""

    def __init__(self, telemetry: Telemetry, clock: Clock) -> None:
        self._telemetry = telemetry
        self._clock = clock

    @web.middleware
    async def begin(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Middleware, the outermost: note when a request is there."""
        request[_BEGUN] = self._clock.awake()
        return await handler(request)

    async def stop(self, request: web.Request, response: web.StreamResponse) -> None:
        """Signal: an answer begins. What no route of ours matched is one route, whatever it was asked for."""
        resource = request.match_info.route.resource
        route, method = (
            (resource.canonical.rstrip("/"), request.method) if resource is not None else (_NO_ROUTE, _NO_ROUTE)
        )
        begun = request.get(_BEGUN)
        if begun is not None:
            self._telemetry.answered(method, route, response.status, self._clock.awake() - begun)
