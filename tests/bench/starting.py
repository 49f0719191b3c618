# SPDX-License-Identifier: Apache-2.0
"""From the wish to an editor that answers: notebookd, and ``podman run`` of the same beside it, in turn."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.bench.bare import Bare, await_editor
from tests.bench.daemon import Daemon
from tests.bench.figures import Figure, ratio

ROUNDS = 7
AT_ONCE = 10
AT_ONCE_ROUNDS = 5
LARGEST_RATIO = 1.15


def measure_one(daemon: Daemon, bare: Bare) -> list[Figure]:
    """Create to RUNNING, beside ``podman run`` to the first 200 from /api."""
    ours, theirs = _in_turn(ROUNDS, lambda: _ours(daemon, 1), lambda: _theirs(bare, 1))
    least = tuple(_timed(lambda: bare.type(bare.true_line())) for _ in range(ROUNDS))
    own = Figure(name="notebookd: POST to RUNNING", values=ours, unit="s")
    by_hand = Figure(name="podman run: to the first 200 from /api", values=theirs, unit="s")
    return [
        own,
        by_hand,
        ratio("  notebookd over podman run", own, by_hand, target=LARGEST_RATIO),
        Figure(name="podman run ... true", values=least, unit="s"),
    ]


def measure_many(daemon: Daemon, bare: Bare) -> list[Figure]:
    """The same for as many at once as there are GPUs, ten at most, until the last of them answers."""
    count = min(AT_ONCE, len(daemon.gpus()))
    ours, theirs = _in_turn(AT_ONCE_ROUNDS, lambda: _ours(daemon, count), lambda: _theirs(bare, count))
    own = Figure(name=f"notebookd: {count} at once, to the last RUNNING", values=ours, unit="s")
    by_hand = Figure(name=f"podman run: {count} at once, to the last 200", values=theirs, unit="s")
    return [own, by_hand, ratio("  notebookd over podman run", own, by_hand, target=LARGEST_RATIO)]


def _in_turn(
    rounds: int, ours: Callable[[], float], theirs: Callable[[], float]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    ours(), theirs()  # one of each that does not count: caches
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    return tuple(own for own, _ in pairs), tuple(by_hand for _, by_hand in pairs)


def _ours(daemon: Daemon, count: int) -> float:
    def start() -> None:
        for notebook in [daemon.create(f"bench-{number}") for number in range(count)]:
            daemon.await_running(notebook)

    taken = _timed(start)
    daemon.delete_all()
    return taken


def _theirs(bare: Bare, count: int) -> float:
    editors = [bare.prepare() for _ in range(count)]

    def start() -> None:
        for editor in editors:
            bare.send(bare.run_line(editor) + " &")
        for editor in editors:
            await_editor(editor)

    taken = _timed(start)
    bare.type("wait")
    bare.remove(*editors)
    return taken


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
