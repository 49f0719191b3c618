# SPDX-License-Identifier: Apache-2.0
"""A notebook with its latest run: what is read, decided on and written as one."""

from __future__ import annotations

from dataclasses import dataclass

from notebookd.domain.notebook import Notebook
from notebookd.domain.run import NotebookState, Run, notebook_state

STOPPED = frozenset({NotebookState.STOPPED, NotebookState.FAILED, NotebookState.ERROR, NotebookState.SYNC_FAILED})
ACTIVE = frozenset({NotebookState.STARTING, NotebookState.RUNNING, NotebookState.RESTARTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A notebook with its latest run."""

    notebook: Notebook
    run: Run

    @property
    def state(self) -> NotebookState:
        """The state of the notebook as its user sees it."""
        return notebook_state(self.run.state, deleting=self.notebook.deleting_at is not None)

    @property
    def tag(self) -> str:
        """The version of the notebook with its latest run, as an entity tag's text."""
        return f"{self.notebook.version}.{self.run.number}.{self.run.version}"
