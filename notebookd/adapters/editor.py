# SPDX-License-Identifier: Apache-2.0
"""Asking an editor on the socket that its container made."""

from __future__ import annotations

import asyncio
from pathlib import Path

from notebookd import nofollow
from notebookd.adapters.editor_activity import code_server_heartbeat, jupyter_activity
from notebookd.domain.activity import ActivityApi, EditorWord
from notebookd.domain.observed import Known, Seen, Unknown
from notebookd.domain.run import NotebookId

SOCKET = "editor.sock"
_TIMEOUT_S = 1.0
_STATUS_LINE_LIMIT = 4096


class SocketEditor:
    """See :class:`~notebookd.ports.editor.Editor`; ``editors`` holds a folder per notebook."""

    def __init__(self, editors: Path) -> None:
        self._editors = editors

    async def answers(self, notebook_id: NotebookId, path: str) -> bool:
        """Whether a GET of ``path`` gives 200 now."""
        try:
            with nofollow.open_socket(self._editors, notebook_id, SOCKET) as fd:
                async with asyncio.timeout(_TIMEOUT_S):
                    return await _get(nofollow.socket_path(fd), path)
        except (OSError, TimeoutError, ValueError):
            return False

    async def activity(self, notebook_id: NotebookId, api: ActivityApi) -> Seen[EditorWord]:
        """What goes on in the editor now."""
        if api is ActivityApi.NONE:
            return Known(None)
        ask = jupyter_activity if api is ActivityApi.JUPYTER else code_server_heartbeat
        try:
            with nofollow.open_socket(self._editors, notebook_id, SOCKET) as fd:
                return Known(await ask(nofollow.socket_path(fd)))
        except TimeoutError:
            return Unknown("the editor did not answer in time")
        except OSError as fault:
            return Unknown(f"the editor cannot be reached: {fault.strerror or fault}")
        except ValueError as fault:
            return Unknown(f"the editor gave no answer to go by: {fault}")


async def _get(socket_path: str, path: str) -> bool:
    reader, writer = await asyncio.open_unix_connection(socket_path, limit=_STATUS_LINE_LIMIT)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        status_line = await reader.readline()
    finally:
        writer.close()
    return status_line.split(b" ")[1:2] == [b"200"]
