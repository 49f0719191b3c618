# SPDX-License-Identifier: Apache-2.0
"""Say what lies at a remote, one level deep."""

from __future__ import annotations

from notebookd.mover.job import Job
from notebookd.mover.rclone import Rclone
from notebookd.mover.report import Reporter, Result

MOST_OBJECTS = 10_000


def list_objects(job: Job, reporter: Reporter) -> Result:
    """The task ``list``. The fact ``cut`` says that there is more than is told."""
    rclone = Rclone(job, reporter)
    found, cut = rclone.objects(MOST_OBJECTS)
    rclone.require_folder([str(each["path"]) for each in found if not each["folder"]] if len(found) == 1 else ())
    return Result(objects=found, facts={"cut": 1} if cut else {})
