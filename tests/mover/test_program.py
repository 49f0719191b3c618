# SPDX-License-Identifier: Apache-2.0
"""The mover's program is found where it is mounted, whatever the machine's Python has."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import notebookd.mover

_SCRIPT = """
import runpy, sys
sys.path.append(sys.argv[1])
program = runpy.run_path(sys.argv[2])
sys.argv[1:] = []
sys.exit(program["main"]())
"""


def test_another_notebookd_of_the_machine_is_not_taken_for_it(tmp_path: Path) -> None:
    """As the package has it, for scripts: a notebookd with a client and no mover."""
    other, mounted = tmp_path / "dist-packages", tmp_path / "program" / "notebookd" / "mover"
    (other / "notebookd").mkdir(parents=True)
    (other / "notebookd" / "__init__.py").touch()
    shutil.copytree(Path(notebookd.mover.__file__).parent, mounted)
    command = ["/usr/bin/python3", "-I", "-B", "-c", _SCRIPT, str(other), str(mounted / "__main__.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "No module named" not in done.stderr
    assert "notebookd/mover/tasks.py" in done.stderr or "job" in done.stderr
