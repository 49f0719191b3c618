# SPDX-License-Identifier: Apache-2.0
"""What the API adds to aiohttp: one notebook and a page of a hundred, and a bare handler that sends the same bytes.

In the same run and process, one after the other, with a client of its own process on the same CPUs. No Podman: a house
over a fake machine, whose API, services and SQLite are the real ones, and whose clock goes.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import statistics
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from notebookd.testing.house import make_world
from tests.api.caller import SPEC, Api, open_api
from tests.bench.control import scratch
from tests.bench.figures import Figure, ratio

NOTEBOOKS = 100
ROUNDS = 5
ROUND_S = 1.0
LEAST_ONE, LEAST_PAGE = 0.35, 0.18


def measure_serving(rounds: int = ROUNDS, round_s: float = ROUND_S) -> list[Figure]:
    """Rates, and what part of a bare handler's rate they are."""
    with scratch() as folder:
        return asyncio.run(_measure(folder, rounds, round_s))


async def _measure(folder: Path, rounds: int, round_s: float) -> list[Figure]:
    async with open_api(make_world(folder), folder / "api.sock", None) as api:
        for _ in range(NOTEBOOKS):
            await api.call("POST", "/v1/notebook", SPEC)
        first = (await api.call("GET", "/v1/notebook?size=1")).body["items"][0]["id"]
        targets = (("GET one", f"/v1/notebook/{first}", LEAST_ONE), ("GET a page", "/v1/notebook?size=100", LEAST_PAGE))
        figures: list[Figure] = []
        for name, target, least in targets:
            figures += await _beside_bare(api, folder, name, target, least, rounds, round_s)
        return figures


async def _beside_bare(
    api: Api, folder: Path, name: str, target: str, least: float, rounds: int, round_s: float
) -> list[Figure]:
    async with api.session.get(f"http://localhost{target}") as answer:
        body = await answer.read()
    app = web.Application()
    app.router.add_get("/", _handler(body))
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    path = folder / "bare.sock"
    await web.UnixSite(runner, str(path)).start()
    ours, bare = [], []
    try:
        for _ in range(rounds):  # turn by turn, so that a busy machine is one for both
            bare.append(await asyncio.to_thread(_in_a_process, path, "/", round_s))
            ours.append(await _with_time(api, lambda: asyncio.to_thread(_in_a_process, api.socket, target, round_s)))
    finally:
        await runner.cleanup()
        path.unlink(missing_ok=True)
    own = Figure(name=f"API: {name}, by itself", values=tuple(ours), unit="requests/s", digits=0)
    handler = Figure(name=f"aiohttp: the same {len(body):,} bytes", values=tuple(bare), unit="requests/s", digits=0)
    return [own, handler, ratio(f"  {name}, of that", own, handler, target=least, at_least=True)]


async def _with_time(api: Api, measured: Callable[[], Awaitable[float]]) -> float:
    """With a clock that goes, in tenths of a second: what is remembered for a second is made anew after it."""

    async def go_on() -> None:
        while True:
            await asyncio.sleep(0.1)
            api.world.clock.step(0.1)

    ticking = asyncio.create_task(go_on())
    try:
        return await measured()
    finally:
        ticking.cancel()


def _handler(body: bytes) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    return answer


def _in_a_process(path: Path, target: str, round_s: float) -> float:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        return pool.apply(rate, (str(path), target, round_s))


def rate(path: str, target: str, round_s: float) -> float:
    """Requests a second of one client that keeps its connection."""
    request = f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    with socket.socket(socket.AF_UNIX) as there:
        there.connect(path)
        for _ in range(20):
            _ask(there, request)
        count, begun = 0, time.perf_counter()
        while (passed := time.perf_counter() - begun) < round_s:
            _ask(there, request)
            count += 1
        return count / passed


def _ask(there: socket.socket, request: bytes) -> None:
    there.sendall(request)
    received = b""
    while b"\r\n\r\n" not in received:
        received += there.recv(65536)
    head, _, rest = received.partition(b"\r\n\r\n")
    status, *lines = head.split(b"\r\n")
    if b" 200 " not in status:
        raise RuntimeError(f"the answer is {status!r}")
    length = next(int(line.split(b":")[1]) for line in lines if line.lower().startswith(b"content-length:"))
    got = len(rest)
    while got < length:
        got += len(there.recv(1 << 20))


def median_part(figures: list[Figure], name: str) -> float:
    """The median of a figure by the word in its name."""
    (found,) = (each for each in figures if each.unit == "x" and name in each.name)
    return statistics.median(found.values)
