# SPDX-License-Identifier: Apache-2.0
"""From the wish to an editor that answers: notebookd, and beside it, in turn, ``podman run`` of the same and of the
JupyterLab that ``pip install jupyterlab`` gives.

All containers have the same options (``bare.options_of``), so that the ratios tell what notebookd adds, and what its
image takes away. They hold on a busy machine, too: whatever else runs, runs beside each of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.bench.bare import Bare, await_editor
from tests.bench.daemon import Daemon
from tests.bench.figures import Figure, ratio
from tests.bench.programs import JUPYTERLAB, STOCK, VSCODE, Program

ROUNDS = 7
AT_ONCE = 10
AT_ONCE_ROUNDS = 5
LARGEST_RATIO = 1.10
LARGEST_RATIO_AT_ONCE = 1.15
LARGEST_RATIO_TO_STOCK = 0.5


def measure_one(daemon: Daemon, bare: Bare) -> list[Figure]:
    """JupyterLab: create to RUNNING, beside ``podman run`` to the first 200, of our image and of the stock one."""
    bare.build_stock()
    ours, theirs, stocks, least = _in_turn(
        ROUNDS,
        lambda: _ours(daemon, "jupyterlab", 1),
        lambda: _theirs(bare, JUPYTERLAB, 1),
        lambda: _theirs(bare, STOCK, 1),
        lambda: _timed(lambda: bare.type(bare.true_line())),
    )
    own = Figure(name="JupyterLab, notebookd: POST to RUNNING", values=ours, unit="s")
    by_hand = Figure(name="JupyterLab, podman run: to the first 200", values=theirs, unit="s")
    stock = Figure(name="stock `jupyter lab`, podman run: to the first 200", values=stocks, unit="s")
    return [
        own,
        by_hand,
        ratio("  notebookd over podman run", own, by_hand, target=LARGEST_RATIO),
        stock,
        ratio("  notebookd over podman run of the stock image", own, stock, target=LARGEST_RATIO_TO_STOCK),
        Figure(name="podman run ... true", values=least, unit="s"),
    ]


def measure_vscode(daemon: Daemon, bare: Bare) -> list[Figure]:
    """The same for VS Code; its image must be there (``contrib/quickstart --image vscode``)."""
    ours, theirs = _in_turn(ROUNDS, lambda: _ours(daemon, "vscode", 1), lambda: _theirs(bare, VSCODE, 1))
    own = Figure(name="VS Code, notebookd: POST to RUNNING", values=ours, unit="s")
    by_hand = Figure(name="VS Code, podman run: to the first 200", values=theirs, unit="s")
    return [own, by_hand, ratio("  notebookd over podman run", own, by_hand, target=LARGEST_RATIO)]


def measure_many(daemon: Daemon, bare: Bare) -> list[Figure]:
    """As many JupyterLabs at once as there are GPUs, ten at most, until the last of them answers."""
    count = min(AT_ONCE, len(daemon.gpus()))
    ours, theirs = _in_turn(
        AT_ONCE_ROUNDS, lambda: _ours(daemon, "jupyterlab", count), lambda: _theirs(bare, JUPYTERLAB, count)
    )
    own = Figure(name=f"JupyterLab, notebookd: {count} at once, to the last RUNNING", values=ours, unit="s")
    by_hand = Figure(name=f"JupyterLab, podman run: {count} at once, to the last 200", values=theirs, unit="s")
    return [own, by_hand, ratio("  notebookd over podman run", own, by_hand, target=LARGEST_RATIO_AT_ONCE)]


def _in_turn(rounds: int, *starts: Callable[[], float]) -> tuple[tuple[float, ...], ...]:
    """The seconds of each kind of start, after one of each that does not count: caches."""
    for start in starts:
        start()
    return tuple(zip(*(tuple(start() for start in starts) for _ in range(rounds)), strict=True))


def _ours(daemon: Daemon, editor: str, count: int) -> float:
    def start() -> None:
        for notebook in [daemon.create(f"bench-{number}", editor) for number in range(count)]:
            daemon.await_running(notebook)

    taken = _timed(start)
    daemon.delete_all()
    return taken


def _theirs(bare: Bare, program: Program, count: int) -> float:
    editors = [bare.prepare(program) for _ in range(count)]

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
