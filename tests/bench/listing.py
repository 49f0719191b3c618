# SPDX-License-Identifier: Apache-2.0
"""How long ``notebookctl list`` takes, beside a Python that only imports what it is made of."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.bench.figures import Figure, ratio

ROUNDS = 30
BARE = "import click, msgspec"
LIST = "import sys; sys.argv = ['notebookctl', 'list']; from notebookd.cli.program import main; main()"


def measure_listing() -> list[Figure]:
    """Both in turn, with compiled modules, as the installed program has them."""
    with tempfile.TemporaryDirectory() as compiled:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = compiled
        taken: dict[str, list[float]] = {BARE: [], LIST: []}
        for _ in range(ROUNDS + 1):
            for code, times in taken.items():
                begun = time.perf_counter()
                command = [sys.executable, "-c", code]
                subprocess.run(command, check=True, capture_output=True, env=environment, cwd=Path(__file__).parents[2])
                times.append(time.perf_counter() - begun)
    bare, listed = (
        Figure(name=name, values=tuple(each * 1000 for each in taken[code][1:]), unit="ms", digits=0)
        for name, code in (("import click, msgspec", BARE), ("notebookctl list", LIST))
    )
    return [listed, bare, ratio("notebookctl list / imports alone", listed, bare, target=1.3)]
