# SPDX-License-Identifier: Apache-2.0
"""Tar streams to and from a mover, over the socket that it makes in its job folder."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import msgspec

from notebookd import nofollow
from notebookd.adapters.movers.folder import JOB
from notebookd.errors import VolumeFault
from notebookd.ports.clock import Clock

SOCKET = "stream.sock"
_CHUNK = 256 * 1024
_ANSWER_LIMIT = 64 * 1024
_LOOK_EVERY_S = 0.02
_LOOKS_BETWEEN_QUESTIONS = 25


class _Answer(msgspec.Struct, frozen=True):
    ok: bool = False
    files: int = 0
    code: str = "DATASYNC_ERROR"
    message: str = "it was cut short"


async def connect(folder: Path, clock: Clock, still_there: Callable[[], Awaitable[None]]) -> socket.socket:
    """A connection to the mover whose folder that is, as soon as it listens. ``still_there`` is asked now and then, and
    raises when nobody will."""
    looks = 0
    while True:
        try:
            return await _connected(folder)
        except (FileNotFoundError, ConnectionRefusedError):
            looks += 1
            if looks % _LOOKS_BETWEEN_QUESTIONS == 0:
                await still_there()
            await clock.sleep(_LOOK_EVERY_S)


async def _connected(folder: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        with nofollow.open_socket(folder, JOB, SOCKET) as fd:
            await asyncio.get_running_loop().sock_connect(sock, nofollow.socket_path(fd))
    except BaseException:
        sock.close()
        raise
    return sock


async def read_tar(sock: socket.socket) -> AsyncIterator[bytes]:
    """What a mover sends. Raises VolumeFault before the first byte when it says that there is nothing to send."""
    loop = asyncio.get_running_loop()
    first = await loop.sock_recv(sock, _CHUNK)
    if first[:1] == b"\1":
        raise _fault(await _rest(sock, first[1:]))
    if first[1:]:
        yield first[1:]
    while first and (chunk := await loop.sock_recv(sock, _CHUNK)):
        yield chunk


async def write_tar(sock: socket.socket, tar: AsyncIterator[bytes]) -> int:
    """Send a tar stream; returns how many files the mover says were in it. Raises VolumeFault as it says."""
    loop = asyncio.get_running_loop()
    try:
        async for chunk in tar:
            await loop.sock_sendall(sock, chunk)
        sock.shutdown(socket.SHUT_WR)
    except (BrokenPipeError, ConnectionResetError):
        pass  # it stopped listening, and has said why
    said = await _rest(sock, b"")
    answer = _answer(said)
    if not answer.ok:
        raise _fault(said)
    return answer.files


async def _rest(sock: socket.socket, begun: bytes) -> bytes:
    said = bytearray(begun)
    try:
        while len(said) < _ANSWER_LIMIT and (piece := await asyncio.get_running_loop().sock_recv(sock, _CHUNK)):
            said += piece
    except ConnectionResetError:
        pass
    return bytes(said)


def _answer(said: bytes) -> _Answer:
    try:
        return msgspec.json.decode(said, type=_Answer)
    except msgspec.DecodeError:
        return _Answer()


def _fault(said: bytes) -> VolumeFault:
    answer = _answer(said)
    return VolumeFault(f"cannot carry the files: {answer.message}", info_code=answer.code)
