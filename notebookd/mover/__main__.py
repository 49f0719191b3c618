# SPDX-License-Identifier: Apache-2.0
"""Runs the one task that ``job.json`` names: ``python3 -I __main__.py [PLACE=FOLDER ...]``.

Exit status: 0 done, 1 failed (either way ``result.json`` says more), 143 interrupted by SIGTERM.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main() -> int:
    """Find this package whatever the folder is that it was mounted at, then run the task."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    from notebookd.mover.tasks import run

    return run(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
