# SPDX-License-Identifier: Apache-2.0
"""The route board port: what the gateway is told of each notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from notebookd.domain.ids import NotebookId
from notebookd.domain.notebook import Notebook
from notebookd.domain.run import Run


class RouteBoard(Protocol):
    """Tells the gateway. Only what changed is written."""

    def publish(self, notebook: Notebook, run: Run) -> bool:
        """Make the notebook's route say what is true now; False when it could not be written. Then there is none, so
        that no old token stays good: call again until it is True."""
        ...

    def tell(self, words: Mapping[NotebookId, str]) -> None:
        """Say of notebooks that start what they wait for. Those that are not named start, or do not wait any more."""
        ...

    def list_published(self) -> list[NotebookId]:
        """Everybody who has a route now, also one that an earlier life made."""
        ...

    def withdraw(self, notebook_id: NotebookId) -> bool:
        """The notebook is gone; False when its route could not be removed. Then call again."""
        ...
