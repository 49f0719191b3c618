# SPDX-License-Identifier: Apache-2.0
"""Questions about a hundred notebooks: the CLI's list, and requests over the socket with keep-alive."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

from tests.bench.daemon import Daemon
from tests.bench.figures import Figure

NOTEBOOKS = 100
LISTINGS = 20
ROUNDS = 7
ROUND_S = 1.0
LONGEST_LIST_MS = 150.0


def measure_questions(daemon: Daemon) -> list[Figure]:
    """A hundred notebooks that wait for GPUs, all of which are drained."""
    with daemon.drained():
        ids = [daemon.create(f"bench-{number}") for number in range(NOTEBOOKS)]
        try:
            listings = tuple(_list_ms() for _ in range(LISTINGS))
            one = _rate(lambda: daemon.raw("GET", f"/v1/notebook/{ids[0]}"))
            page = _rate(lambda: daemon.raw("GET", f"/v1/notebook?size={NOTEBOOKS}"))
        finally:
            daemon.delete_all()
    return [
        Figure(
            name=f"notebookctl list of {NOTEBOOKS}",
            values=listings,
            unit="ms",
            target=LONGEST_LIST_MS,
            digits=0,
        ),
        Figure(name="API: GET one, one client", values=one, unit="requests/s", digits=0),
        Figure(name=f"API: GET a page of {NOTEBOOKS}, one client", values=page, unit="requests/s", digits=0),
    ]


def _list_ms() -> float:
    begun = time.perf_counter()
    printed = subprocess.run(["notebookctl", "list"], check=True, capture_output=True, text=True).stdout
    taken = (time.perf_counter() - begun) * 1000
    if printed.count("STARTING") < NOTEBOOKS:
        raise RuntimeError(f"notebookctl list shows {printed.count('STARTING')} notebooks of {NOTEBOOKS}")
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
