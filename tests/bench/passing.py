# SPDX-License-Identifier: Apache-2.0
"""What the gateway costs: an editor's download and its websocket, through it and by the editor's own socket, in turn.

The download is JupyterLab's. For the rest the editor is a bare aiohttp server, which is quicker than any real one, and
so hides nothing of what the gateway adds; it, a gateway and the client are processes of their own.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import socket
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from notebookd.routes import Route, write_route
from tests.bench.control import loop_s, scratch
from tests.bench.daemon import Daemon
from tests.bench.figures import Figure, ratio

ROUNDS = 9
DOWNLOAD_BYTES = 256 * 1024**2
FILL = f"head -c {DOWNLOAD_BYTES} /dev/urandom >large.bin"
SMALL = b"x" * 200
LARGE = b"x" * 1024 * 1024
MESSAGES = 400
LARGE_MESSAGES = 64
LEAST = 0.7
MOST_LOOPS = 0.125
"""By how much an answer may be later through the gateway: 1 ms where the loop takes 8."""
TOKEN = "bench"
PATIENCE_S = 20.0
Measure = Callable[["Ways", bool], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ways:
    """The two to one editor. ``port`` is the gateway's."""

    editor: Path
    port: int
    notebook: str
    token: str = TOKEN

    @property
    def host(self) -> str:
        """Of the notebook, at the gateway."""
        return f"{self.notebook}.localhost:{self.port}"

    def head(self, *, by_gateway: bool) -> dict[str, str]:
        """What a request bears: to the gateway a token; to JupyterLab the pair that the gateway would add."""
        if by_gateway:
            return {"Host": self.host, "Authorization": f"Bearer {self.token}"}
        return {"Host": "localhost", "Cookie": "_xsrf=bench", "X-XSRFToken": "bench"}

    def connect(self, *, by_gateway: bool) -> socket.socket:
        """A connection by either."""
        if by_gateway:
            return socket.create_connection(("127.0.0.1", self.port), PATIENCE_S)
        there = socket.socket(socket.AF_UNIX)
        there.settimeout(PATIENCE_S)
        there.connect(str(self.editor))
        return there


def measure_passing(daemon: Daemon, rounds: int = ROUNDS) -> list[Figure]:
    """A download of 256 MiB from JupyterLab; a small answer, small messages there and back, and large ones."""
    with _jupyterlab(daemon) as ways:
        name = "JupyterLab, a download of 256 MiB"
        figures = _beside(name, "MB/s", [_pair(_download, ways) for _ in range(rounds)])
    with scratch() as folder, _standing(folder) as ways:
        return [
            *figures,
            *_later("a small answer", [_pair(_first_byte_ms, ways) for _ in range(rounds)]),
            *asyncio.run(_websockets(ways, rounds)),
        ]


def _pair(measure: Measure, ways: Ways) -> tuple[float, float]:
    return measure(ways, False), measure(ways, True)


def _beside(name: str, unit: str, pairs: list[tuple[float, float]]) -> list[Figure]:
    direct, ours = zip(*pairs, strict=True)
    by_socket = Figure(name=f"{name}: the editor's socket", values=direct, unit=unit, digits=0)
    by_gateway = Figure(name=f"{name}: the gateway", values=ours, unit=unit, digits=0)
    return [
        by_socket,
        by_gateway,
        ratio("  gateway, of the socket", by_gateway, by_socket, target=LEAST, at_least=True),
    ]


def _later(name: str, pairs: list[tuple[float, float]]) -> list[Figure]:
    """What the gateway adds, in calibrated loops."""
    loops = [loop_s() * 1000 for _ in pairs]
    direct, ours = zip(*pairs, strict=True)
    added = Figure(name="  the gateway adds", values=tuple(two - one for one, two in pairs), unit="ms", digits=2)
    return [
        Figure(name=f"{name}: the editor's socket", values=direct, unit="ms", digits=2),
        Figure(name=f"{name}: the gateway", values=ours, unit="ms", digits=2),
        added,
        ratio("  in calibrated loops", added, Figure(name="", values=tuple(loops), unit="ms"), target=MOST_LOOPS),
    ]


@contextmanager
def _jupyterlab(daemon: Daemon) -> Iterator[Ways]:
    """A running JupyterLab with a large file."""
    notebook = daemon.create("bench-passing")
    try:
        daemon.await_running(notebook)
        subprocess.run(["notebookctl", "exec", notebook, "--", "sh", "-c", FILL], check=True, capture_output=True)
        yield Ways(
            editor=Path(os.environ["NOTEBOOKD_RUN"], "run", "editors", notebook, "editor.sock"),
            port=int(os.environ["NOTEBOOKD_GATEWAY"].rpartition(":")[2]),
            notebook=notebook,
            token=daemon.call("GET", f"/v1/notebook/{notebook}/access")["token"],
        )
    finally:
        daemon.delete_all()


