# SPDX-License-Identifier: Apache-2.0
"""The one place where an error becomes an HTTP answer."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable

from aiohttp import web

from notebookd import errors, wire

log = logging.getLogger(__name__)

STATUS: dict[type[errors.NotebookdError], int] = {
    errors.InvalidRequest: 400,
    errors.Unauthenticated: 401,
    errors.QuotaExceeded: 402,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.PreconditionFailed: 412,
    errors.TooLarge: 413,
    errors.StoreUnavailable: 503,
    errors.DirectoryUnavailable: 503,
    errors.GpusUnavailable: 503,
    errors.VolumeFault: 503,
    errors.EngineUnavailable: 503,
    errors.EngineError: 503,
    errors.WorkspaceFault: 503,
}

_PLAIN = {400: "invalid-request", 403: "forbidden", 404: "not-found", 405: "invalid-request", 413: "too-large"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def refusal_of(error: errors.NotebookdError, *, code: str | None = None) -> wire.Refusal:
    """An error of ours as it is told; ``code`` where that is not its own."""
    return wire.Refusal(
        message=error.message,
        code=code or error.code,
        hint=error.hint or wire.UNSET,
        details=error.details or wire.UNSET,
    )


def refusal(error: errors.NotebookdError) -> web.Response:
    """The answer to an error of ours: with the code of what it is a kind of, if that is known here."""
    kind = next((kind for kind in type(error).__mro__ if kind in STATUS), errors.NotebookdError)
    body = refusal_of(error, code=kind.code)
    return web.Response(status=STATUS.get(kind, 500), body=wire.encode(body), content_type="application/json")


@web.middleware
async def map_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every error in the one shape; an unknown one gets an id that the log has too, and no traceback."""
    try:
        return await handler(request)
    except errors.NotebookdError as error:
        return refusal(error)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        code = _PLAIN.get(error.status, "invalid-request")
        message = f"cannot answer {request.method} {request.path}: {error.reason}"
        body = wire.encode(wire.Refusal(message=message, code=code))
        allow = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return web.Response(status=error.status, body=body, content_type="application/json", headers=allow)
    except web.RequestPayloadError as error:
        return refusal(errors.InvalidRequest(f"cannot read the body: {error}"))
    except ConnectionError:
        raise
    except Exception:
        fault = str(uuid.uuid4())
        log.exception("internal error %s in %s %s", fault, request.method, request.path)
        body = wire.encode(
            wire.Refusal(
                message=f"cannot answer {request.method} {request.path}: internal error {fault}",
                code="internal-error",
                hint="run `notebookctl bugreport` and look for that id in the log",
                details={"id": fault},
            )
        )
        return web.Response(status=500, body=body, content_type="application/json")
