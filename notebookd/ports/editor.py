# SPDX-License-Identifier: Apache-2.0
"""The editor port: whether the editor in a container answers."""

from __future__ import annotations

from typing import Protocol

from notebookd.domain.run import NotebookId


class Editor(Protocol):
    """Asks editors. What lies in an editor's directory was made by the container and is not trusted."""

    async def answers(self, notebook_id: NotebookId, path: str) -> bool:
        """Whether a GET of ``path`` on the notebook's editor socket gives 200 now. A socket that is absent, no
        socket, refuses, or does not answer in a second is False."""
        ...
