# SPDX-License-Identifier: Apache-2.0
"""The way to the API for programs elsewhere, where the admin opens it: ``http://<domain>[:port]/v1/…`` (and
``/metrics``) with a token.

The gateway decides nothing here. It passes on what looks like a token, to a socket of notebookd's on which only a token
makes anybody an actor, and keeps back whatever a browser would send by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import hdrs, web
from yarl import URL

from notebookd.gateway import headers
from notebookd.gateway.editor import UNREACHABLE, editor_session
from notebookd.gateway.forward import forward
from notebookd.gateway.patience import Stalled
from notebookd.gateway.websocket import forward_websocket

__all__ = ["is_meant", "pass_on"]

_HOST: Final = re.compile(r"([^:]+)(?::[0-9]{1,5})?", re.ASCII)
_TARGET: Final = re.compile(r"/v1(?:[/?].*)?|/metrics/?(?:\?.*)?")
_BEARER: Final = re.compile(r"bearer +nbd_[A-Za-z0-9_-]{64} *", re.IGNORECASE)
_CODES: Final = {
    400: "invalid-request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not-found",
    408: "invalid-request",
    409: "conflict",
    503: "store-unavailable",
}


def is_meant(host: str, target: str, domain: str) -> bool:
    """Whether a request of this Host and target is for the API: the domain itself, without a notebook's id."""
    match = _HOST.fullmatch(host)
    return match is not None and match[1].lower() == domain.lower() and _TARGET.fullmatch(target) is not None


async def pass_on(
    request: web.Request,
    path: Path,
    *,
    websocket: bool,
    opened: Callable[[web.WebSocketResponse], None],
    body_patience_s: float,
) -> web.StreamResponse:
    """Pass a request on to the socket at ``path``, with its token. ``opened`` is called with a websocket once it
    stands."""
    shown = request.headers.getall(hdrs.AUTHORIZATION, ())
    if len(shown) != 1 or not _BEARER.fullmatch(shown[0]):
        said = "it bears no app token" if not shown else "what it bears as an app token is none: it may be cut short"
        return _refusal(401, said, "send `Authorization: Bearer` with the whole value of a token")
    target, _, query = request.raw_path.partition("?")
    url = URL.build(scheme="http", host="localhost", path=target, query_string=query, encoded=True)
    sent = headers.of_api_request(request.headers, websocket=websocket)
    try:
        async with editor_session(path.parent.parent, path.parent.name, path.name) as session:
            if not websocket:
                return await forward(request, session, url, sent, body_patience_s=body_patience_s)
            return await forward_websocket(request, session, url, sent, opened=opened, touched=lambda: None)
    except Stalled:
        refusal = _refusal(408, "the rest of it did not come", "send the whole request")
        refusal.force_close()
        return refusal
    except aiohttp.WSServerHandshakeError as error:
        status = error.status if 400 <= error.status < 600 else 400  # an answer that is none: there is no websocket
        return _refusal(status, "the websocket is refused", "ask without `Upgrade` to read why")
    except UNREACHABLE:
        return _refusal(503, "notebookd does not answer", "try again in a moment")


def _refusal(status: int, cause: str, hint: str) -> web.Response:
    body = {
        "message": f"cannot pass the request on: {cause}",
        "code": _CODES.get(status, "internal-error"),
        "hint": hint,
    }
    more = {401: ("WWW-Authenticate", "Bearer"), 503: ("Retry-After", "1")}.get(status)
    return web.Response(
        status=status,
        body=json.dumps(body).encode(),
        content_type="application/json",
        headers=[("Cache-Control", "no-store"), *([more] if more else [])],
    )
