# SPDX-License-Identifier: Apache-2.0
"""The route of the admin's backup."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import BinaryIO

from aiohttp import web

from notebookd.api import media
from notebookd.api.call import Call

log = logging.getLogger(__name__)

_CHUNK_BYTES = 1024 * 1024
_SLOW_READER_S = 60.0


async def backup(call: Call) -> web.StreamResponse:
    """GET /v1/backup: a consistent copy of the database. It is whole when it is as long as the headers say."""
    async with call.services.machine.copy_database() as copy:
        size = os.fstat(copy.fileno()).st_size
        name = f"notebookd-{call.services.clock.now():%Y%m%dT%H%M%SZ}.db"
        response = web.StreamResponse(
            headers={
                "Content-Type": media.content_type(call.request, media.DATABASE),
                "Content-Disposition": f'attachment; filename="{name}"',
            }
        )
        response.content_length = size
        await response.prepare(call.request)
        try:
            await _pour(copy, response)
        except OSError as fault:  # a reader that left or does not read, a disk that does not: no answer can follow
            log.warning("a backup broke off: %s", fault or type(fault).__name__, extra={"actor": call.actor.name})
            if call.request.transport is not None:
                call.request.transport.abort()
            return response
    log.info("a backup of %d bytes was taken", size, extra={"actor": call.actor.name})
    return response


async def _pour(copy: BinaryIO, response: web.StreamResponse) -> None:
    while chunk := await asyncio.to_thread(copy.read, _CHUNK_BYTES):
        async with asyncio.timeout(_SLOW_READER_S):
            await response.write(chunk)
    await response.write_eof()
