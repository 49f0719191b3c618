# SPDX-License-Identifier: Apache-2.0
"""Routes that carry files: tar streams of any length, read and written at the pace of the slower side."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from aiohttp import ClientConnectionError, web

from notebookd.api import media
from notebookd.api.call import Call, done
from notebookd.errors import InvalidRequest, NotebookdError

log = logging.getLogger(__name__)

_CHUNK_BYTES = 256 * 1024
_SLOW_PEER_S = 300.0
"""Who takes or gives nothing for so long is cut off: a mover waits for him."""


async def read(call: Call) -> web.StreamResponse:
    """GET /v1/notebook/{id}/archive: a tar stream. It is whole when its last, empty chunk came."""
    path = call.request.query.get("path", "")
    async with call.services.archives.read(call.actor, call.notebook_id, path) as chunks:
        response = web.StreamResponse(headers={"Content-Type": media.content_type(call.request, media.TAR)})
        await response.prepare(call.request)
        try:
            async for chunk in chunks:
                async with asyncio.timeout(_SLOW_PEER_S):
                    await response.write(chunk)
            await response.write_eof()
        except (OSError, NotebookdError) as fault:  # a reader that left, a mover that failed: no answer can follow
            log.info("files of a notebook were not read to the end: %s", fault or type(fault).__name__)
            if call.request.transport is not None:
                call.request.transport.abort()
    return response


async def write(call: Call) -> web.Response:
    """PUT /v1/notebook/{id}/archive: unpack a tar stream."""
    path = call.request.query.get("path", "")
    await call.services.archives.write(call.actor, call.notebook_id, path, _chunks(call.request))
    return done()


async def remove(call: Call) -> web.Response:
    """DELETE /v1/notebook/{id}/archive: remove a file, or a folder with all that is in it."""
    path = call.request.query.get("path", "")
    await call.services.archives.remove(call.actor, call.notebook_id, path)
    return done()


async def _chunks(request: web.Request) -> AsyncIterator[bytes]:
    """The body as it comes. It ends before its end with an error, so that nobody takes a half for the whole."""
    try:
        while True:
            async with asyncio.timeout(_SLOW_PEER_S):
                chunk = await request.content.read(_CHUNK_BYTES)
            if not chunk:
                return
            yield chunk
    except (OSError, ClientConnectionError, web.PayloadAccessError) as fault:
        raise InvalidRequest("cannot read the archive: it broke off") from fault
