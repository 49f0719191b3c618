# SPDX-License-Identifier: Apache-2.0
"""What it means that a container ended by itself."""

from __future__ import annotations

from notebookd.domain.container import Container
from notebookd.domain.run import Outcome, Run, RunState
from notebookd.units import readable_size

_KILLED = 128 + 9
"""The status of what SIGKILL ended."""


def out_of_memory(run: Run) -> str:
    """The words for what the kernel ends a program for."""
    return f"out of memory (limit {readable_size(run.resources.memory_bytes)})"


def own_outcome(run: Run, container: Container) -> Outcome:
    """The outcome that a container's own end means."""
    match container.exit_code:
        case None:
            return Outcome(
                state=RunState.ERROR, code="JOB_ERROR", message="the container died and its exit code is unknown"
            )
        case 0:
            return Outcome(state=RunState.DONE, code="JOB_DONE", message="the editor exited")
        case code:
            message = f"the editor exited with status {code}"
            if code == _KILLED and (container.oom_killed or run.oom_kills):
                message = f"{out_of_memory(run)}: the kernel killed the editor (status {code})"
            return Outcome(state=RunState.FAILED, code="JOB_FAILED_WITH_MESSAGE", message=message)
