# SPDX-License-Identifier: Apache-2.0
"""``notebookctl cp`` in and out of a running notebook, beside ``cp`` and a sync of the disk, in turn.

Both ways end on the disk: what comes in is synced by notebookd, what goes out by the bench.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.bench.control import scratch
from tests.bench.daemon import Daemon
from tests.bench.figures import Figure, ratio

ROUNDS = 5
LARGE_BYTES = 256 * 1024**2
SMALL_FILES, SMALL_BYTES = 2000, 4096
LEAST_EVEN = 0.7
"""Of the way out's rate, the way in's."""

LEAST_OF_PLAIN = 0.35
MOST_SMALL = 12.0
"""How many times as long as ``cp`` many small files may take, the mover's start and end included."""


def measure_copying(daemon: Daemon) -> list[Figure]:
    """A file of 256 MiB, and two thousand of 4 KiB."""
    notebook = daemon.create("bench-copying")
    try:
        daemon.await_running(notebook)
        with scratch() as folder:
            _fill(folder)
            return [*_large(notebook, folder), *_small(notebook, folder)]
    finally:
        daemon.delete_all()


def _fill(folder: Path) -> None:
    with (folder / "large").open("wb") as file:
        for _ in range(LARGE_BYTES // 1024**2):
            file.write(os.urandom(1024**2))
    (folder / "small").mkdir()
    for number in range(SMALL_FILES):
        (folder / "small" / f"f{number}").write_bytes(os.urandom(SMALL_BYTES))


def _large(notebook: str, folder: Path) -> list[Figure]:
    source, back = folder / "large", folder / "back"
    turns = [
        (
            LARGE_BYTES / 1e6 / _taken_s("cp", str(source), str(back)),
            LARGE_BYTES / 1e6 / _taken_s("notebookctl", "cp", str(source), f"{notebook}:large"),
            LARGE_BYTES / 1e6 / _taken_s("notebookctl", "cp", f"{notebook}:large", str(back)),
        )
        for _ in range(ROUNDS)
    ]
    plain, into, out = (
        Figure(name=name, values=values, unit="MB/s", digits=0)
        for name, values in zip(
            ("cp of 256 MiB, and a sync", "notebookctl cp: in", "notebookctl cp: out, and a sync"),
            zip(*turns, strict=True),
            strict=True,
        )
    )
    return [
        plain,
        into,
        out,
        ratio("  in, of plain cp", into, plain, target=LEAST_OF_PLAIN, at_least=True),
        ratio("  out, of plain cp", out, plain, target=LEAST_OF_PLAIN, at_least=True),
        ratio("  in, of out", into, out, target=LEAST_EVEN, at_least=True),
    ]


def _small(notebook: str, folder: Path) -> list[Figure]:
    source, back = folder / "small", folder / "small-back"
    turns = []
    for number in range(ROUNDS):
        shutil.rmtree(back, ignore_errors=True)
        plain = _taken_s("cp", "-r", str(source), str(back))
        shutil.rmtree(back)
        into = _taken_s("notebookctl", "cp", str(source), f"{notebook}:small-{number}")
        turns.append((plain, into, _taken_s("notebookctl", "cp", f"{notebook}:small-{number}", str(back))))
    plain_s, into_s, out_s = zip(*turns, strict=True)
    cp = Figure(name=f"cp -r of {SMALL_FILES:,} files of 4 KiB, and a sync", values=plain_s, unit="s")
    figures = [cp]
    for way, values in (("in", into_s), ("out, and a sync", out_s)):
        ours = Figure(name=f"notebookctl cp of them: {way}", values=values, unit="s")
        figures += [ours, ratio("  over cp", ours, cp, target=MOST_SMALL)]
    return figures


def _taken_s(*command: str) -> float:
    """Of a command, and of its last word's reaching the disk where that is a path here."""
    os.sync()  # what was left to write before is not this one's
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    target = Path(command[-1])
    if target.is_absolute():
        subprocess.run(["sync", "--file-system", str(target)], check=True)
    return time.perf_counter() - begun
