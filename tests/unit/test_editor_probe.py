# SPDX-License-Identifier: Apache-2.0
"""What an editor's folder holds was made by its container: it is asked, never trusted, and never waited for long."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from notebookd.adapters.editor import SocketEditor
from notebookd.ports.editor import Answer
from tests.values import NOTEBOOK_ID

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def folder() -> Iterator[Path]:
    """Short enough for the tests themselves to bind in."""
    with TemporaryDirectory() as base:
        made = Path(base) / "editors" / NOTEBOOK_ID
        made.mkdir(parents=True)
        yield made


@asynccontextmanager
async def editor(at: Path, answer: bytes, asked: list[bytes] | None = None) -> AsyncIterator[None]:
    """Answers ``answer`` to whatever it is asked; nothing at all when that is empty."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if asked is not None:
            asked.append(head)
        if answer:
            writer.write(answer)
        else:
            await reader.read()
        with suppress(ConnectionError):
            await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(serve, at)
    try:
        yield
    finally:
        server.close()
        for _ in range(10):  # let both ends of each connection go
            await asyncio.sleep(0)


async def ask(folder: Path) -> Answer:
    async with asyncio.timeout(5):
        return await SocketEditor(folder.parent).answers(NOTEBOOK_ID, "/api")


async def probe(folder: Path) -> bool:
    answer = await ask(folder)
    assert bool(answer.seen) is not answer.up, "what was seen is told exactly when it is not up"
    return answer.up


async def test_an_editor_that_answers_200_is_up(folder: Path) -> None:
    asked: list[bytes] = []
    async with editor(folder / "editor.sock", OK, asked):
        assert await probe(folder)
    assert asked[0].startswith(b"GET /api HTTP/1.1\r\nHost: localhost\r\n")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 Service Unavailable\r\n\r\n",
        b"HTTP/1.1 302 Found\r\n\r\n",
        b"HTTP/1.1 2000 Odd\r\n\r\n",
        b"\r\n",
        b"200",
        b"garbage" * 10_000,
        b"\xff\xfe\x00 200x",
    ],
)
async def test_anything_else_is_not_up(folder: Path, answer: bytes) -> None:
    async with editor(folder / "editor.sock", answer):
        assert not await probe(folder)


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "it is there, and answers 404 (Not Found) when it is asked for /api"),
        (b"HTTP/1.1 302 \x1b[31mGone\r\n\r\n", "it is there, and answers 302 (Found) when it is asked for /api"),
        (b"HTTP/1.1 599\r\n\r\n", "it is there, and answers 599 when it is asked for /api"),
        (b"\x15\x03\x01\x00\x02\x02F", "what it says when it is asked for /api is no answer of a web server"),
        (b"", "it says nothing for 1 s when it is asked for /api"),
    ],
)
async def test_what_an_editor_answers_instead_is_told_in_our_words(folder: Path, answer: bytes, seen: str) -> None:
    async with editor(folder / "editor.sock", answer):
        assert (await ask(folder)).seen == seen


async def test_a_socket_that_is_not_there_or_that_nobody_listens_on_is_told(folder: Path) -> None:
    assert (await ask(folder)).seen == "it has not made /run/editor/editor.sock, where it is awaited"
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(folder / "editor.sock"))
    assert (await ask(folder)).seen == "/run/editor/editor.sock cannot be reached: Connection refused"


async def test_an_editor_that_says_nothing_is_not_waited_for(folder: Path) -> None:
    async with editor(folder / "editor.sock", b""):
        assert not await probe(folder)


async def test_a_path_longer_than_an_address_is_reached(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 30) / NOTEBOOK_ID
    folder.mkdir(parents=True)
    before = Path.cwd()
    os.chdir(folder)
    try:
        async with editor(Path("editor.sock"), OK):
            assert await probe(folder)
    finally:
        os.chdir(before)


async def test_nothing_there_is_not_up(folder: Path) -> None:
    assert not await probe(folder)
    assert not await probe(folder.parent / "nobody")


async def test_a_dead_socket_is_not_up(folder: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as dead:
        dead.bind(str(folder / "editor.sock"))
    assert not await probe(folder)


async def test_a_link_to_another_socket_is_not_followed(folder: Path, tmp_path: Path) -> None:
    asked: list[bytes] = []
    async with editor(tmp_path / "engine.sock", OK, asked):
        (folder / "editor.sock").symlink_to(tmp_path / "engine.sock")
        assert not await probe(folder)
    assert asked == []


async def test_a_link_in_place_of_the_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    asked: list[bytes] = []
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.rmdir()
    folder.symlink_to(elsewhere)
    async with editor(elsewhere / "editor.sock", OK, asked):
        assert not await probe(folder)
    assert asked == []


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, os.mkfifo])
async def test_what_is_no_socket_is_not_up_and_does_not_block(folder: Path, make: object) -> None:
    make(folder / "editor.sock")  # type: ignore[operator]
    assert not await probe(folder)
