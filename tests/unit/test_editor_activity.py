# SPDX-License-Identifier: Apache-2.0
"""An editor's word on its kernels comes out of a container: whatever is not a plain answer in full is Unknown."""

from __future__ import annotations

import asyncio
import gzip
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from notebookd.adapters.editor import SocketEditor
from notebookd.adapters.editor_activity import BODY_BYTES, MOST, TIMEOUT_S, jupyter_activity
from notebookd.domain.activity import ActivityApi, EditorActivity, EditorWord, Heartbeat
from notebookd.domain.observed import Known, Seen, Unknown
from tests.values import NOTEBOOK_ID

KERNEL = b'{"id": "k", "name": "python3", "execution_state": "idle", "last_activity": "2026-03-02T09:00:00.5Z"}'
Serve = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for the tests themselves to bind in."""
    with TemporaryDirectory() as base:
        made = Path(base) / "editors" / NOTEBOOK_ID
        made.mkdir(parents=True)
        yield made


@asynccontextmanager
async def editor(at: Path, serve: Serve) -> AsyncIterator[list[bytes]]:
    """Gives each request's head to ``serve``; the heads so far."""
    heads: list[bytes] = []
    open_writers: set[asyncio.StreamWriter] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_writers.add(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while not writer.is_closing():
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                await serve(heads[-1], writer)
        writer.transport.abort()
        open_writers.discard(writer)

    server = await asyncio.start_unix_server(answer, at)
    try:
        yield heads
    finally:
        server.close()
        for writer in open_writers:
            writer.transport.abort()
        async with asyncio.timeout(5):
            while open_writers:
                await asyncio.sleep(0.01)


def saying(kernels: bytes, terminals: bytes = b"[]", *, head: bytes = b"HTTP/1.1 200 OK\r\n") -> Serve:
    """A server that answers these two bodies."""

    async def serve(asked: bytes, writer: asyncio.StreamWriter) -> None:
        body = kernels if b"/api/kernels" in asked else terminals
        writer.write(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
        await writer.drain()

    return serve


async def ask(folder: Path, api: ActivityApi = ActivityApi.JUPYTER) -> Seen[EditorWord]:
    async with asyncio.timeout(TIMEOUT_S + 2):
        return await SocketEditor(folder.parent).activity(NOTEBOOK_ID, api)


async def ask_of(folder: Path, serve: Serve, api: ActivityApi = ActivityApi.JUPYTER) -> Seen[EditorWord]:
    async with editor(folder / "editor.sock", serve):
        return await ask(folder, api)


async def test_what_is_asked_is_no_activity_and_carries_nothing_of_ours(folder: Path) -> None:
    async with editor(folder / "editor.sock", saying(b"[]")) as heads:
        assert await ask(folder) == Known(EditorActivity())
    asked = [head.split(b"\r\n")[0] for head in heads]
    assert asked == [
        b"GET /api/kernels?no_track_activity=1 HTTP/1.1",
        b"GET /api/terminals?no_track_activity=1 HTTP/1.1",
    ]
    assert all(b"cookie" not in head.lower() and b"Host: localhost\r\n" in head for head in heads)


async def test_terminals_that_are_turned_off_are_none(folder: Path) -> None:
    async def serve(asked: bytes, writer: asyncio.StreamWriter) -> None:
        answer = b"200 OK" if b"/api/kernels" in asked else b"404 Not Found"
        writer.write(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 2\r\n\r\n[]")

    assert await ask_of(folder, serve) == Known(EditorActivity())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b"[null]",
        b"[{}]",
        b"<html>",
        b'{"kernels": []}',
        b"[" * 100_000,
        b'[{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]",
        b"[" + KERNEL,
        b"[" + KERNEL.replace(b'"python3"', b"7") + b"]",
        b"[" + KERNEL.replace(b'"last_activity"', b'"last"') + b"]",
        b"[" + KERNEL.replace(b"python3", b"p" * 1000) + b"]",
        b"[" + KERNEL.replace(b"python3", b"\xff\xfe") + b"]",
        b"[" + KERNEL.replace(b"python3", b"\\ud800") + b"]",
        b"[" + KERNEL.replace(b".5Z", b"") + b"]",
        b"[" + KERNEL.replace(b"2026-03-02", b"99999-03-02") + b"]",
        b"[" + KERNEL.replace(b"2026-03-02T09:00:00.5Z", b"now") + b"]",
        b"[" + b", ".join([KERNEL] * (MOST + 1)) + b"]",
        b"[" + b", ".join([KERNEL] * 1_000_000) + b"]",
        b"[" + b" " * BODY_BYTES + b"]",
        gzip.compress(b"[]", mtime=0),
    ],
    ids=lambda body: f"{body[:30]!r} of {len(body)}",
)
async def test_another_shape_is_unknown(folder: Path, body: bytes) -> None:
    for serve in (saying(body), saying(b"[]", body)):
        seen = await ask_of(folder, serve)
        assert isinstance(seen, Unknown)
        assert len(seen.reason) < 200


BEATS = b'{"status": "expired", "lastHeartbeat": 1772442000123}'


async def test_a_heartbeat_is_read_with_its_time(folder: Path) -> None:
    async with editor(folder / "editor.sock", saying(b"", BEATS)) as heads:
        seen = await ask(folder, ActivityApi.CODE_SERVER)
    assert seen == Known(Heartbeat(last_at=datetime(2026, 3, 2, 9, 0, 0, 123_000, UTC)))
    assert [head.split(b"\r\n")[0] for head in heads] == [b"GET /healthz HTTP/1.1"]
    assert b"cookie" not in heads[0].lower()


async def test_a_heart_that_never_beat_is_known(folder: Path) -> None:
    never = b'{"status": "expired", "lastHeartbeat": 0}'
    assert await ask_of(folder, saying(b"", never), ActivityApi.CODE_SERVER) == Known(Heartbeat())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"null",
        b"OK",
        BEATS.replace(b"expired", b"dead"),
        BEATS.replace(b'"expired"', b"null"),
        BEATS.replace(b"1772442000123", b"null"),
        BEATS.replace(b"1772442000123", b'"1772442000123"'),
        BEATS.replace(b"1772442000123", b"-1"),
        BEATS.replace(b"1772442000123", b"1e400"),
        BEATS.replace(b"1772442000123", b"9" * 30),
        BEATS.replace(b"1772442000123", b"1772442000.5"),
        b'{"status": "alive", "lastHeartbeat": 0}',
        BEATS.replace(b"lastHeartbeat", b"last_heartbeat"),
        BEATS + b" " * BODY_BYTES,
        gzip.compress(BEATS, mtime=0),
    ],
    ids=lambda body: f"{body[:60]!r} of {len(body)}",
)
async def test_a_heartbeat_of_another_shape_is_unknown(folder: Path, body: bytes) -> None:
    seen = await ask_of(folder, saying(b"", body), ActivityApi.CODE_SERVER)
    assert isinstance(seen, Unknown)
    assert len(seen.reason) < 200


