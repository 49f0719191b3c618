# SPDX-License-Identifier: Apache-2.0
"""What the looks at running notebooks found: which of them idle, and why it is thought so."""

from __future__ import annotations

from collections.abc import Collection

from notebookd.domain.idleness import Verdict
from notebookd.domain.ids import RunId
from notebookd.domain.run import Run, RunState


class Verdicts:
    """The last verdict of each run that may not idle. They are not kept over restarts."""

    def __init__(self) -> None:
        self._found: dict[RunId, Verdict] = {}

    def find(self, run: Run) -> Verdict | None:
        """What the last look found; None for a run that may idle, or was not looked at yet."""
        return self._found.get(run.id) if run.state is RunState.RUNNING else None

    def note(self, run_id: RunId, verdict: Verdict | None) -> None:
        """A look found this; None takes back what was found before."""
        if verdict is None:
            self._found.pop(run_id, None)
        else:
            self._found[run_id] = verdict

    def keep(self, run_ids: Collection[RunId]) -> None:
        """Forget all but those."""
        self._found = {run_id: verdict for run_id, verdict in self._found.items() if run_id in run_ids}
