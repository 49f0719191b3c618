# SPDX-License-Identifier: Apache-2.0
"""Many clients of one socket at once, reading and writing, and one that follows the events: no error, and no gap."""

from __future__ import annotations

import asyncio
import json
import random
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.bench.daemon import Daemon
from tests.bench.figures import Figure

CLIENTS = 500
FOR_S = 30.0
NOTEBOOKS = 50
ALLOWED = frozenset({200, 204})
REFUSED_BY_RULE = frozenset({409})
"""A start of what is being stopped."""


@dataclass(slots=True)
class Crowd:
    """What came of it: latencies in seconds by what was asked, answers that were none of the allowed, how many were
    refusals by rule, and what the follower saw."""

    taken_s: dict[str, list[float]] = field(default_factory=dict)
    refused: int = 0
    errors: list[str] = field(default_factory=list)
    followed: list[int] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many requests there were."""
        return sum(map(len, self.taken_s.values()))

    @property
    def gaps(self) -> int:
        """How many ids the follower did not see between its first and its last."""
        return self.followed[-1] - self.followed[0] + 1 - len(set(self.followed)) if self.followed else 0

    @property
    def ordered(self) -> bool:
        """Whether each id was greater than the one before."""
        return all(one < other for one, other in zip(self.followed, self.followed[1:], strict=False))


def measure_crowd(daemon: Daemon) -> list[Figure]:
    """Against the daemon, with notebooks that wait for GPUs, all of which are drained."""
    with daemon.drained():
        ids = [daemon.create(f"bench-{number}") for number in range(NOTEBOOKS)]
        try:
            crowd = asyncio.run(run_crowd(daemon.socket, ids, clients=CLIENTS, for_s=FOR_S))
        finally:
            daemon.delete_all()
    if crowd.errors or crowd.gaps or not crowd.ordered:
        raise RuntimeError(f"{len(crowd.errors)} errors ({crowd.errors[:3]}), {crowd.gaps} events missed")
    figures = []
    for kind, taken in sorted(crowd.taken_s.items()):
        for part, name in ((0.5, "p50"), (0.99, "p99")):
            value = (within_ms(taken, part),)
            figures.append(Figure(name=f"{CLIENTS} clients: {kind}, {name}", values=value, unit="ms", digits=0))
    rate = (crowd.count / FOR_S,)
    figures.append(Figure(name=f"{CLIENTS} clients: requests, one in ten writes", values=rate, unit="/s", digits=0))
    seen = float(len(crowd.followed))
    return [
        *figures,
        Figure(name="events that a follower saw meanwhile, without a gap", values=(seen,), unit="", digits=0),
    ]


def within_ms(taken_s: list[float], part: float) -> float:
    """What that part of them took at most."""
    return 1000 * sorted(taken_s)[int(len(taken_s) * part)]


async def run_crowd(socket: str, notebooks: list[str], *, clients: int, for_s: float) -> Crowd:
    """So many clients, each with a connection of its own, for so long."""
    crowd = Crowd()
    connector = aiohttp.UnixConnector(socket, limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
    async with aiohttp.ClientSession("http://localhost", connector=connector, timeout=timeout) as session:
        ready = asyncio.Event()
        following = asyncio.create_task(_follow(session, crowd, ready))
        await ready.wait()
        until = time.perf_counter() + for_s
        await asyncio.gather(*(_ask(session, crowd, notebooks, until, number) for number in range(clients)))
        last = await _last_event(session)
        async with asyncio.timeout(60):
            while not crowd.followed or crowd.followed[-1] < last:
                await asyncio.sleep(0.05)
        following.cancel()
    return crowd


async def _follow(session: aiohttp.ClientSession, crowd: Crowd, ready: asyncio.Event) -> None:
    after = await _last_event(session)
    async with session.get("/v1/event", params={"follow": "true", "after": after}) as answer:
        ready.set()
        async for line in answer.content:
            if line.strip():
                crowd.followed.append(json.loads(line)["id"])


async def _last_event(session: aiohttp.ClientSession) -> int:
    async with session.get("/v1/event") as answer:
        lines = (await answer.read()).splitlines()
    return int(json.loads(lines[-1])["id"]) if lines else 0


async def _ask(session: aiohttp.ClientSession, crowd: Crowd, notebooks: list[str], until: float, number: int) -> None:
    chance = random.Random(number)
    await asyncio.sleep(chance.random() * 0.5)  # nobody's clients all come in the same instant
    while time.perf_counter() < until:
        kind, method, path, body = _wish(chance, chance.choice(notebooks), number)
        begun = time.perf_counter()
        await _one(session, crowd, method, path, body)
        crowd.taken_s.setdefault(kind, []).append(time.perf_counter() - begun)


def _wish(chance: random.Random, notebook: str, number: int) -> tuple[str, str, str, Any]:
    """What a client asks next: its kind, method, path and body."""
    path, wish = f"/v1/notebook/{notebook}", chance.random()
    if wish < 0.07:
        label = {"name": f"client-{number % 40}", "value": str(chance.getrandbits(30))}
        return "a label", "PUT", f"{path}/label", label
    if wish < 0.09:
        return "a change", "PUT", path, {"timeoutAutoRestart": chance.random() < 0.5}
    if wish < 0.10:
        return "a start or a stop", "PUT", f"{path}/{chance.choice(('start', 'stop'))}", None
    return ("one", "GET", path, None) if wish < 0.8 else ("a page of 20", "GET", "/v1/notebook?size=20", None)


async def _one(session: aiohttp.ClientSession, crowd: Crowd, method: str, path: str, body: Any = None) -> None:
    try:
        async with session.request(method, path, json=body) as answer:
            said = await answer.text()
            if answer.status in REFUSED_BY_RULE and path.endswith("/start"):
                crowd.refused += 1
            elif answer.status not in ALLOWED:
                crowd.errors.append(f"{method} {path}: {answer.status} {said}")
    except (aiohttp.ClientError, TimeoutError, OSError) as fault:
        crowd.errors.append(f"{method} {path}: {fault!r}")
