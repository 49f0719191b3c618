# SPDX-License-Identifier: Apache-2.0
"""The content types of answers that are not plain JSON, and the general ones that programs know them by.

A generated client knows ``text/plain`` and ``application/octet-stream``, and few types beside. Whoever names the
general type in ``Accept``, and not the own one, is answered with it: the bytes are the same.
"""

from __future__ import annotations

from aiohttp import hdrs, web

TAR = "application/x-tar"
JSON_LINES = "application/x-ndjson"
DATABASE = "application/vnd.sqlite3"
TEXT = "text/plain"
BYTES = "application/octet-stream"

_GENERAL = {TAR: BYTES, JSON_LINES: TEXT, DATABASE: BYTES}
STREAMED = frozenset(_GENERAL)
"""What is sent piece by piece, and may have no end."""


def content_type(request: web.Request, own: str) -> str:
    """What an answer of the type ``own`` is called for whoever asks: its general type where only that is accepted."""
    general = _GENERAL[own]
    accepted = {each.partition(";")[0].strip().lower() for each in request.headers.get(hdrs.ACCEPT, "").split(",")}
    return general if general in accepted and own not in accepted else own
