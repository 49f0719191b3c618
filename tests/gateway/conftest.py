# SPDX-License-Identifier: Apache-2.0
"""A gateway on loopback TCP in front of toy editors on real Unix sockets."""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from msgspec.structs import replace
from multidict import CIMultiDict

from notebookd.config import parse_config
from notebookd.gateway.listeners import listening
from notebookd.gateway.main import running
from notebookd.gateway.patience import Patience
from notebookd.routes import Activity, Route, find_activity, write_route

ALICE = "11111111-1111-4111-8111-111111111111"
BOB = "22222222-2222-4222-8222-222222222222"


def hash_of(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


@dataclass
class ToyEditor:
    """An editor that keeps what it saw, and the levers to make it answer."""

    notebook: str
    app: web.Application = field(default_factory=web.Application)
    seen: list[web.BaseRequest] = field(default_factory=list)
    raw: list[str] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    closes: list[int | None] = field(default_factory=list)
    pinged: asyncio.Event = field(default_factory=asyncio.Event)
    chunks: list[bytes] = field(default_factory=list)

    @property
    def headers(self) -> Any:
        return self.seen[-1].headers

    async def echo(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        self.raw.append(request.raw_path)
        body = await request.read()
        answer = web.Response(body=b"body:" + body, headers={"X-Notebook": self.notebook})
        answer.headers.add("Set-Cookie", "one=1; Path=/")
        answer.headers.add("Set-Cookie", "two=2; Domain=localhost; Path=/")
        answer.headers.add("Set-Cookie", "notebookd-session=stolen; Path=/")
        answer.headers["Keep-Alive"] = "timeout=9"
        return answer

    async def stream(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await answer.prepare(request)
        await answer.write(b"data: first\n\n")
        await self.go.wait()
        await answer.write(b"data: last\n\n")
        return answer

    async def quiet(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        try:
            await answer.write(b"one word")
            await self.go.wait()  # for ever: only a browser that leaves ends this
        finally:
            self.gone.set()
        return answer

    async def upload(self, request: web.Request) -> web.StreamResponse:
        async for chunk in request.content.iter_any():
            self.chunks.append(chunk)
            self.arrived.set()
        return web.Response(text=str(sum(map(len, self.chunks))))

    async def broken(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Length": "100"} if "length" in request.query else {})
        await answer.prepare(request)
        await answer.write(b"part")
        assert request.transport is not None
        request.transport.close()
        return answer

    async def bare(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=int(request.query["status"]), headers={"ETag": '"x"'})

    async def sized(self, request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x" * 12345)

    async def redirect(self, request: web.Request) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": f"http://{BOB}/ws"})

    async def ws(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(request)
        self.raw.append(request.raw_path)
        socket_ = web.WebSocketResponse(protocols=("v1.kernel",), max_msg_size=0, autoping=False)
        await socket_.prepare(request)
        async for message in socket_:
            if message.type is aiohttp.WSMsgType.TEXT:
                if message.data.startswith("close "):
                    await socket_.close(code=int(message.data[6:]), message=b"said so")
                elif message.data == "vanish":
                    assert request.transport is not None
                    request.transport.abort()
                else:
                    await socket_.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await socket_.send_bytes(message.data)
            elif message.type is aiohttp.WSMsgType.PING:
                self.pinged.set()
                await socket_.pong(message.data)
        self.closes.append(socket_.close_code)
        self.gone.set()
        return socket_


@dataclass
class Deck:
    """The running parts of a test."""

    runtime: Path
    port: int
    client: aiohttp.ClientSession
    stack: AsyncExitStack
    close_gateway: Callable[[], Coroutine[None, None, None]]
    clock: list[float]
    route: Route

    def base(self, notebook: str = ALICE) -> str:
        return f"{notebook}.localhost:{self.port}"

    def origin(self, notebook: str = ALICE) -> str:
        return f"http://{self.base(notebook)}"

    def publish(self, notebook: str = ALICE, *, token: str | None = "secret-a", **changes: Any) -> Route:
        values = {
            "notebook": notebook,
            "token_hash": None if token is None else hash_of(token),
            "session_key": hash_of(notebook),
            **changes,
        }
        route = replace(self.route, **values)
        write_route(self.runtime / "routes", route)
        return route

    def ask(self, method: str, target: str, *, host: str | None = None, headers: Any = None, **more: Any) -> Any:
        sent = CIMultiDict(headers or {})
        sent.setdefault("Host", self.base() if host is None else host)
        url = aiohttp.client.URL(f"http://127.0.0.1:{self.port}{target}", encoded=True)
        return self.client.request(method, url, headers=sent, allow_redirects=False, **more)

    def ws(self, target: str = "/ws", *, notebook: str = ALICE, headers: Any = None, **more: Any) -> Any:
        sent = {"Host": self.base(notebook), **(headers or {})}
        return self.client.ws_connect(f"http://127.0.0.1:{self.port}{target}", headers=sent, **more)

    async def log_in(self, token: str = "secret-a", *, notebook: str = ALICE) -> str:
        """The Cookie header value of a session."""
        async with self.ask("GET", f"/?token={token}", host=self.base(notebook)) as answer:
            assert answer.status == 303
            return f"notebookd-session={answer.cookies['notebookd-session'].value}"

    def activity(self, notebook: str = ALICE) -> Activity | None:
        return find_activity(self.runtime / "activity", notebook)

    async def raw(self, payload: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(payload)
            await writer.drain()
            async with asyncio.timeout(5):
                return await reader.read()
        finally:
            writer.close()


BEARER = {"Authorization": "Bearer secret-a"}


async def serve_editor(runtime: Path, notebook: str, editor: ToyEditor, stack: AsyncExitStack) -> Path:
    folder = runtime / "editors" / notebook
    folder.mkdir(parents=True, exist_ok=True)
    runner = web.AppRunner(
        editor.app, access_log=None, auto_decompress=False, handler_cancellation=True, shutdown_timeout=1
    )
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    listener = socket.socket(socket.AF_UNIX)
    fd = os.open(folder, os.O_RDONLY)
    try:
        listener.bind(f"/proc/self/fd/{fd}/editor.sock")
    finally:
        os.close(fd)
    await web.SockSite(runner, listener).start()
    return folder / "editor.sock"


@pytest.fixture
def clock() -> list[float]:
    return [1_700_000_000.0]


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """Deep on purpose: socket paths under it are longer than 108 bytes."""
    path = tmp_path / ("r" * 110)
    for name in ("editors", "routes", "activity"):
        (path / name).mkdir(parents=True)
    return path


@pytest.fixture
def patience() -> Patience:
    """With those who are slow."""
    return Patience()


@pytest.fixture
def settings() -> dict[str, str]:
    """Of the section gateway."""
    return {}


@pytest.fixture
async def deck(runtime: Path, clock: list[float], patience: Patience, settings: dict[str, str]) -> AsyncIterator[Deck]:
    async with AsyncExitStack() as stack:
        config = parse_config({"paths": {"runtime": str(runtime)}, "gateway": settings}, source=None)
        sockets = stack.enter_context(listening("127.0.0.1", 0, environ={}))
        serving = await stack.enter_async_context(AsyncExitStack())
        await serving.enter_async_context(running(config, sockets, now=lambda: clock[0], patience=patience))
        client = await stack.enter_async_context(
            aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=20),
            )
        )
        made = Deck(
            runtime=runtime,
            port=sockets.ports[0].getsockname()[1],
            client=client,
            stack=stack,
            close_gateway=serving.aclose,
            clock=clock,
            route=Route(
                notebook=ALICE,
                name="alices-book",
                owner="alice",
                owner_uid=os.getuid(),
                state="RUNNING",
                reason="because",
            ),
        )
        made.publish()
        yield made


@pytest.fixture
async def editor(deck: Deck) -> ToyEditor:
    """A toy editor behind ALICE."""
    return await serve_toy(deck, ALICE)


@pytest.fixture
def serve(deck: Deck) -> Callable[[str], Any]:
    return lambda notebook: serve_toy(deck, notebook)


async def serve_toy(deck: Deck, notebook: str) -> ToyEditor:
    toy = ToyEditor(notebook=notebook)
    for path in ("stream", "quiet", "upload", "broken", "bare", "sized", "redirect", "ws"):
        toy.app.router.add_route("*", f"/{path}", getattr(toy, path))
    toy.app.router.add_route("*", r"/{any:[\s\S]*}", toy.echo)
    await serve_editor(deck.runtime, notebook, toy, deck.stack)
    return toy
