# SPDX-License-Identifier: Apache-2.0
"""One request over a connected socket, and its answer: as much of HTTP/1.1 as notebookd speaks.

The standard library's client brings a parser of e-mail and TLS along, and to load them takes a command longer than all
else that it does.
"""

from __future__ import annotations

import io
import re
import socket
from collections.abc import Mapping
from typing import Any, BinaryIO

__all__ = ["Answer", "Broken", "Exchange", "quoted"]

_LINE_BYTES = 64 * 1024
_MOST_HEADERS = 100
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9]{2})( [^\r\n]*)?\r?\n")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\n]*)?\r?\n")
_TARGET = re.compile(r"/[!-~]*")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~")


class Broken(Exception):
    """What came is no whole answer."""


def quoted(text: str) -> str:
    """A segment of a path, or a word of a query, percent-encoded (RFC 3986)."""
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in text.encode())


class Exchange:
    """A request and its answer over ``link``, which serves this one exchange. Errors of the link are OSErrors."""

    def __init__(self, link: socket.socket, host: str = "localhost") -> None:
        self._link = link
        self._host = host
        self._came = link.makefile("rb")

    def close(self) -> None:
        """Hang up."""
        self._came.close()
        self._link.close()

    def begin(self, method: str, target: str, headers: Mapping[str, str], body: bytes = b"") -> None:
        """Send the head and a first part of the body, whose length the headers tell. Values of headers are checked
        by the caller."""
        if not _TARGET.fullmatch(target):
            raise ValueError(f"cannot ask for {target!r}: blanks and other letters than ASCII are percent-encoded")
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._link.sendall(f"{method} {target} HTTP/1.1\r\nHost: {self._host}\r\n{fields}\r\n".encode("ascii") + body)

    def send(self, data: bytes) -> None:
        """Send more of the body."""
        self._link.sendall(data)

    def answer(self) -> Answer:
        """The head of the answer; its body is read from it. :class:`Broken` where it is none."""
        status = 100
        while status // 100 == 1:
            line = self._came.readline(_LINE_BYTES)
            if not line:
                raise Broken("it was closed before an answer came")
            if (found := _STATUS.fullmatch(line)) is None:
                raise Broken(f"what came is no answer: {line[:60]!r}")
            status, headers = int(found[1]), self._headers()
        return Answer(status, *self._framing(status, headers))

    def _headers(self) -> dict[bytes, bytes]:
        headers: dict[bytes, bytes] = {}
        for _ in range(_MOST_HEADERS):
            line = self._came.readline(_LINE_BYTES)
            if line in {b"\r\n", b"\n"}:
                return headers
            name, colon, value = line.partition(b":")
            if not colon or not line.endswith(b"\n"):
                raise Broken("its head is cut short")
            headers[name.strip().lower()] = value.strip()
        raise Broken(f"its head has more than {_MOST_HEADERS} lines")

    def _framing(self, status: int, headers: Mapping[bytes, bytes]) -> tuple[io.RawIOBase, int | None]:
        """The body, and how long it is where that is told."""
        if status in {204, 304}:
            return _Counted(self._came, 0), 0
        if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
            return _Chunked(self._came), None
        length = headers.get(b"content-length")
        if length is None:
            return _ToItsEnd(self._came), None
        if not length.isdigit():
            raise Broken(f"its length is told as {length[:60]!r}")
        return _Counted(self._came, int(length)), int(length)


class Answer(io.BufferedReader):
    """An answer: its ``status``, its ``length`` in bytes where that is known, and its body, which is read as a file.
    Reading raises :class:`Broken` where the body ends before its end."""

    def __init__(self, status: int, body: io.RawIOBase, length: int | None) -> None:
        super().__init__(body)
        self.status = status
        self.length = length


class _Body(io.RawIOBase):
    """A body as it comes."""

    def __init__(self, came: BinaryIO) -> None:
        self._came = came

    def readable(self) -> bool:
        """True."""
        return True

    def _some(self, buffer: Any, most: int) -> int:
        into = memoryview(buffer).cast("B")[:most]
        return self._came.readinto1(into)  # type: ignore[attr-defined, no-any-return]


class _ToItsEnd(_Body):
    """Whatever comes until the other end hangs up."""

    def readinto(self, buffer: Any) -> int:
        """As files have it."""
        return self._some(buffer, memoryview(buffer).nbytes)


class _Counted(_Body):
    """So many bytes."""

    def __init__(self, came: BinaryIO, left: int) -> None:
        super().__init__(came)
        self._left = left

    def readinto(self, buffer: Any) -> int:
        """As files have it; :class:`Broken` at an early end."""
        if not self._left:
            return 0
        count = self._some(buffer, self._left)
        if not count:
            raise Broken(f"it ended {self._left} bytes before the end of the answer")
        self._left -= count
        return count


class _Chunked(_Body):
    """Chunks, up to the one that is empty. A chunk's head is read when it is needed, so that what is here is read
    before the next is waited for."""

    def __init__(self, came: BinaryIO) -> None:
        super().__init__(came)
        self._left = 0
        self._begun = self._ended = False

    def readinto(self, buffer: Any) -> int:
        """As files have it; :class:`Broken` at an early end."""
        if not self._left and not self._ended:
            self._next()
        if self._ended:
            return 0
        count = self._some(buffer, self._left)
        if not count:
            raise Broken("it ended in the middle of the answer")
        self._left -= count
        return count

    def _next(self) -> None:
        if self._begun and self._came.readline(_LINE_BYTES) not in {b"\r\n", b"\n"}:
            raise Broken("a part of the answer is not as long as it says")
        found = _SIZE.fullmatch(self._came.readline(_LINE_BYTES))
        if found is None:
            raise Broken("it ended in the middle of the answer")
        self._begun, self._left = True, int(found[1], 16)
        self._ended = not self._left
        while self._ended and self._came.readline(_LINE_BYTES) not in {b"\r\n", b"\n", b""}:
            pass
