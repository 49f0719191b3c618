# SPDX-License-Identifier: Apache-2.0
"""The editor port: whether the editor in a container answers, and what goes on in it.

Implementations: :mod:`notebookd.adapters.editor` and :mod:`notebookd.testing.editor`. Both pass
``tests/contract/test_editor_contract.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from notebookd.domain.activity import ActivityApi, EditorWord
from notebookd.domain.ids import NotebookId
from notebookd.domain.observed import Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of asking an editor whether it is up: it is, or what was seen instead, in words to follow "its editor
    does not answer: "."""

    up: bool
    seen: str = ""


class Editor(Protocol):
    """Asks editors. What lies in an editor's directory was made by the container and is not trusted."""

    async def answers(self, notebook_id: NotebookId, path: str) -> Answer:
        """Whether a GET of ``path`` on the notebook's editor socket gives 200 now. A socket that is absent, no
        socket, refuses, or does not answer in a second is an editor that is not up. What was seen is in words of ours:
        nothing of what a container sent stands in them but a status between 100 and 599."""
        ...

    async def activity(self, notebook_id: NotebookId, api: ActivityApi) -> Seen[EditorWord]:
        """What the notebook's editor tells by ``api`` now, in two seconds at the most. Asking is no activity and moves
        none of the times. Known(None) is an editor without such an API: it is not asked. Whatever else is not a plain
        answer in full (silence, too much, a redirect, another shape) is Unknown, never an idle editor."""
        ...
