# SPDX-License-Identifier: Apache-2.0
"""Who may come in and how far before a request has begun: bounds that both servers have.

A connection on which no request has begun costs a descriptor and what has come of its head. Both are free to whoever
can connect, and nobody has been asked yet who they are. So heads are bounded in size and time, and connections per
account.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

__all__ = ["HEAD_BYTES", "HEAD_S", "Doorkeeper", "bounded"]

HEAD_BYTES: Final = 64 * 1024
"""Of a request's line and fields together, and of anything else that brings neither a request nor its body."""
HEAD_S: Final = 30.0
"""Until the head of a connection's first request is there."""

_FEW: Final = 256
_MADE_WITHIN_S: Final = 1.0
"""A connection is known to the server a moment after its protocol was made."""
_FAREWELL_S: Final = 1.0
_TOO_MANY: Final = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/json\r\nContent-Length: %d\r\nRetry-After: 5\r\n"
    b"Connection: close\r\n\r\n%s"
)
_TOO_MANY_BODY: Final = (
    b'{"message":"cannot serve another connection: your account has %d open","code":"too-many-connections",'
    b'"hint":"end programs that you do not need, such as followers of events and logs"}'
)


@dataclass(slots=True, kw_only=True)
class Doorkeeper:
    """Makes connections' protocols, for ``loop.create_server``; closes those on which no request begins.

    ``whose`` tells the account behind a connection; None is not counted. No account has more than ``most_each``.
    """

    server: web.Server
    patience_s: float = HEAD_S
    whose: Callable[[asyncio.Transport], Hashable | None] = lambda _: None
    most_each: int = 1
    silent: dict[web.RequestHandler, float] = field(default_factory=dict)
    """The connections on which no request has begun yet, and since when, by the loop's clock."""
    _held: dict[Hashable, list[web.RequestHandler]] = field(default_factory=dict)
    _many: int = _FEW
    _timer: asyncio.TimerHandle | None = None

    def __call__(self) -> asyncio.Protocol:
        """The protocol of a new connection."""
        return _Entrance(self)

    def admit(self, transport: asyncio.Transport) -> web.RequestHandler | None:
        """The handler of a connection; None where its account has too many."""
        account = self.whose(transport)
        if account is not None and self._has_too_many(account):
            return None
        handler = self._handler()
        if account is not None:
            self._held.setdefault(account, []).append(handler)
        return handler

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _has_too_many(self, account: Hashable) -> bool:
        if len(self._held.get(account, ())) < self.most_each:
            return False
        self._held = {
            each: there for each, held in self._held.items() if (there := [one for one in held if one.connected])
        }
        return len(self._held.get(account, ())) >= self.most_each

    def _handler(self) -> web.RequestHandler:
        loop = asyncio.get_running_loop()
        if len(self.silent) >= self._many:
            self._forget_gone(loop.time())
        handler = self.server()
        begun = partial(self.silent.pop, handler, None)
        # aiohttp bounds each field and their number, and has no other place for a bound on all of them together.
        handler._parser = bounded(handler._parser, begun=begun, cut=handler.force_close)  # type: ignore[assignment]  # noqa: SLF001
        self.silent[handler] = loop.time()
        if self._timer is None:
            self._timer = loop.call_later(self.patience_s, self._look)
        return handler

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._forget_gone(now)
        for handler in self.server.connections:
            if now - self.silent.get(handler, now) >= self.patience_s:
                del self.silent[handler]
                handler.force_close()
        wait_s = max(self.patience_s / 8, self.patience_s - (now - min(self.silent.values(), default=now)))
        self._timer = loop.call_later(wait_s, self._look) if self.silent else None

    def _forget_gone(self, now: float) -> None:
        there = set(self.server.connections)
        for handler, since in list(self.silent.items()):
            if handler not in there and now - since > _MADE_WITHIN_S:
                del self.silent[handler]
        self._many = 2 * len(self.silent) + _FEW


class _Entrance(asyncio.Protocol):
    """What a connection meets first: the one point where it is known whose it is and nothing was read of it."""

    def __init__(self, keeper: Doorkeeper) -> None:
        self._keeper = keeper
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        handler = self._keeper.admit(transport)
        if handler is None:
            self._transport = transport
            asyncio.get_running_loop().call_later(_FAREWELL_S, transport.close)
            return
        transport.set_protocol(handler)
        handler.connection_made(transport)

    def data_received(self, _data: bytes) -> None:
        """Answer a request that nobody will look at. Unread, it would take the answer with it."""
        body = _TOO_MANY_BODY % self._keeper.most_each
        self._transport.write(_TOO_MANY % (len(body), body))
        self._transport.close()


def bounded(parser: Any, *, begun: Callable[[], object], cut: Callable[[], None]) -> _Heads:
    """A parser of aiohttp's with the bound. ``begun`` is called when a request is there, ``cut`` to end a connection in
    the midst of one."""
    return _Heads(parser, begun, cut)


class _Heads:
    """A parser of aiohttp's with a bound on the whole of a head. It has bounds of its own only for each field.

    What comes is counted until it brings a request, or some of a request's body. So heads, trailers and what stands
    between the chunks of a body have the same bound.
    """

    def __init__(self, parser: Any, begun: Callable[[], object], cut: Callable[[], None]) -> None:
        self._parser = parser
        self._begun = begun
        self._cut = cut
        self._body: Any = None
        self._body_bytes = 0
        self._fruitless = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)

    def feed_data(self, data: bytes) -> tuple[list[Any], bool, bytes]:
        """See aiohttp's. Raises HttpProcessingError where the bound is passed; what lies beyond it is not parsed."""
        if self._fruitless > HEAD_BYTES:
            return [], False, b""  # the refusal is under way
        room = HEAD_BYTES + 1 - self._fruitless
        if len(data) <= room or self._is_in_body():
            return self._feed(data)
        messages, upgraded, tail = self._feed(data[:room])
        if upgraded:
            return messages, upgraded, tail + data[room:]
        others, upgraded, tail = self._feed(data[room:])
        return [*messages, *others], upgraded, tail

    def _feed(self, data: bytes) -> tuple[list[Any], bool, bytes]:
        fed: tuple[list[Any], bool, bytes] = self._parser.feed_data(data)
        messages = fed[0]
        if messages:
            self._begun()
            self._body = messages[-1][1]
            if any(_size(message) > HEAD_BYTES for message, _ in messages):
                raise _too_large()
        self._fruitless = 0 if messages or self._has_grown() else self._fruitless + len(data)
        if self._fruitless > HEAD_BYTES:
            self._give_up()
        return fed

    def _give_up(self) -> None:
        """Answer that it is too much; in the midst of a request there is nobody to answer it."""
        if not self._is_in_body():
            raise _too_large()
        self._cut()

    def _is_in_body(self) -> bool:
        return self._body is not None and not self._body.is_eof()

    def _has_grown(self) -> bool:
        before, self._body_bytes = self._body_bytes, getattr(self._body, "total_bytes", 0)
        return self._body_bytes != before


def _size(message: Any) -> int:
    """Bytes of a request's head, as sent but for spaces."""
    fields = sum(len(name) + len(value) + len(b": \r\n") for name, value in message.raw_headers)
    return len(message.method) + len(message.path) + fields


def _too_large() -> HttpProcessingError:
    return HttpProcessingError(code=400, message=f"the head of a request has {HEAD_BYTES} bytes at most")
