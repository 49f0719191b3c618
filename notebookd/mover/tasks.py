# SPDX-License-Identifier: Apache-2.0
"""From the name of a task to its function, and from how that ends to ``result.json``."""

from __future__ import annotations

import errno
import importlib
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import cast

from notebookd.mover.job import Job, Places, read_job
from notebookd.mover.report import Code, Fault, Interrupted, Reporter, Result, secrets_in

Task = Callable[[Job, Reporter], Result]

TASKS = {
    "pull": ("pull", "pull"),
    "push": ("push", "push"),
    "list": ("listing", "list_objects"),
    "git-pull": ("git", "pull"),
    "snapshot": ("snapshots", "take"),
    "restore": ("snapshots", "restore"),
    "check": ("snapshots", "check"),
    "purge": ("snapshots", "purge"),
    "measure": ("measure", "measure"),
    "archive-read": ("archive", "read"),
    "archive-write": ("archive", "write"),
}
"""Task -> module of this package and function in it. Imported when it is wanted: a mover has one task and no time."""

EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED = 0, 1, 128 + signal.SIGTERM


def find_task(name: str) -> Task:
    """The function of a task; Fault when there is none of that name."""
    if name not in TASKS:
        raise Fault(Code.ERROR, f"cannot run the job: no such task: {name!r}")
    module, function = TASKS[name]
    return cast(Task, getattr(importlib.import_module(f"notebookd.mover.{module}"), function))


def run(words: Sequence[str]) -> int:
    """Run the job that lies in the job folder; returns the exit status. SIGTERM raises Interrupted in the task."""
    signal.signal(signal.SIGTERM, _interrupt)
    places = Places.of(words)
    reporter = Reporter(places.job, secrets_in(places.secrets))
    try:
        return run_job(places, reporter)
    except Interrupted:
        return EXIT_INTERRUPTED


def run_job(places: Places, reporter: Reporter) -> int:
    """As :func:`run`, less the signal."""
    try:
        job = read_job(places)
        reporter.done(find_task(job.task)(job, reporter))
        return EXIT_DONE
    except Fault as fault:
        reporter.failed(fault)
    except OSError as error:
        reporter.failed(fault_of(error))
    except Exception as error:  # noqa: BLE001  whoever waits shall hear of it now, not after five deaths
        reporter.failed(Fault(Code.ERROR, f"cannot go on: {type(error).__name__}"))
        sys.excepthook(type(error), error, error.__traceback__)
    return EXIT_FAILED


def fault_of(error: OSError) -> Fault:
    """What an error of the local disk means."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return Fault(Code.DISK_FULL, "the disk of this machine is full; what was transferred whole is kept")
    return Fault(Code.ERROR, f"cannot work on the local copy: {error.strerror or type(error).__name__}")


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # once: the way out is not to be cut
    raise Interrupted
