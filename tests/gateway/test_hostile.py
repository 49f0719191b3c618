# SPDX-License-Identifier: Apache-2.0
"""What a container may put in the place of its socket leads nowhere."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from .conftest import ALICE, BEARER, BOB, Deck, ToyEditor


def _replace(deck: Deck, kind: str, stack: ExitStack) -> None:
    folder = deck.runtime / "editors" / ALICE
    name = folder / "editor.sock"
    other = deck.runtime / "editors" / BOB
    if kind == "link-as-folder":
        folder.symlink_to(other)
        return
    folder.mkdir()
    match kind:
        case "link-to-socket":
            name.symlink_to(other / "editor.sock")
        case "relative-link":
            name.symlink_to(f"../{BOB}/editor.sock")
        case "link-to-link":
            (folder / "x").symlink_to(other / "editor.sock")
            name.symlink_to("x")
        case "file":
            name.write_text("HTTP/1.1 200 OK\r\n\r\n")
        case "fifo":
            os.mkfifo(name)
        case "directory":
            name.mkdir()
        case "device":
            name.symlink_to("/dev/zero")
        case "dead-socket":
            with socket.socket(socket.AF_UNIX) as dead:
                _bind(dead, name)
        case "datagram":
            _bind(stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)), name)
        case _:
            assert kind == "nothing"


def _open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _bind(one: socket.socket, path: Path) -> None:
    fd = os.open(path.parent, os.O_RDONLY)
    try:
        one.bind(f"/proc/self/fd/{fd}/{path.name}")
    finally:
        os.close(fd)


KINDS = [
    "link-to-socket",
    "relative-link",
    "link-to-link",
    "link-as-folder",
    "file",
    "fifo",
    "directory",
    "device",
    "dead-socket",
    "datagram",
    "nothing",
]


@pytest.mark.parametrize("kind", KINDS)
async def test_replaced_socket_is_a_502_and_reaches_nobody(deck: Deck, serve: Callable[[str], Any], kind: str) -> None:
    bob = await serve(BOB)
    with ExitStack() as stack:
        _replace(deck, kind, stack)
        before = _open_descriptors()
        async with asyncio.timeout(5):
            for method in ("GET", "POST"):
                async with deck.ask(method, "/", headers=BEARER, data=b"x" if method == "POST" else None) as answer:
                    assert answer.status == 502
                    assert "does not answer" in await answer.text()
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await deck.ws(headers=BEARER)
            assert refused.value.status == 502
        assert _open_descriptors() <= before + 2  # the client's own connections
    assert bob.seen == []


async def test_socket_swapped_while_running_is_refused_from_the_next_request_on(
    deck: Deck, editor: ToyEditor, serve: Callable[[str], Any]
) -> None:
    bob = await serve(BOB)
    async with deck.ask("GET", "/", headers=BEARER) as answer:
        assert answer.status == 200
    name = deck.runtime / "editors" / ALICE / "editor.sock"
    name.unlink()
    name.symlink_to(deck.runtime / "editors" / BOB / "editor.sock")
    async with deck.ask("GET", "/", headers=BEARER) as answer:
        assert answer.status == 502
    assert bob.seen == []


async def test_full_backlog_is_waited_for(deck: Deck) -> None:
    folder = deck.runtime / "editors" / ALICE
    folder.mkdir()
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        _bind(listener, folder / "editor.sock")
        listener.listen(0)
        waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
        fd = os.open(folder, os.O_RDONLY)
        waiting.connect(f"/proc/self/fd/{fd}/editor.sock")
        os.close(fd)
        listener.setblocking(False)
        loop = asyncio.get_running_loop()

        async def accept() -> None:
            await asyncio.sleep(0.2)
            first, _ = await loop.sock_accept(listener)
            stack.enter_context(first)
            second, _ = await loop.sock_accept(listener)
            stack.enter_context(second)
            await loop.sock_recv(second, 65536)
            await loop.sock_sendall(second, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        async with asyncio.TaskGroup() as group:
            group.create_task(accept())
            async with deck.ask("GET", "/", headers=BEARER) as answer:
                assert await answer.text() == "ok"


@pytest.mark.parametrize(
    "answered",
    [
        b"\x00\x01garbage\r\n\r\n",
        b"",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 9\r\n\r\nhello",
    ],
)
async def test_editor_that_speaks_no_http_is_a_502(deck: Deck, answered: bytes) -> None:
    async with _editor_that_says(deck, answered):
        for method in ("GET", "PUT"):
            async with deck.ask(method, "/", headers=BEARER, data=b"x" if method == "PUT" else None) as answer:
                assert answer.status == 502


OK = b"HTTP/1.1 200 OK\r\n"
BODY = b"Content-Length: 2\r\n\r\nok"


@pytest.mark.parametrize(
    "answered",
    [
        OK + b"X-A: a\rSet-Cookie: notebookd-session=x\r\n" + BODY,
        OK + b"X-A: a\0b\r\n" + BODY,
        OK + b"X A: a\r\n" + BODY,
        OK + b": a\r\n" + BODY,
        b"HTTP/1.1 200 OK\rX: y\r\n" + BODY,
        OK + b"Transfer-Encoding: chunked\r\n" + BODY,
        OK + b"".join(b"X-%d: y\r\n" % number for number in range(2000)) + BODY,
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: foo\r\nConnection: Upgrade\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"HTTP/1.1 999 X\r\n" + BODY,
        b"HTTP/1.1 600 X\r\n" + BODY,
        b"HTTP/1.1 000 X\r\n" + BODY,
        OK + b"Content-Length : 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        OK + b"X : a\r\n" + BODY,
        OK + b"X\t: a\r\n" + BODY,
        OK + b"X(: a\r\n" + BODY,
        OK + b"X\xe4: a\r\n" + BODY,
        OK + b"X: \x01\x1b[2J\x7f\r\n" + BODY,
        b"HTTP/1.1 200 \x1b[2J\r\n" + BODY,
        b"HTTP/2.0 200 OK\r\n" + BODY,
        *(
            OK + b"Transfer-Encoding: %s\r\n\r\n2\r\nok\r\n0\r\n\r\n" % encoding
            for encoding in (b"xchunked", b"chunked, identity", b"identity", b"chunked\r\nTransfer-Encoding: chunked")
        ),
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        *(OK + b"Content-Length: %s\r\n\r\nok" % length for length in (b"+2", b"2, 2", b"0x2", b"2_0", b"-1", b"")),
    ],
)
async def test_no_answer_that_can_be_read_in_two_ways_is_passed_on(deck: Deck, answered: bytes) -> None:
    async with _editor_that_says(deck, answered):
        request = (
            f"GET / HTTP/1.1\r\nHost: {deck.base()}\r\nAuthorization: Bearer secret-a\r\nConnection: close\r\n\r\n"
        )
        assert (await deck.raw(request.encode())).startswith(b"HTTP/1.1 502 ")


async def test_no_line_is_split_and_no_session_is_set_by_an_editor(deck: Deck) -> None:
    cookies = (
        b"notebookd-session=x",
        b" notebookd-session =x; Path=/",
        b"=notebookd-session=x",
        b"kept=1;Domain\t=\tlocalhost;domain=.localhost; Secure",
    )
    early = b"HTTP/1.1 103 Early Hints\r\nSet-Cookie: notebookd-session=x\r\n\r\n"
    trailed = b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nSet-Cookie: notebookd-session=x\r\n\r\n"
    head = b"".join(b"Set-Cookie: %s\r\n" % cookie for cookie in cookies)
    async with (
        _editor_that_says(deck, early + OK + head + trailed),
        deck.ask("GET", "/", headers=BEARER) as answer,
    ):
        assert answer.status == 200
        assert await answer.read() == b"ok"
        assert answer.headers.getall("Set-Cookie") == ["kept=1; Secure"]


async def test_a_folded_line_is_one_line_or_no_answer_at_all(deck: Deck) -> None:
    """aiohttp unfolds it; with asyncio's debugging on it refuses it."""
    folded = b"X-A: a\r\n Set-Cookie: notebookd-session=x\r\nContent-Length: 2\r\n\r\nok"
    async with _editor_that_says(deck, OK + folded), deck.ask("GET", "/", headers=BEARER) as answer:
        assert "Set-Cookie" not in answer.headers
        assert answer.status == 502 or answer.headers["X-A"] == "a Set-Cookie: notebookd-session=x"


@asynccontextmanager
async def _editor_that_says(deck: Deck, answered: bytes) -> AsyncIterator[None]:
    folder = deck.runtime / "editors" / ALICE
    folder.mkdir()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answered)
        writer.close()

    listener = socket.socket(socket.AF_UNIX)
    _bind(listener, folder / "editor.sock")
    async with await asyncio.start_unix_server(talk, sock=listener):
        yield
