# SPDX-License-Identifier: Apache-2.0
"""The road to the daemon: HTTP over its socket or its gateway, answers, and what can go wrong on the way."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Generic, TypeVar, cast

import msgspec

from notebookd import wire
from notebookd.client.address import Address, unreachable
from notebookd.client.errors import BadAnswer, ClientError, InvalidRequest, Unauthenticated, Unreachable, refused
from notebookd.client.exchange import Answer, Broken, Exchange, quoted

T_co = TypeVar("T_co", covariant=True)
Query = Mapping[str, Any]

_CHUNK_BYTES = 1024 * 1024
_TOKEN = re.compile(r"[!-~]+")
_HEADER = re.compile(r"[ -~]*")


@dataclass(frozen=True, slots=True)
class Reply(Generic[T_co]):
    """An answer: its bytes, and on demand its value."""

    body: bytes
    shape: Any = field(repr=False)

    @property
    def value(self) -> T_co:
        """The answer as a wire shape. :class:`BadAnswer` when it has another one."""
        try:
            value: T_co = msgspec.json.decode(self.body, type=self.shape)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BadAnswer(
                f"cannot understand the answer: {error}", hint="do the versions of notebookctl and notebookd agree?"
            ) from error
        return value


class Link:
    """A daemon at an address: the path of its socket, or its gateway as ``http://localhost:8421``; without one, what
    ``NOTEBOOKD_SOCKET`` says, or the usual socket. ``token`` makes its bearer the actor instead of the calling account,
    and so does ``NOTEBOOKD_TOKEN``; a gateway lets in nobody without. :class:`ClientError` for an address that is none.
    """

    def __init__(
        self, address: str | Address | None = None, *, token: str | None = None, timeout_s: float = 60.0
    ) -> None:
        self.address = address if isinstance(address, Address) else Address.parse(address)
        self._token = token if token is not None else os.environ.get("NOTEBOOKD_TOKEN") or None
        self._timeout_s = timeout_s

    def headers(self) -> dict[str, str]:
        """The headers that every request bears. :class:`Unauthenticated` where the token cannot be one, or is needed
        and there is none."""
        if self._token is None:
            if self.address.path is None:
                message = f"cannot be anybody at {self.address.text}: there is no token"
                hint = (
                    "make one on the workstation, `notebookctl token create NAME --role operator`, for NOTEBOOKD_TOKEN"
                )
                raise Unauthenticated(status=401, code="unauthenticated", message=message, hint=hint)
            return {}
        if not _TOKEN.fullmatch(self._token):
            message = "cannot use the token: it is empty, or has blanks, ends of lines or letters of no token in it"
            hint = "of a token read from a file, leave out the end of the line"
            raise Unauthenticated(status=401, code="unauthenticated", message=message, hint=hint)
        return {"Authorization": f"Bearer {self._token}"}

    def _get(self, path: str, shape: Any, query: Query | None = None, *, also: tuple[int, ...] = ()) -> Reply[Any]:
        return Reply(self._send("GET", path, query, also=also), shape)

    def _send(
        self,
        method: str,
        path: str,
        query: Query | None = None,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        also: tuple[int, ...] = (),
        timeout_s: float | None = None,
    ) -> bytes:
        patience_s = timeout_s or self._timeout_s
        with self._response(method, target_of(path, query), body, headers or {}, patience_s, also) as response:
            return response.read()

    def _lines(
        self,
        path: str,
        query: Query,
        shape: Any,
        timeout_s: float | None = None,
        *,
        order: bytes | None = None,
    ) -> Generator[Reply[Any], None, None]:
        """The lines of a GET, or with an ``order`` as its body of a POST."""
        method = "GET" if order is None else "POST"
        with self._response(method, target_of(path, query), order, {}, timeout_s) as response:
            while line := response.readline():
                if line.strip():
                    yield Reply(line.rstrip(b"\r\n"), shape)

    def _pour(self, path: str, sink: BinaryIO, progress: Callable[[int, int], None]) -> int:
        """Write an answer of a known length to ``sink``. It may be long in the making: there is no time limit."""
        with self._response("GET", path, None, {}, None) as response:
            size, done = response.length or 0, 0
            while chunk := response.read(_CHUNK_BYTES):
                done += _write(sink, chunk)
                progress(done, size)
        return done

    @contextlib.contextmanager
    def _download(self, path: str, query: Query) -> Iterator[BinaryIO]:
        """An answer of an unknown length, to be read as it comes, however long that takes."""
        with self._response("GET", target_of(path, query), None, {}, None) as response:
            yield cast(BinaryIO, response)

    def _upload(self, path: str, query: Query, fill: Callable[[BinaryIO], None]) -> None:
        """Send what ``fill`` writes. A daemon that refuses says so before it has read all of it."""
        headers = {**self.headers(), "Transfer-Encoding": "chunked"}
        with self._exchange(None) as exchange:
            exchange.begin("PUT", target_of(path, query), headers)
            body = _Body(exchange)
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                fill(cast(BinaryIO, body))
                body.end()
            response = exchange.answer()
            if response.status // 100 != 2:
                raise self._refusal(response.status, response.read())

    @contextlib.contextmanager
    def _response(
        self,
        method: str,
        target: str,
        body: bytes | None,
        headers: Mapping[str, str],
        timeout_s: float | None,
        also: tuple[int, ...] = (),
    ) -> Iterator[Answer]:
        for name, value in headers.items():
            if not _HEADER.fullmatch(value):
                message = f"cannot use the {name}: it must be of printable ASCII"
                raise InvalidRequest(status=400, code="invalid-request", message=message)
        framing = {} if method == "GET" else {"Content-Length": str(len(body or b""))}
        kind = {} if body is None else {"Content-Type": "application/json"}
        with self._exchange(timeout_s) as exchange:
            exchange.begin(method, target, {**self.headers(), **framing, **kind, **headers}, body or b"")
            response = exchange.answer()
            if response.status // 100 != 2 and response.status not in also:
                raise self._refusal(response.status, response.read())
            yield response

    @contextlib.contextmanager
    def _exchange(self, timeout_s: float | None) -> Iterator[Exchange]:
        """A connection of its own. Whatever breaks it is Unreachable."""
        exchange = None
        try:
            exchange = Exchange(self.address.dial(timeout_s), self.address.host_name)
            yield exchange
        except Broken as error:
            raise Unreachable(
                f"the connection to notebookd at {self.address.text} broke: {error}",
                hint="look at its log: journalctl -u notebookd",
            ) from error
        except OSError as error:
            raise unreachable(self.address, error) from error
        finally:
            if exchange is not None:
                exchange.close()

    def _refusal(self, status: int, body: bytes) -> ClientError:
        try:
            refusal = msgspec.json.decode(body, type=wire.Refusal)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            text = body[:200].decode(errors="replace")
            hint = "is the socket the right one?"
            if self.address.path is None:
                hint = "is the address the gateway's own name, and is `[gateway] api = true` set there?"
            return BadAnswer(f"the answer, status {status}, is not notebookd's: {text!r}", hint=hint)
        return refused(
            status, refusal.code, refusal.message, hint=refusal.hint or None, details=refusal.details or None
        )


class _Body:
    """A request's body in chunks, written as to a file."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def write(self, data: bytes) -> int:
        """Send a chunk; an empty one would be the end."""
        if data:
            self._exchange.send(b"%x\r\n" % len(data) + data + b"\r\n")
        return len(data)

    def end(self) -> None:
        """Say that this was all of it."""
        self._exchange.send(b"0\r\n\r\n")


def _write(sink: BinaryIO, chunk: bytes) -> int:
    try:
        sink.write(chunk)
    except OSError as error:
        raise ClientError(f"cannot write what the daemon sent: {error.strerror or error}") from error
    return len(chunk)


def target_of(path: str, query: Query | None) -> str:
    """The path with what of the query is not None; truth values are written as JSON does."""
    words = {"True": "true", "False": "false"}
    pairs = [
        (name, words.get(str(each), str(each)) if isinstance(each, bool) else str(each))
        for name, value in (query or {}).items()
        for each in (value if isinstance(value, list) else [value])
        if each is not None
    ]
    return f"{path}?{'&'.join(f'{quoted(name)}={quoted(word)}' for name, word in pairs)}" if pairs else path
