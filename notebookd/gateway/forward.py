# SPDX-License-Identifier: Apache-2.0
"""One HTTP exchange passed on to the editor, streaming both ways.

Bodies are never held: a chunk is read only after the one before it was written, so a slow side slows the other down
and a notebook of any size can be uploaded in constant memory.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

import aiohttp
from aiohttp import hdrs, web
from multidict import CIMultiDict
from yarl import URL

from notebookd.gateway import headers
from notebookd.gateway.editor import UNREACHABLE
from notebookd.gateway.patience import Stalled, chunks

__all__ = ["Relayed", "forward", "strip_defaults"]

_OK: Final = 200
_LAST_STATUS: Final = 599
_DEFAULTS: Final = ("Content-Type", "Date", "Server")


class Relayed(web.StreamResponse):
    """An editor's answer on its way out. It bears the editor's headers, and none that a server adds by itself."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        kept = headers.of_answer(answer.headers)
        super().__init__(status=answer.status, reason=answer.reason, headers=kept)
        self.absent = tuple(name for name in _DEFAULTS if name not in kept)


async def strip_defaults(request: web.Request, response: web.StreamResponse) -> None:
    """Signal: take off what aiohttp has put on an answer that had no such header. Where another protocol was asked for
    in vain, nothing that follows on the connection is taken for a request."""
    if hdrs.UPGRADE in request.headers and not isinstance(response, web.WebSocketResponse):
        response.force_close()
        response.headers[hdrs.CONNECTION] = "close"
    if isinstance(response, Relayed):
        for name in response.absent:
            response.headers.popall(name, None)
    else:
        response.headers["Server"] = "notebookd-gateway"


async def forward(
    request: web.Request,
    session: aiohttp.ClientSession,
    url: URL,
    sent: CIMultiDict[str],
    *,
    body_patience_s: float,
) -> web.StreamResponse:
    """Pass a request on with the headers ``sent`` and its body; pass the answer back.

    Raises :data:`~notebookd.gateway.editor.UNREACHABLE`, or Stalled where the body did not come, only as long as
    nothing was answered. An answer that breaks off breaks the browser's connection too, so that nobody takes a part for
    the whole.
    """
    body = _Once(chunks(request.content, body_patience_s)) if request.body_exists else None
    try:
        answering = await session.request(request.method, url, headers=sent, data=body, allow_redirects=False)
    except UNREACHABLE:
        if body is not None and body.stalled:
            raise Stalled from None
        raise
    async with answering as answer:
        if not _OK <= answer.status <= _LAST_STATUS:
            raise aiohttp.ClientPayloadError(f"{answer.status} is no status of an answer")
        if not headers.is_plain(answer.raw_headers, answer.reason or "") or _is_older_than_its_encoding(answer):
            raise aiohttp.ClientPayloadError("the answer's head can be read in more than one way")
        response = Relayed(answer)
        await response.prepare(request)
        try:
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
        except UNREACHABLE:
            if request.transport is not None:
                request.transport.abort()
        return response


def _is_older_than_its_encoding(answer: aiohttp.ClientResponse) -> bool:
    """HTTP/1.0 knows no Transfer-Encoding, and what is no HTTP/1 has no business here."""
    if answer.version is None or answer.version.major != 1:
        return True
    return answer.version < aiohttp.HttpVersion11 and hdrs.TRANSFER_ENCODING in answer.headers


class _Once:
    """A body that can be sent once.

    aiohttp repeats an idempotent request whose connection broke, and its older releases do so with a body that has
    already flowed by: the editor would wait for ever for bytes that nobody has any more.
    """

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks: AsyncIterator[bytes] | None = chunks
        self.stalled = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        if self._chunks is None:
            raise aiohttp.ClientPayloadError("the request's body was sent already and cannot be sent again")
        chunks, self._chunks = self._chunks, None
        return self._watch(chunks)

    async def _watch(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks:
                yield chunk
        except Stalled:
            self.stalled = True
            raise
