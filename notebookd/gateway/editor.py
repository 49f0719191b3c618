# SPDX-License-Identifier: Apache-2.0
"""The way to a notebook's editor: its Unix socket, reached without following anything that the container made."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from notebookd import nofollow

if TYPE_CHECKING:
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.tracing import Trace

__all__ = ["SOCKET_NAME", "UNREACHABLE", "editor_session", "editor_url"]

SOCKET_NAME: Final = "editor.sock"
UNREACHABLE: Final = (aiohttp.ClientError, OSError, TimeoutError)
"""What may be raised when there is no editor, or what is there is not a socket or does not speak HTTP."""

_CONNECT_TIMEOUT_S: Final = 10.0
_FULL_BACKLOG_RETRY_S: Final = 0.05
_HEADER_BYTES: Final = 32 * 1024
_AUTOMATIC: Final = frozenset({"Accept", "Accept-Encoding", "Content-Type", "User-Agent"})


class _EditorConnector(aiohttp.BaseConnector):
    """Connects to one editor whatever the URL says, so that no redirect can lead to another notebook's.

    Every request gets a connection of its own: connecting to a Unix socket costs microseconds, and a connection
    kept from the past may belong to an editor that is just going away.
    """

    def __init__(self, folders: Path, folder: str, name: str) -> None:
        super().__init__(force_close=True, limit=0)
        self._where = folders, folder, name

    async def _create_connection(
        self, _request: ClientRequest, _traces: list[Trace], _timeout: aiohttp.ClientTimeout
    ) -> ResponseHandler:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            connection = await _connect(*self._where)
        try:
            _, protocol = await self._loop.create_unix_connection(self._factory, sock=connection)
        except BaseException:
            connection.close()
            raise
        return protocol


async def _connect(folders: Path, folder: str, name: str) -> socket.socket:
    loop = asyncio.get_running_loop()
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        with nofollow.open_socket(folders, folder, name) as fd:
            # Not loop.sock_connect: it takes EAGAIN, which here says that the backlog is full, for "under way".
            while True:
                try:
                    connection.connect(nofollow.socket_path(fd))
                except BlockingIOError:
                    room: asyncio.Future[None] = loop.create_future()
                    timer = loop.call_later(_FULL_BACKLOG_RETRY_S, room.set_result, None)
                    try:
                        await room
                    finally:
                        timer.cancel()
                else:
                    return connection
    except BaseException:
        connection.close()
        raise


def editor_session(editors: Path, notebook: str, name: str = SOCKET_NAME) -> aiohttp.ClientSession:
    """A client for requests to one editor (or to another socket that lies so) that adds nothing to them and leaves
    answers as they are."""
    return aiohttp.ClientSession(
        connector=_EditorConnector(editors, notebook, name),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        timeout=aiohttp.ClientTimeout(total=None),
        skip_auto_headers=_AUTOMATIC,
        max_line_size=_HEADER_BYTES,
        max_field_size=_HEADER_BYTES,
    )


def editor_url(notebook: str, target: str) -> URL:
    """The URL of ``target`` (path and query, undecoded, sent exactly so) at the editor."""
    path, _, query = target.partition("?")
    return URL.build(scheme="http", host=notebook, path=path, query_string=query, encoded=True)
