# SPDX-License-Identifier: Apache-2.0
"""Questions about a hundred notebooks: the CLI's list, and requests over the socket with keep-alive."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from tests.bench.daemon import Daemon
from tests.bench.figures import Figure, ratio

NOTEBOOKS = 100
LISTINGS = 20
ROUNDS = 7
ROUND_S = 1.0
MOST_BARE = 2.5
BARE = """
import http.client, json, socket, sys
class There(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
there = There("localhost")
there.request("GET", "/v1/notebook?size=1000")
for each in json.load(there.getresponse())["items"]:
    print(each["id"], each["spec"]["name"], each["status"]["state"])
"""
"""The least program that lists them: what Python takes to start, to ask and to print."""


def measure_questions(daemon: Daemon) -> list[Figure]:
    """A hundred notebooks that wait for GPUs, all of which are drained."""
    with daemon.drained():
        ids = [daemon.create(f"bench-{number}") for number in range(NOTEBOOKS)]
        try:
            bare = [sys.executable, "-I", "-c", BARE, daemon.socket]
            pairs = [(_list_ms(["notebookctl", "list"]), _list_ms(bare)) for _ in range(LISTINGS)]
            one = _rate(lambda: daemon.raw("GET", f"/v1/notebook/{ids[0]}"))
            page = _rate(lambda: daemon.raw("GET", f"/v1/notebook?size={NOTEBOOKS}"))
        finally:
            daemon.delete_all()
    ours, theirs = zip(*pairs, strict=True)
    listed = Figure(name=f"notebookctl list of {NOTEBOOKS}", values=ours, unit="ms", digits=0)
    by_hand = Figure(name="  the least program that lists them", values=theirs, unit="ms", digits=0)
    return [
        listed,
        by_hand,
        ratio("  notebookctl over that", listed, by_hand, target=MOST_BARE),
        Figure(name="API: GET one, one client", values=one, unit="requests/s", digits=0),
        Figure(name=f"API: GET a page of {NOTEBOOKS}, one client", values=page, unit="requests/s", digits=0),
    ]


def _list_ms(command: list[str]) -> float:
    begun = time.perf_counter()
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    taken = (time.perf_counter() - begun) * 1000
    if printed.count("STARTING") < NOTEBOOKS:
        raise RuntimeError(f"{command[0]} shows {printed.count('STARTING')} notebooks of {NOTEBOOKS}")
    return taken


def _rate(ask: Callable[[], object]) -> tuple[float, ...]:
    rates = []
    for _ in range(ROUNDS):
        count, begun = 0, time.perf_counter()
        while (passed := time.perf_counter() - begun) < ROUND_S:
            ask()
            count += 1
        rates.append(count / passed)
    return tuple(rates)
