# SPDX-License-Identifier: Apache-2.0
"""Asking a Jupyter server or a code-server what goes on in it, without that being activity.

The server is in a container and says what it likes: what it says is bounded in size, time and shape before any of it is
believed. ``no_track_activity`` keeps the questions to Jupyter from moving the times that they ask for; code-server's
``/healthz`` moves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final, Literal, TypeVar

import aiohttp
import msgspec

from notebookd.domain.activity import EditorActivity, Heartbeat, Kernel, Terminal

__all__ = ["code_server_heartbeat", "jupyter_activity"]

TIMEOUT_S: Final = 2.0
BODY_BYTES: Final = 256 * 1024
MOST: Final = 512
"""Kernels, or terminals, of one notebook."""

_KERNELS: Final = "/api/kernels?no_track_activity=1"
_TERMINALS: Final = "/api/terminals?no_track_activity=1"
_HEALTH: Final = "/healthz"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_9999_MS: Final = 253_370_764_800_000

_Time = Annotated[datetime, msgspec.Meta(tz=True)]
_Text = Annotated[str, msgspec.Meta(max_length=256)]
T = TypeVar("T")


class _Kernel(msgspec.Struct):
    id: _Text
    name: _Text
    execution_state: _Text
    last_activity: _Time


class _Terminal(msgspec.Struct):
    name: _Text
    last_activity: _Time


class _Health(msgspec.Struct, rename="camel"):
    status: Literal["alive", "expired"]
    last_heartbeat: Annotated[int, msgspec.Meta(ge=0, lt=_YEAR_9999_MS)]
    """Milliseconds since 1970; 0: none yet."""


_HEALTH_DECODER: Final = msgspec.json.Decoder(_Health)
_KERNEL_LIST: Final = msgspec.json.Decoder(Annotated[list[_Kernel], msgspec.Meta(max_length=MOST)])
_TERMINAL_LIST: Final = msgspec.json.Decoder(Annotated[list[_Terminal], msgspec.Meta(max_length=MOST)])


async def jupyter_activity(socket_path: str, *, timeout_s: float = TIMEOUT_S) -> EditorActivity:
    """What the Jupyter server at ``socket_path`` tells. Raises ValueError, in words fit to show, for every answer that
    is not whole and plain, OSError where nobody answers, TimeoutError after ``timeout_s``."""
    async with _session(socket_path, timeout_s) as session:
        kernels = _decoded(_KERNEL_LIST, await _body(session, _KERNELS), "list its kernels as Jupyter does")
        terminals = await _body(session, _TERMINALS, absent=b"[]")
        open_terminals = _decoded(_TERMINAL_LIST, terminals, "list its terminals as Jupyter does")
    return EditorActivity(
        kernels=tuple(
            Kernel(id=each.id, name=each.name, state=each.execution_state, last_activity_at=each.last_activity)
            for each in kernels
        ),
        terminals=tuple(Terminal(name=each.name, last_activity_at=each.last_activity) for each in open_terminals),
    )


async def code_server_heartbeat(socket_path: str, *, timeout_s: float = TIMEOUT_S) -> Heartbeat:
    """When the code-server at ``socket_path`` had a connection last. Raises as :func:`jupyter_activity` does."""
    async with _session(socket_path, timeout_s) as session:
        health = _decoded(_HEALTH_DECODER, await _body(session, _HEALTH), "tell of its heartbeat as code-server does")
    if health.last_heartbeat:
        return Heartbeat(last_at=_EPOCH + timedelta(milliseconds=health.last_heartbeat))
    if health.status == "alive":
        raise ValueError("it is alive without a heartbeat")
    return Heartbeat()


@asynccontextmanager
async def _session(socket_path: str, timeout_s: float) -> AsyncIterator[aiohttp.ClientSession]:
    """Asking at the socket, for so long. aiohttp's own errors come out as those of :func:`jupyter_activity`."""
    connector, cookies = aiohttp.UnixConnector(socket_path), aiohttp.DummyCookieJar()
    try:
        async with (
            asyncio.timeout(timeout_s),
            aiohttp.ClientSession(
                "http://localhost",
                connector=connector,
                cookie_jar=cookies,
                auto_decompress=False,  # a small body that unpacks to a large one is refused as no JSON
            ) as session,
        ):
            yield session
    except aiohttp.ClientConnectorError as fault:
        raise fault.os_error from fault
    except aiohttp.ClientError as fault:
        raise ValueError(f"its answer broke off or was no HTTP ({type(fault).__name__})") from fault


async def _body(session: aiohttp.ClientSession, path: str, *, absent: bytes | None = None) -> bytes:
    """The whole body of a 200. A server whose terminals are turned off has no such page: 404 is then ``absent``."""
    async with session.get(path, allow_redirects=False) as answer:
        if answer.status == 404 and absent is not None:
            return absent
        if answer.status != 200:
            raise ValueError(f"it answered {answer.status} to {path.partition('?')[0]}")
        body = bytearray()
        async for chunk in answer.content.iter_any():
            body += chunk
            if len(body) > BODY_BYTES:
                raise ValueError(f"it answered more than {BODY_BYTES} bytes to {path.partition('?')[0]}")
        return bytes(body)


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes, what: str) -> T:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise ValueError(f"it does not {what}") from fault
