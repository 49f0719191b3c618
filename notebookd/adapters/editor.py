# SPDX-License-Identifier: Apache-2.0
"""Asking an editor on the socket that its container made."""

from __future__ import annotations

import asyncio
import re
from http import HTTPStatus
from pathlib import Path

from notebookd import nofollow
from notebookd.adapters.editor_activity import code_server_heartbeat, jupyter_activity
from notebookd.domain.activity import ActivityApi, EditorWord
from notebookd.domain.ids import NotebookId
from notebookd.domain.observed import Known, Seen, Unknown
from notebookd.ports.editor import Answer

SOCKET = "editor.sock"
_TIMEOUT_S = 1.0
_STATUS_LINE_LIMIT = 4096
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})(?: |\r?\n)")
_NO_SOCKET = f"it has not made /run/editor/{SOCKET}, where it is awaited"


class SocketEditor:
    """See :class:`~notebookd.ports.editor.Editor`; ``editors`` holds a folder per notebook."""

    def __init__(self, editors: Path) -> None:
        self._editors = editors

    async def answers(self, notebook_id: NotebookId, path: str) -> Answer:
        """Whether a GET of ``path`` gives 200 now."""
        try:
            with nofollow.open_socket(self._editors, notebook_id, SOCKET) as fd:
                async with asyncio.timeout(_TIMEOUT_S):
                    return _judged(await _get(nofollow.socket_path(fd), path), path)
        except TimeoutError:
            return Answer(up=False, seen=f"it says nothing for {_TIMEOUT_S:.0f} s when it is asked for {path}")
        except FileNotFoundError:
            return Answer(up=False, seen=_NO_SOCKET)
        except ValueError:
            return _judged(b"", path)
        except OSError as fault:
            return Answer(up=False, seen=f"/run/editor/{SOCKET} cannot be reached: {fault.strerror or 'it hung up'}")

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


def _judged(status_line: bytes, path: str) -> Answer:
    found = _STATUS.match(status_line)
    if found is None:
        return Answer(up=False, seen=f"what it says when it is asked for {path} is no answer of a web server")
    status = int(found[1])
    return Answer(up=status == HTTPStatus.OK, seen="" if status == HTTPStatus.OK else _unexpected(status, path))


def _unexpected(status: int, path: str) -> str:
    try:
        named = f"{status} ({HTTPStatus(status).phrase})"
    except ValueError:
        named = str(status)
    return f"it is there, and answers {named} when it is asked for {path}"


async def _get(socket_path: str, path: str) -> bytes:
    reader, writer = await asyncio.open_unix_connection(socket_path, limit=_STATUS_LINE_LIMIT)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        return await reader.readline()
    finally:
        writer.close()
