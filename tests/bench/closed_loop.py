# SPDX-License-Identifier: Apache-2.0
"""Many clients of one socket, each with a connection of its own: it asks, waits for the answer, and asks again.

They share one thread and cost little beside the server, so what is measured is the server: a request is bytes made
beforehand, of an answer only the status and the length are looked at.
"""

from __future__ import annotations

import json
import random
import select
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

REFUSED_BY_RULE = 409
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Ask:
    """A request; ``kind`` is what its answers are counted as, ``refusable`` whether a conflict is an answer, too."""

    kind: str
    raw: bytes
    refusable: bool = False


@dataclass(slots=True)
class Answers:
    """What came of it: latencies in seconds by kind, in the order of the answers; answers that were none."""

    taken_s: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    lasted_s: float = 0.0

    def rate(self, *kinds: str) -> float:
        """Answers a second of these kinds, or of all."""
        return sum(len(taken) for kind, taken in self.taken_s.items() if not kinds or kind in kinds) / self.lasted_s


def ask_of(kind: str, method: str, path: str, body: object = None, *, refusable: bool = False) -> Ask:
    """A request as it is sent."""
    data = json.dumps(body).encode() if body is not None else b""
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n" if data else ""
    return Ask(kind, head.encode() + b"\r\n" + data, refusable)


def within_ms(taken_s: Iterable[float], part: float) -> float:
    """What that part of them took at most."""
    ordered = sorted(taken_s)
    return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * part))]


class _Client:
    """One connection and what it waits for."""

    __slots__ = ("ask", "asked_at", "chance", "received", "there")

    def __init__(self, path: str, seed: int) -> None:
        self.there = socket.socket(socket.AF_UNIX)
        self.there.connect(path)
        self.chance = random.Random(seed)
        self.received = b""
        self.asked_at = 0.0
        self.ask: Ask | None = None


def ask_in_turn(
    path: str,
    next_ask: Callable[[random.Random, int], Ask],
    *,
    clients: int,
    for_s: float,
    pause_s: float = 0.0,
) -> Answers:
    """So many clients for so long. With ``pause_s`` each begins a request that often, however quickly it is answered:
    two servers so get the same load, as long as both keep up."""
    answers, poll = Answers(), select.epoll()
    crowd = [_Client(path, number) for number in range(clients)]
    by_fd = {client.there.fileno(): (number, client) for number, client in enumerate(crowd)}
    for fd in by_fd:
        poll.register(fd, select.EPOLLIN)
    begun = time.perf_counter()
    until, spread = begun + for_s, pause_s or min(0.5, for_s / 4)
    due = sorted(((begun + spread * number / clients, number) for number in range(clients)), reverse=True)
    waiting = 0
    while True:
        now = time.perf_counter()
        while due and due[-1][0] <= now < until:
            _, number = due.pop()
            _send(crowd[number], next_ask(crowd[number].chance, number))
            waiting += 1
        if now >= until and not waiting:
            break
        if now > until + _PATIENCE_S:
            answers.errors.append(f"{waiting} requests were never answered")
            break
        patience_s = max(0.0, due[-1][0] - now) if due and now < until else 0.5
        came = poll.poll(patience_s)
        now = time.perf_counter()
        for fd, _ in came:
            number, client = by_fd[fd]
            if not _receive(client, answers, now):
                continue
            if now >= until:
                waiting -= 1
            elif pause_s:
                waiting -= 1
                _insert(due, (max(now, client.asked_at + pause_s), number))
            else:
                _send(client, next_ask(client.chance, number))
    answers.lasted_s = time.perf_counter() - begun
    for client in crowd:
        client.there.close()
    poll.close()
    return answers


def _insert(due: list[tuple[float, int]], what: tuple[float, int]) -> None:
    low, high = 0, len(due)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if due[middle] > what else (low, middle)
    due.insert(low, what)


def _send(client: _Client, ask: Ask) -> None:
    client.ask = ask
    client.asked_at = time.perf_counter()
    client.there.sendall(ask.raw)


def _receive(client: _Client, answers: Answers, now: float) -> bool:
    """Whether the whole answer is there; then it is counted."""
    data = client.there.recv(1 << 18)
    if not data:
        raise RuntimeError(f"the server closed a connection; so far: {answers.errors[:3]}")
    client.received = client.received + data if client.received else data
    head, ended, body = client.received.partition(b"\r\n\r\n")
    if not ended or len(body) < _length_of(head):
        return False
    ask = client.ask
    assert ask is not None
    status = int(head[9:12])
    if status >= 300 and not (ask.refusable and status == REFUSED_BY_RULE):
        answers.errors.append(f"{ask.raw[:80]!r}: {status} {body[:200]!r}")
    answers.taken_s.setdefault(ask.kind, []).append(now - client.asked_at)
    client.received = b""
    return True


def _length_of(head: bytes) -> int:
    place = head.lower().find(b"\r\ncontent-length:")
    return int(head[place + 17 :].split(b"\r\n", 1)[0]) if place >= 0 else 0
