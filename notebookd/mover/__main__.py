# SPDX-License-Identifier: Apache-2.0
"""Runs the one task that ``job.json`` names: ``python3 -I __main__.py [PLACE=FOLDER ...]``.

Exit status: 0 done, 1 failed (either way ``result.json`` says more), 143 interrupted by SIGTERM.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType


def main() -> int:
    """Find this package whatever the folder is that it was mounted at, then run the task.

    The machine's Python may have a notebookd of its own (the client's), which would be found before a folder that is
    no package: so the name is given to this folder.
    """
    ours = ModuleType("notebookd")
    ours.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["notebookd"] = ours
    from notebookd.mover.tasks import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
