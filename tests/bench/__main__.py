# SPDX-License-Identifier: Apache-2.0
"""``contrib/quickstart --gpus 10 --image vscode -- .venv/bin/python -m tests.bench [MEASURE ...]``, as root.

``make bench`` does it. Prints one table. Exit status 1 when a target is missed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable

from tests.bench.asking import measure_questions
from tests.bench.bare import Bare, options_of
from tests.bench.crowd import measure_crowd
from tests.bench.daemon import Daemon
from tests.bench.figures import Figure, machine, table
from tests.bench.leasing import measure_leasing
from tests.bench.polling import measure_polling
from tests.bench.reporting import measure_reports
from tests.bench.resting import measure_rest
from tests.bench.scale import measure_scale
from tests.bench.scraping import measure_scraping
from tests.bench.serving import measure_serving
from tests.bench.starting import measure_many, measure_one, measure_vscode
from tests.bench.transfers import measure_transfers


def main() -> int:
    """Measure what was asked for; everything by default."""
    if os.geteuid() != 0 or "NOTEBOOKD_RUN" not in os.environ:
        sys.exit("cannot measure: run it as root, under contrib/quickstart -- (`sudo make bench` does both)")
    daemon = Daemon()

    def beside_podman(measure: Callable[[Daemon, Bare], list[Figure]]) -> list[Figure]:
        with Bare(options_of(_shm_bytes(daemon))) as bare:
            return measure(daemon, bare)

    measures: dict[str, Callable[[], list[Figure]]] = {
        "one": lambda: beside_podman(measure_one),
        "vscode": lambda: beside_podman(measure_vscode),
        "many": lambda: beside_podman(measure_many),
        "questions": lambda: measure_questions(daemon),
        "rest": lambda: measure_rest(daemon),
        "leasing": measure_leasing,
        "scale": measure_scale,
        "polling": measure_polling,
        "reports": measure_reports,
        "transfers": measure_transfers,
        "serving": measure_serving,
        "scraping": measure_scraping,
        "crowd": lambda: measure_crowd(daemon),
    }
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="How quick notebookd is.")
    parser.add_argument("measure", nargs="*", help=f"some of: {' '.join(measures)}")
    wanted = parser.parse_args().measure or list(measures)
    if unknown := sorted(set(wanted) - set(measures)):
        parser.error(f"no such measure: {', '.join(unknown)}")
    figures: list[Figure] = []
    heading = machine()
    for name in wanted:
        print(f"measuring: {name} ...", file=sys.stderr)
        figures += measures[name]()
    print(f"{heading}, {_engine_version()}\n\n{table(figures)}")
    return 1 if any(each.missed for each in figures) else 0


def _shm_bytes(daemon: Daemon) -> int:
    """notebookd gives a container half of its memory as /dev/shm; by hand it shall have as much."""
    total: int = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return total // len(daemon.gpus()) // 2


def _engine_version() -> str:
    return subprocess.run(["podman", "--version"], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
