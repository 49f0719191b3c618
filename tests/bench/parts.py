# SPDX-License-Identifier: Apache-2.0
"""The parts of the bench, in the order in which they run. A new one is a function that gives figures, and a line."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.asking import measure_questions
from tests.bench.bare import Bare, options_of
from tests.bench.copying import measure_copying
from tests.bench.crowd import measure_crowd
from tests.bench.daemon import Daemon
from tests.bench.deadlines import measure_deadlines
from tests.bench.figures import Figure
from tests.bench.growth import measure_growth
from tests.bench.leasing import measure_leasing
from tests.bench.listing import measure_listing
from tests.bench.looking import measure_looking
from tests.bench.passing import measure_passing
from tests.bench.peers import measure_peers
from tests.bench.polling import measure_polling
from tests.bench.queueing import measure_queue
from tests.bench.reporting import measure_reports
from tests.bench.resting import measure_rest
from tests.bench.scale import measure_scale
from tests.bench.scraping import measure_scraping
from tests.bench.serving import measure_serving
from tests.bench.starting import measure_many, measure_one, measure_vscode
from tests.bench.transfers import measure_transfers
from tests.bench.years import measure_years


@dataclass(frozen=True, slots=True)
class Part:
    """``needs_daemon``: whether it measures the daemon that quickstart brought up, or one of its own. ``long``: it
    takes many minutes and gigabytes, and runs only where it is named."""

    name: str
    about: str
    measure: Callable[[], list[Figure]]
    needs_daemon: bool = False
    long: bool = False


def _daemon(name: str, about: str, measure: Callable[[Daemon], list[Figure]], *, long: bool = False) -> Part:
    return Part(name, about, lambda: measure(Daemon()), needs_daemon=True, long=long)


def _beside_podman(name: str, about: str, measure: Callable[[Daemon, Bare], list[Figure]]) -> Part:
    def measured() -> list[Figure]:
        daemon = Daemon()
        with Bare(options_of(_shm_bytes(daemon))) as bare:
            return measure(daemon, bare)

    return Part(name, about, measured, needs_daemon=True)


def _shm_bytes(daemon: Daemon) -> int:
    """notebookd gives a container half of its memory as /dev/shm; by hand it shall have as much."""
    total: int = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return total // len(daemon.gpus()) // 2


PARTS = (
    _beside_podman("one", "one JupyterLab's start, beside podman run and the stock image", measure_one),
    _beside_podman("vscode", "one VS Code's start, beside podman run", measure_vscode),
    _beside_podman("many", "ten JupyterLabs at once, beside podman run", measure_many),
    _daemon("questions", "the CLI's list, beside a bare client", measure_questions),
    _daemon("listing", "notebookctl list, beside the imports of click and msgspec", lambda _daemon: measure_listing()),
    _daemon("rest", "CPU and memory when nothing happens", measure_rest),
    _daemon("looking", "forty containers looked at, beside an inspection of each", lambda _daemon: measure_looking()),
    Part("leasing", "who gets which GPU, and when at the latest", measure_leasing),
    Part("scale", "10,000 notebooks: starts of the daemon", measure_scale),
    Part("deadlines", "a thousand deadlines, beside plain SQLite", measure_deadlines),
    Part("polling", "looking at the GPUs", measure_polling),
    Part("reports", "usage of a month", measure_reports),
    Part("years", "usage of a year, a million intervals", measure_years, long=True),
    Part("growth", "a year of history: five million events, a million stays", measure_growth, long=True),
    Part("transfers", "data coming in, beside plain rclone", measure_transfers),
    Part("serving", "an answer, beside a bare handler", measure_serving),
    _daemon("passing", "the gateway, beside the editor's own socket", measure_passing),
    _daemon("copying", "notebookctl cp, beside cp", measure_copying),
    Part("scraping", "GET /metrics", measure_scraping),
    _daemon("peers", "beside JupyterHub, which is installed from PyPI", measure_peers, long=True),
    Part("crowd", "many clients at once, reading and writing", measure_crowd),
    Part("queue", "GET /v1/queue, with a thousand waiting", measure_queue),
)