@contextmanager
def _standing(folder: Path) -> Iterator[Ways]:
    """Editor and gateway, up."""
    notebook = str(uuid.uuid4())
    for name in ("editors", "routes", "activity"):
        (folder / name).mkdir()
    editors = folder / "editors" / notebook
    editors.mkdir()
    route = Route(
        notebook=notebook,
        name="bench",
        owner="root",
        owner_uid=os.getuid(),
        state="RUNNING",
        token_hash=hashlib.sha256(TOKEN.encode()).hexdigest(),
        session_key=hashlib.sha256(b"key").hexdigest(),
    )
    write_route(folder / "routes", route)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    config = folder / "notebookd.toml"
    config.write_text(
        f'[paths]\nruntime = "{folder}"\nstate = "{folder}/state"\n[gateway]\nlisten = "127.0.0.1:{port}"\n'
    )
    ways = Ways(editor=editors / "editor.sock", port=port, notebook=notebook)
    with ExitStack() as stack:
        for words in (
            ("-m", "tests.bench.toy_editor", str(ways.editor)),
            ("-m", "notebookd.gateway.main", "--config", str(config)),
        ):
            with (folder / "log").open("ab") as log:
                process = subprocess.Popen([sys.executable, *words], stderr=log)
            stack.callback(process.wait, 10)
            stack.callback(process.terminate)
        _await(ways, folder / "log")
        yield ways


def _await(ways: Ways, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    for by_gateway in (False, True):
        while True:
            try:
                ways.connect(by_gateway=by_gateway).close()
                break
            except OSError as error:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"nothing listens: {log.read_text()[-500:]}") from error
                time.sleep(0.02)


def _asked(ways: Ways, target: str, by_gateway: bool) -> tuple[socket.socket, bytes]:
    """A connection on which the head of the answer came, and what of its body came with it."""
    there = ways.connect(by_gateway=by_gateway)
    head = "".join(f"{name}: {value}\r\n" for name, value in ways.head(by_gateway=by_gateway).items())
    there.sendall(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode())
    received = b""
    while b"\r\n\r\n" not in received:
        received += there.recv(65536)
    head_bytes, _, rest = received.partition(b"\r\n\r\n")
    if b" 200 " not in head_bytes.split(b"\r\n")[0]:
        raise RuntimeError(f"the answer is {head_bytes!r}")
    return there, rest


def _download(ways: Ways, by_gateway: bool) -> float:
    """MB/s."""
    begun = time.perf_counter()
    there, rest = _asked(ways, "/files/large.bin", by_gateway)
    with there:
        got, room = len(rest), memoryview(bytearray(1024 * 1024))
        while got < DOWNLOAD_BYTES:
            count = there.recv_into(room)
            if not count:
                raise RuntimeError("the download was cut short")
            got += count
    return DOWNLOAD_BYTES / (time.perf_counter() - begun) / 1e6


def _first_byte_ms(ways: Ways, by_gateway: bool) -> float:
    """A median of many requests, each with a connection of its own."""
    taken = []
    for _ in range(MESSAGES // 4):
        begun = time.perf_counter()
        _asked(ways, "/small", by_gateway)[0].close()
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)


async def _websockets(ways: Ways, rounds: int) -> list[Figure]:
    connector = aiohttp.UnixConnector(str(ways.editor))
    async with (
        aiohttp.ClientSession("http://localhost", connector=connector) as direct,
        aiohttp.ClientSession(f"http://127.0.0.1:{ways.port}") as through,
        direct.ws_connect("/echo", max_msg_size=0) as one,
        through.ws_connect("/echo", max_msg_size=0, headers=ways.head(by_gateway=True)) as other,
    ):
        small = [(await _there_and_back_ms(one), await _there_and_back_ms(other)) for _ in range(rounds)]
        large = [(await _flow(one), await _flow(other)) for _ in range(rounds)]
        return [
            *_later("a websocket's message of 200 bytes, there and back", small),
            *_beside("a websocket's messages of 1 MiB, there and back", "MB/s", large),
        ]


async def _there_and_back_ms(there: aiohttp.ClientWebSocketResponse) -> float:
    """A median of many, one after another."""
    taken = []
    for _ in range(MESSAGES):
        begun = time.perf_counter()
        await there.send_bytes(SMALL)
        assert await there.receive_bytes() == SMALL
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)


async def _flow(there: aiohttp.ClientWebSocketResponse) -> float:
    """MB/s of large messages that are echoed, sent and received at once."""

    async def send() -> None:
        for _ in range(LARGE_MESSAGES):
            await there.send_bytes(LARGE)

    begun = time.perf_counter()
    sending = asyncio.create_task(send())
    for _ in range(LARGE_MESSAGES):
        assert len(await there.receive_bytes()) == len(LARGE)
    await sending
    return LARGE_MESSAGES * len(LARGE) / (time.perf_counter() - begun) / 1e6