async def test_a_login_page_is_no_heartbeat(folder: Path) -> None:
    away = b"HTTP/1.1 302 Found\r\nLocation: /login\r\n"
    assert isinstance(await ask_of(folder, saying(b"", BEATS, head=away), ActivityApi.CODE_SERVER), Unknown)


async def test_a_kernel_without_a_state_is_unknown(folder: Path) -> None:
    assert isinstance(await ask_of(folder, saying(b"[" + KERNEL.replace(b'"idle"', b"null") + b"]")), Unknown)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 302 Found\r\nLocation: /api/kernels2\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\n",
        b"HTTP/1.1 403 Forbidden\r\n",
        b"HTTP/1.1 404 Not Found\r\n",
        b"HTTP/1.1 500 Internal Server Error\r\n",
        b"HTTP/1.1 2000 Odd\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\xff\xfe\x00",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip, gzip\r\nTransfer-Encoding: gzip\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: x\r\n" * 100_000,
    ],
    ids=lambda head: f"{head[:60]!r} of {len(head)}",
)
async def test_an_answer_that_is_not_200_or_no_http_is_unknown(folder: Path, head: bytes) -> None:
    async with editor(folder / "editor.sock", saying(b"[]", head=head)) as heads:
        assert isinstance(await ask(folder), Unknown)
    assert all(b"no_track_activity=1" in asked for asked in heads), "a redirect was followed"


async def test_a_body_that_breaks_off_is_unknown(folder: Path) -> None:
    async def serve(asked: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[]")
        writer.close()

    assert isinstance(await ask_of(folder, serve), Unknown)


async def test_an_endless_body_is_read_no_further_than_its_bound(folder: Path) -> None:
    sent = 0

    async def serve(asked: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            await writer.drain()
            sent += 0x10000

    seen = await ask_of(folder, serve)
    assert isinstance(seen, Unknown)
    assert "more than" in seen.reason
    assert sent < 16 * BODY_BYTES


@pytest.mark.parametrize("drip", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
async def test_a_slow_drip_is_not_waited_for(folder: Path, drip: bytes) -> None:
    async def serve(asked: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(drip)
        while True:
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    async with editor(folder / "editor.sock", serve):
        with pytest.raises(TimeoutError):
            await jupyter_activity(str(folder / "editor.sock"), timeout_s=0.3)


async def test_an_editor_that_says_nothing_is_not_waited_for(folder: Path) -> None:
    async def serve(asked: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0)

    assert await ask_of(folder, serve) == Unknown("the editor did not answer in time")


async def test_a_link_to_another_socket_is_not_followed(folder: Path, tmp_path: Path) -> None:
    async with editor(tmp_path / "engine.sock", saying(b"[]")) as heads:
        (folder / "editor.sock").symlink_to(tmp_path / "engine.sock")
        assert isinstance(await ask(folder), Unknown)
    assert heads == []


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, os.mkfifo])
async def test_what_is_no_socket_is_unknown_and_does_not_block(folder: Path, make: Callable[[Path], None]) -> None:
    make(folder / "editor.sock")
    assert isinstance(await ask(folder), Unknown)
