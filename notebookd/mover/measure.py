# SPDX-License-Identifier: Apache-2.0
"""How much room a workspace takes."""

from __future__ import annotations

import os

from notebookd.mover.job import Job
from notebookd.mover.report import Reporter, Result
from notebookd.mover.visit import FOLDER, visit

BLOCK = 512
"""What ``st_blocks`` counts in, whatever the filesystem's own blocks are."""


def measure(job: Job, reporter: Reporter) -> Result:
    """Bytes that the workspace takes on its disk; a file of several names once, what cannot be seen not at all."""
    unseen: list[str] = []
    root = os.open(job.places.workspace, FOLDER)
    try:
        blocks = os.fstat(root).st_blocks
        several: set[int] = set()
        for each in visit(root, unseen=unseen.append):
            status = each.status
            if status.st_nlink > 1 and status.st_mode & 0o170000 != 0o040000:
                if status.st_ino in several:
                    continue
                several.add(status.st_ino)
            blocks += status.st_blocks
            reporter.progress.processed += 1
    finally:
        os.close(root)
    reporter.progress.failed = len(unseen)
    return Result(facts={"bytes": blocks * BLOCK})
