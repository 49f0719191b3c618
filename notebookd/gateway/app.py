# SPDX-License-Identifier: Apache-2.0
"""Where a request goes: Host -> route -> decision -> editor, or a page that says why not."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import HttpVersion11, WSCloseCode, hdrs, web
from multidict import CIMultiDict
from yarl import URL

from notebookd.gateway import api, auth, headers, pages
from notebookd.gateway.activity import ActivityBook
from notebookd.gateway.editor import UNREACHABLE, editor_session, editor_url
from notebookd.gateway.forward import forward, strip_defaults
from notebookd.gateway.pages import Page
from notebookd.gateway.patience import Patience, Stalled
from notebookd.gateway.peer import UNKNOWN, Peer
from notebookd.gateway.table import RouteTable
from notebookd.gateway.websocket import forward_websocket
from notebookd.http_log import http_log
from notebookd.nofollow import UnexpectedKind
from notebookd.routes import Route

__all__ = ["HEADER_BYTES", "Gateway", "make_app", "make_runner"]

HEADER_BYTES: Final = 16 * 1024
"""Bound of a request line, and of each header field; for all of them together see :mod:`notebookd.http_doors`."""

_REFUSED_METHODS: Final = frozenset({"CONNECT", "TRACE"})
_FAREWELL_S: Final = 3.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """What the handler works with. ``now`` gives Unix seconds, wall clock; ``api`` is the socket of the API's, where it
    may be passed on."""

    domain: str
    editors: Path
    table: RouteTable
    activity: ActivityBook
    now: Callable[[], float]
    peer_of: Callable[[tuple[str, int], tuple[str, int]], Peer]
    """Whose a connection is, by our end and theirs."""
    api: Path | None = None
    scheme: str = "http"
    """Of the address at which browsers come: https where TLS is in front."""
    patience: Patience = field(default_factory=Patience)
    websockets: set[web.WebSocketResponse] = field(default_factory=set)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request of any kind."""
        try:
            return await self._answer(request)
        except Stalled:
            stalled = _show(pages.bad_request(408, "The rest of the request did not come."))
            stalled.force_close()
            return stalled

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if (fault := _fault(request)) is not None:
            return _show(fault)
        host = request.headers[hdrs.HOST]
        notebook = auth.notebook_of_host(host, self.domain)
        if notebook is None and self.api is not None and api.is_meant(host, request.raw_path, self.domain):
            with ExitStack() as open_:
                opened = partial(self._keep, open_)
                return await api.pass_on(
                    request,
                    self.api,
                    websocket=_is_websocket(request),
                    opened=opened,
                    body_patience_s=self.patience.body_s,
                )
        if notebook is None:
            return _show(pages.unknown(status=421, domain=f"{self.domain}{_port_of(host)}"))
        route = self.table.find(notebook)
        if route is None:
            return _show(pages.unknown(status=404, domain=f"{self.domain}{_port_of(host)}"))
        facts = self._facts(request, host)
        match auth.decide(facts, route, now_s=self.now()):
            case auth.Redirect() as decision:
                return self._redirect(route, facts.peer, decision)
            case auth.Refuse() as decision:
                return _refuse(route, facts.peer, decision)
            case auth.Allow() as decision if route.state == "RUNNING":
                return await self._pass_on(request, route, decision)
            case auth.Allow() as decision:
                return _show(pages.state(route, proven=decision.proven))

    async def say_farewell(self, _app: web.Application) -> None:
        """Shutdown: tell every browser that we go away; editors of JupyterLab's kind come back by themselves."""
        async with asyncio.TaskGroup() as farewells:
            for one in list(self.websockets):
                farewells.create_task(_close(one))

    @property
    def _cookie(self) -> str:
        return auth.SECURE_SESSION_COOKIE if self.scheme == "https" else auth.SESSION_COOKIE

    def _facts(self, request: web.Request, host: str) -> auth.Facts:
        return auth.Facts(
            method=request.method,
            host=host,
            target=request.raw_path,
            peer=self._peer(request),
            websocket=_is_websocket(request),
            origins=tuple(request.headers.getall(hdrs.ORIGIN, ())),
            authorization=request.headers.get(hdrs.AUTHORIZATION),
            sessions=headers.cookie_values(request.headers, self._cookie),
            fetch_site=request.headers.get("Sec-Fetch-Site"),
            fetch_mode=request.headers.get("Sec-Fetch-Mode"),
            fetch_dest=request.headers.get("Sec-Fetch-Dest"),
            referer=request.headers.get(hdrs.REFERER),
        )

    def _peer(self, request: web.Request) -> Peer:
        return UNKNOWN if request.transport is None else self.whose(request.transport)

    def whose(self, transport: asyncio.BaseTransport) -> Peer:
        """Who is at the other end of a connection."""
        ours, theirs = transport.get_extra_info("sockname"), transport.get_extra_info("peername")
        return self.peer_of(ours[:2], theirs[:2]) if ours and theirs else UNKNOWN

    def _redirect(self, route: Route, peer: Peer, decision: auth.Redirect) -> web.Response:
        response = web.Response(
            status=303,
            headers={
                "Location": decision.location,
                "Cache-Control": "no-store",
                "Referrer-Policy": "no-referrer",
            },
        )
        if decision.start_session:
            expires_at = int(self.now()) + auth.SESSION_LIFETIME_S
            response.set_cookie(
                self._cookie,
                auth.mint_session(route, peer, nonce=secrets.token_hex(16), expires_at=expires_at),
                max_age=auth.SESSION_LIFETIME_S,
                httponly=True,
                secure=self.scheme == "https",
                samesite="Lax",
                path="/",
            )
        return response

    async def _pass_on(self, request: web.Request, route: Route, decision: auth.Allow) -> web.StreamResponse:
        notebook = route.notebook
        websocket = _is_websocket(request)
        xsrf = secrets.token_hex(16) if decision.by_token else None
        sent = headers.of_request(request.headers, scheme=self.scheme, xsrf=xsrf, websocket=websocket)
        url = editor_url(notebook, decision.target)
        self.activity.touch(notebook)
        try:
            async with editor_session(self.editors, notebook) as session:
                if not websocket:
                    return await forward(request, session, url, sent, body_patience_s=self.patience.body_s)
                return await self._pass_websocket_on(request, notebook, session, url, sent)
        except aiohttp.WSServerHandshakeError as error:
            status = error.status if 400 <= error.status < 600 else 502
            return _show(pages.bad_request(status, "The editor refused the websocket."))
        except UNREACHABLE as error:
            if isinstance(error, UnexpectedKind):
                _log.warning("the editor of notebook %s has no socket but something else in its place", notebook)
            return _show(pages.unreachable(refresh=request.method == "GET" and not websocket))

    def _keep(self, while_open: ExitStack, browser: web.WebSocketResponse) -> None:
        """Know of a websocket as long as it is open."""
        self.websockets.add(browser)
        while_open.callback(self.websockets.discard, browser)

    async def _pass_websocket_on(
        self,
        request: web.Request,
        notebook: str,
        session: aiohttp.ClientSession,
        url: URL,
        sent: CIMultiDict[str],
    ) -> web.StreamResponse:
        with ExitStack() as while_open:

            def opened(browser: web.WebSocketResponse) -> None:
                while_open.enter_context(self.activity.connection(notebook))
                self._keep(while_open, browser)

            return await forward_websocket(
                request, session, url, sent, opened=opened, touched=lambda: self.activity.touch(notebook)
            )


