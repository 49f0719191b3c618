# SPDX-License-Identifier: Apache-2.0
"""The API: one table of routes, each with the rule of who may call it. Reading the table is the review."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from aiohttp import web

from notebookd.api import backup, config, machine, notebooks, streams, usage
from notebookd.api.call import MAX_BODY, Access, Call, Handler, Services
from notebookd.api.errors import map_errors
from notebookd.api.peers import PeerPolicy, identify, refuse_browsers
from notebookd.domain.actor import Actor
from notebookd.errors import Forbidden


class Route(NamedTuple):
    """A verb, a path, who may, and what answers."""

    method: str
    path: str
    access: Access
    handler: Handler


_MEMBER, _ADMIN = Access.MEMBER, Access.ADMIN

ROUTES: tuple[Route, ...] = (
    Route("GET", "/v1", _MEMBER, machine.extensions),
    Route("GET", "/v1/health", _MEMBER, machine.health),
    Route("GET", "/v1/config", _MEMBER, config.show),
    Route("GET", "/v1/me", _MEMBER, machine.me),
    Route("GET", "/v1/capabilities/flavor", _MEMBER, machine.list_flavors),
    Route("GET", "/v1/capabilities/flavor/{id}", _MEMBER, machine.get_flavor),
    Route("GET", "/v1/capabilities/notebook/editor", _MEMBER, machine.list_editors),
    Route("GET", "/v1/capabilities/notebook/editor/{id}", _MEMBER, machine.get_editor),
    Route("GET", "/v1/capabilities/notebook/framework", _MEMBER, machine.list_frameworks),
    Route("GET", "/v1/capabilities/notebook/framework/{id}", _MEMBER, machine.get_framework),
    Route("GET", "/v1/capabilities/quota", _MEMBER, machine.quota),
    Route("GET", "/v1/gpu", _MEMBER, machine.board),
    Route("PUT", "/v1/gpu/{uuid}/drain", _ADMIN, machine.drain),
    Route("PUT", "/v1/gpu/{uuid}/undrain", _ADMIN, machine.undrain),
    Route("PUT", "/v1/gpu/{uuid}/clear", _ADMIN, machine.clear),
    Route("PUT", "/v1/gpu/release", _ADMIN, machine.release),
    Route("PUT", "/v1/gpu/acquire", _ADMIN, machine.acquire),
    Route("GET", "/v1/queue", _MEMBER, machine.queue),
    Route("GET", "/v1/event", _MEMBER, streams.events),
    Route("POST", "/v1/notebook", _MEMBER, notebooks.create),
    Route("GET", "/v1/notebook", _MEMBER, notebooks.list_all),
    Route("POST", "/v1/notebook/command", _MEMBER, notebooks.command),
    Route("GET", "/v1/notebook/{id}", _MEMBER, notebooks.get),
    Route("PUT", "/v1/notebook/{id}", _MEMBER, notebooks.update),
    Route("DELETE", "/v1/notebook/{id}", _MEMBER, notebooks.delete),
    Route("PUT", "/v1/notebook/{id}/start", _MEMBER, notebooks.start),
    Route("PUT", "/v1/notebook/{id}/stop", _MEMBER, notebooks.stop),
    Route("PUT", "/v1/notebook/{id}/restart", _MEMBER, notebooks.restart),
    Route("PUT", "/v1/notebook/{id}/extend", _MEMBER, notebooks.extend),
    Route("PUT", "/v1/notebook/{id}/label", _MEMBER, notebooks.label),
    Route("GET", "/v1/notebook/{id}/log", _MEMBER, streams.log),
    Route("GET", "/v1/notebook/{id}/exec", _MEMBER, streams.run_in_notebook),
    Route("GET", "/v1/notebook/{id}/access", _MEMBER, notebooks.access),
    Route("GET", "/v1/notebook/{id}/why", _MEMBER, notebooks.why),
    Route("GET", "/v1/notebook/{id}/receipt", _MEMBER, usage.receipt),
    Route("GET", "/v1/usage", _MEMBER, usage.report),
    Route("GET", "/v1/backup", _ADMIN, backup.backup),
)

Identify = Callable[[web.Request], Actor]


def make_app(services: Services, peers: PeerPolicy) -> web.Application:
    """The application that serves the Unix socket."""
    app = web.Application(middlewares=[map_errors], client_max_size=MAX_BODY)
    for route in ROUTES:
        app.router.add_route(route.method, route.path, _guarded(route, services, lambda r: identify(r, peers)))
    return app


def _guarded(route: Route, services: Services, who: Identify) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        refuse_browsers(request)
        actor = who(request)
        if route.access is Access.ADMIN and not actor.admin:
            raise Forbidden(f"cannot {request.method} {request.path}: that is for admins")
        return await route.handler(Call(request=request, actor=actor, services=services))

    return answer
