# SPDX-License-Identifier: Apache-2.0
"""A mover's program at work on folders of a test: in this process, or in one of its own that can be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path

import notebookd.mover
from notebookd.mover.job import Places
from notebookd.mover.report import Reporter
from notebookd.mover.tasks import run_job

PROGRAM = Path(notebookd.mover.__file__).parent / "__main__.py"
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
"""What makes root obey the modes of files, as a mover must."""


@dataclass(frozen=True)
class Ending:
    """What ``result.json`` says."""

    ok: bool
    code: str
    message: str
    progress: dict[str, int]
    facts: dict[str, str | int]


class Mover:
    """A mover whose places all lie below one folder."""

    def __init__(self, root: Path) -> None:
        names = ("job", "volume", "workspace", "repository", "secrets", "scratch")
        self.places = Places(**{name: root / name for name in names})
        for name in names:
            (root / name).mkdir(parents=True, exist_ok=True)

    def with_places(self, **places: Path) -> Mover:
        """The same mover, with some of its places elsewhere."""
        other = copy(self)
        other.places = replace(self.places, **places)
        return other

    def run(self, task: str, **fields: object) -> Ending:
        """Run a task to its end."""
        self._prepare(task, fields)
        run_job(self.places, Reporter(self.places.job))
        return self.ending()

    def run_apart(self, task: str, **fields: object) -> Ending:
        """Run a task to its end in a process that obeys the modes of files."""
        with self.begin(task, **fields) as process:
            process.wait(60)
        return self.ending()

    def begin(self, task: str, **fields: object) -> subprocess.Popen[bytes]:
        """Begin a task in a process group of its own."""
        self._prepare(task, fields)
        places = [f"{name}={getattr(self.places, name)}" for name in Places.__dataclass_fields__]
        return subprocess.Popen([*ORDINARY, sys.executable, "-I", str(PROGRAM), *places], process_group=0)

    def ending(self) -> Ending:
        """How the last task ended."""
        return Ending(**json.loads((self.places.job / "result.json").read_text()))

    def _prepare(self, task: str, fields: dict[str, object]) -> None:
        (self.places.job / "result.json").unlink(missing_ok=True)
        (self.places.job / "job.json").write_text(json.dumps({"task": task, **fields}))


def kill_tree(pid: int) -> None:
    """SIGKILL to a process and its children: what a power cut is to them."""
    os.kill(pid, signal.SIGSTOP)
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for each in [*map(int, children), pid]:
        with suppress(ProcessLookupError):
            os.kill(each, signal.SIGKILL)