def make_app(gateway: Gateway) -> web.Application:
    """The application around a gateway."""
    app = web.Application(client_max_size=0)
    app.router.add_route("*", r"/{any:[\s\S]*}", gateway.answer)
    app.on_response_prepare.append(strip_defaults)
    app.on_shutdown.append(gateway.say_farewell)
    return app


def make_runner(gateway: Gateway) -> web.AppRunner:
    """The server around :func:`make_app`.

    Bodies stay as they are encoded; a request whose browser left is given up; nothing logs an address, since it may
    bear a token.
    """
    return web.AppRunner(
        make_app(gateway),
        access_log=None,
        auto_decompress=False,
        handler_cancellation=True,
        keepalive_timeout=gateway.patience.keep_alive_s,
        logger=http_log,
        max_line_size=HEADER_BYTES,
        max_field_size=HEADER_BYTES,
        shutdown_timeout=_FAREWELL_S + 2,
    )


def _fault(request: web.Request) -> Page | None:
    """What is wrong with a request that cannot be given any meaning safely."""
    if request.method in _REFUSED_METHODS:
        return pages.bad_request(405, f"{request.method} is not served here.")
    if not request.raw_path.startswith("/"):
        return pages.bad_request(400, "The request's target is not a path: this is no forward proxy.")
    if len(request.headers.getall(hdrs.HOST, ())) != 1:
        return pages.bad_request(400, "A request names one Host.")
    if request.version < HttpVersion11 and hdrs.TRANSFER_ENCODING in request.headers:
        return pages.bad_request(400, "HTTP/1.0 has no Transfer-Encoding.")
    if _wants_websocket(request) and not _is_websocket(request):
        return pages.bad_request(400, "Not a websocket handshake of version 13.")
    return None


def _wants_websocket(request: web.Request) -> bool:
    return "websocket" in request.headers.get(hdrs.UPGRADE, "").lower() and "upgrade" in (
        ",".join(request.headers.getall(hdrs.CONNECTION, ())).lower()
    )


def _port_of(host: str) -> str:
    """``:8421``, as the browser has it: a tunnel may have another port than the gateway."""
    _, colon, port = host.rpartition(":")
    return f":{port}" if colon and port.isascii() and port.isdecimal() and len(port) <= 5 else ""


def _is_websocket(request: web.Request) -> bool:
    return _wants_websocket(request) and request.method == "GET" and web.WebSocketResponse().can_prepare(request).ok


def _refuse(route: Route, peer: Peer, decision: auth.Refuse) -> web.Response:
    if decision.why is auth.Why.FOREIGN_ORIGIN:
        return _show(pages.foreign_origin())
    if decision.why is auth.Why.OTHER_ACCOUNT:
        return _show(pages.other_account(peer))
    if route.token_hash is None and route.state != "RUNNING":
        return _show(pages.state(route, proven=False))  # nobody can prove anything now; the page gives nothing away
    if decision.why is auth.Why.NO_TOKEN:
        response = _show(pages.not_yours(route.notebook, status=401))
        response.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="notebook"'
        return response
    return _show(pages.not_yours(route.notebook, status=403))


def _show(page: Page) -> web.Response:
    response = web.Response(status=page.status, body=page.html.encode(), headers=pages.HEADERS)
    if page.retry_after_s is not None:
        response.headers[hdrs.RETRY_AFTER] = str(page.retry_after_s)
    return response


async def _close(one: web.WebSocketResponse) -> None:
    try:
        async with asyncio.timeout(_FAREWELL_S):
            await one.close(code=WSCloseCode.GOING_AWAY, message=b"the gateway is restarting")
    except TimeoutError:
        _log.debug("a browser did not answer the farewell")
