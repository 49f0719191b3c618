# SPDX-License-Identifier: Apache-2.0
"""Many clients of one socket at once, reading and writing, and one that follows the events: no error, and no gap.

The daemon is one of its own (:mod:`tests.bench.apart`), over a machine in memory and a real disk. All GPUs are drained,
so every notebook waits. NOTEBOOKD_BENCH_BEFORE names a checkout of another version, and has both loaded in turn.

Clients that ask again as soon as they are answered load a daemon as far as it goes. Then all their waits together are
as long as there are clients, however quick it is: where changes do not wait any more, reads do. So both versions are
also asked at the pace of people, which both can keep.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import apart
from tests.bench.closed_loop import Answers, Ask, ask_in_turn, ask_of, within_ms
from tests.bench.control import commits_s, scratch
from tests.bench.daemon import SocketConnection
from tests.bench.figures import Figure, ratio
from tests.bench.report import CHECKOUT

CROWDS = (300, 500)
FOR_S = 30.0
WRITERS, WRITE_FOR_S = 200, 5.0
ROUNDS = 3
PACE_S = 0.5
"""How often each of the 300 asks who ask at the pace of people."""
NOTEBOOKS = 50
COMMITS = 200
MOST_P50, MOST_P99 = 10.0, 4.0
MOST_ALONE, LEAST_TOGETHER, MOST_PACED = 1.3, 10 / 3, 1.1
BEFORE = "NOTEBOOKD_BENCH_BEFORE"
CHANGES = ("a label", "a change", "a start or a stop")
READS = ("one", "a page of 20")

Wish = Callable[[random.Random, int], Ask]


@dataclass(slots=True)
class Crowd:
    """What came of it: the answers, and the ids that the follower saw."""

    answers: Answers
    followed: list[int] = field(default_factory=list)

    @property
    def gaps(self) -> int:
        """How many ids the follower did not see between its first and its last."""
        return self.followed[-1] - self.followed[0] + 1 - len(set(self.followed)) if self.followed else 0

    @property
    def ordered(self) -> bool:
        """Whether each id was greater than the one before."""
        return all(one < other for one, other in zip(self.followed, self.followed[1:], strict=False))

    def taken(self, kinds: tuple[str, ...]) -> list[float]:
        """What answers of these kinds took, in seconds."""
        return [each for kind in kinds for each in self.answers.taken_s.get(kind, ())]


@dataclass(slots=True)
class _Tree:
    """What was measured of a version, in the order of the rounds."""

    alone_ms: list[float] = field(default_factory=list)
    changes_per_s: list[float] = field(default_factory=list)
    reads_per_s: list[float] = field(default_factory=list)
    paced_p50_ms: list[float] = field(default_factory=list)
    paced_p99_ms: list[float] = field(default_factory=list)


def measure_crowd() -> list[Figure]:
    """The crowds; then one client and many who only change, beside bare commits or another version."""
    figures = [figure for clients in CROWDS for figure in _one_crowd(clients)]
    before = os.environ.get(BEFORE)
    trees = {checkout: _Tree() for checkout in (before, str(CHECKOUT)) if checkout}
    commits: list[float] = []
    for _ in range(ROUNDS):
        with scratch() as folder:
            commits += [1000 * each for each in commits_s(folder, COMMITS, statements=2)]
        for checkout, tree in trees.items():
            _measure(Path(checkout), tree)
    ours = trees[str(CHECKOUT)]
    bare = Figure(name="  a bare synced commit of two rows", values=tuple(commits), unit="ms")
    alone = _figure("one client: a change, p50", ours.alone_ms, "ms")
    together = _figure(f"{WRITERS} clients that only change", ours.changes_per_s, "/s", digits=0)
    figures += [alone, bare, ratio("  of that", alone, bare), together]
    return figures + (_beside(ours, trees[before]) if before else [])


def _one_crowd(clients: int) -> list[Figure]:
    with serving(CHECKOUT) as (socket, notebooks):
        crowd = run_crowd(socket, notebooks, clients=clients, for_s=FOR_S)
    _require_sound(crowd)
    shown: dict[tuple[str, str], Figure] = {}
    for what, kinds in (("reads", READS), ("changes", CHANGES)):
        for name, part in (("p50", 0.5), ("p99", 0.99)):
            value = (within_ms(crowd.taken(kinds), part),)
            shown[what, name] = Figure(name=f"{clients} clients: {what}, {name}", values=value, unit="ms", digits=0)
    return [
        *shown.values(),
        ratio("  changes beside reads, p50", shown["changes", "p50"], shown["reads", "p50"], target=MOST_P50),
        ratio("  changes beside reads, p99", shown["changes", "p99"], shown["reads", "p99"], target=MOST_P99),
        _figure("  requests, one in ten a change", [crowd.answers.rate()], "/s", digits=0),
        _figure("  events that a follower saw, without a gap", [float(len(crowd.followed))], "", digits=0),
    ]


def _measure(checkout: Path, tree: _Tree) -> None:
    with serving(checkout) as (socket, notebooks):
        alone = ask_in_turn(socket, only_labels(notebooks), clients=1, for_s=WRITE_FOR_S)
        together = ask_in_turn(socket, only_labels(notebooks), clients=WRITERS, for_s=WRITE_FOR_S)
        full = run_crowd(socket, notebooks, clients=CROWDS[0], for_s=WRITE_FOR_S)
        paced = run_crowd(socket, notebooks, clients=CROWDS[0], for_s=WRITE_FOR_S, pause_s=PACE_S)
    _require_sound(full)
    _require_sound(paced)
    tree.alone_ms.append(within_ms(alone.taken_s["a label"], 0.5))
    tree.changes_per_s.append(together.rate())
    tree.reads_per_s.append(full.answers.rate(*READS))
    tree.paced_p50_ms.append(within_ms(paced.taken(READS), 0.5))
    tree.paced_p99_ms.append(within_ms(paced.taken(READS), 0.99))


def _beside(ours: _Tree, before: _Tree) -> list[Figure]:
    return [
        *_pair("one client: a change, p50", ours.alone_ms, before.alone_ms, "ms", target=MOST_ALONE),
        *_pair(
            f"{WRITERS} clients that only change",
            ours.changes_per_s,
            before.changes_per_s,
            "/s",
            target=LEAST_TOGETHER,
            at_least=True,
        ),
        *_pair(
            f"{CROWDS[0]} clients: reads", ours.reads_per_s, before.reads_per_s, "/s", target=1 / 1.1, at_least=True
        ),
        *_pair("  at the pace of people: reads, p50", ours.paced_p50_ms, before.paced_p50_ms, "ms", target=MOST_PACED),
        *_pair("  at the pace of people: reads, p99", ours.paced_p99_ms, before.paced_p99_ms, "ms", target=MOST_PACED),
    ]


def _pair(
    name: str, ours: list[float], before: list[float], unit: str, *, target: float, at_least: bool = False
) -> list[Figure]:
    was, now = _figure(f"{name}, before", before, unit), _figure(f"{name}, now", ours, unit)
    return [was, now, ratio("  of that", now, was, target=target, at_least=at_least)]


def _figure(name: str, measured: list[float], unit: str, digits: int = 1) -> Figure:
    return Figure(name=name, values=tuple(measured), unit=unit, digits=digits)


def _require_sound(crowd: Crowd) -> None:
    errors = crowd.answers.errors
    if errors or crowd.gaps or not crowd.ordered:
        raise RuntimeError(f"{len(errors)} errors ({errors[:3]}), {crowd.gaps} events missed")


@contextmanager
def serving(checkout: Path) -> Iterator[tuple[str, list[str]]]:
    """The socket of a daemon of that checkout's version, and its notebooks."""
    with scratch() as folder:
        command = [sys.executable, apart.__file__, str(folder)]
        with subprocess.Popen(command, cwd=checkout, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as there:
            assert there.stdin is not None
            assert there.stdout is not None
            try:
                if there.stdout.readline().strip() != "READY":
                    raise RuntimeError(f"the daemon of {checkout} did not come up")
                socket = str(folder / "api.sock")
                yield socket, _fill(socket)
            finally:
                there.stdin.close()


def _fill(socket: str) -> list[str]:
    connection = SocketConnection(socket)

    def call(method: str, path: str, body: Any = None) -> Any:
        connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
        answer = connection.getresponse()
        said = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {said!r}")
        return json.loads(said) if said else None

    for gpu in call("GET", "/v1/gpu")["items"]:
        call("PUT", f"/v1/gpu/{gpu['uuid']}/drain")
    spec = {"env": {"editorId": "jupyterlab", "frameworkId": "conda"}, "resources": {"gpu": 1}}
    made = [call("POST", "/v1/notebook", {**spec, "name": f"bench-{number}"})["id"] for number in range(NOTEBOOKS)]
    connection.close()
    return made


def run_crowd(socket: str, notebooks: list[str], *, clients: int, for_s: float, pause_s: float = 0.0) -> Crowd:
    """So many clients, each with a connection of its own, for so long; ``pause_s`` as :func:`ask_in_turn` has it."""
    following = _Follower(socket)
    following.start()
    following.ready.wait(60)
    answers = ask_in_turn(socket, mixed(notebooks), clients=clients, for_s=for_s, pause_s=pause_s)
    following.last = _last_event(socket)
    following.join(60)
    if following.is_alive():
        answers.errors.append(f"the follower never saw event {following.last}")
    return Crowd(answers, following.seen)


class _Follower(threading.Thread):
    """Follows the events until it has seen the ``last``."""

    def __init__(self, socket: str) -> None:
        super().__init__(daemon=True)
        self._socket = socket
        self.ready = threading.Event()
        self.seen: list[int] = []
        self.last: int | None = None

    def run(self) -> None:
        after = _last_event(self._socket)
        connection = SocketConnection(self._socket)
        connection.request("GET", f"/v1/event?follow=true&after={after}")
        answer = connection.getresponse()
        assert connection.sock is not None
        connection.sock.settimeout(1.0)
        self.ready.set()
        seen = after
        while self.last is None or seen < self.last:
            line = _line(answer)
            if line:
                seen = int(json.loads(line)["id"])
                self.seen.append(seen)
        connection.close()


def _line(answer: http.client.HTTPResponse) -> bytes:
    """The next line; none where none comes for a second."""
    try:
        return answer.readline().strip()
    except TimeoutError:
        return b""


def _last_event(socket: str) -> int:
    connection = SocketConnection(socket)
    connection.request("GET", "/v1/event")
    lines = connection.getresponse().read().splitlines()
    connection.close()
    return int(json.loads(lines[-1])["id"]) if lines else 0


def only_labels(notebooks: list[str]) -> Wish:
    """Whoever asks sets a label of their own."""

    def wish(chance: random.Random, number: int) -> Ask:
        label = {"name": f"client-{number % 40}", "value": str(chance.getrandbits(30))}
        return ask_of("a label", "PUT", f"/v1/notebook/{chance.choice(notebooks)}/label", label)

    return wish


def mixed(notebooks: list[str]) -> Wish:
    """One in ten changes something."""
    label = only_labels(notebooks)

    def wish(chance: random.Random, number: int) -> Ask:
        path, which = f"/v1/notebook/{chance.choice(notebooks)}", chance.random()
        if which < 0.07:
            return label(chance, number)
        if which < 0.09:
            return ask_of("a change", "PUT", path, {"timeoutAutoRestart": chance.random() < 0.5})
        if which < 0.10:
            verb = chance.choice(("start", "stop"))
            return ask_of("a start or a stop", "PUT", f"{path}/{verb}", refusable=verb == "start")
        return ask_of("one", "GET", path) if which < 0.8 else ask_of("a page of 20", "GET", "/v1/notebook?size=20")

    return wish
