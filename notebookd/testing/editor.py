# SPDX-License-Identifier: Apache-2.0
"""Editors in the containers of a :class:`~notebookd.testing.engine.FakeEngineWorld`."""

from __future__ import annotations

from datetime import timedelta

from notebookd.domain.activity import ActivityApi, EditorActivity, EditorWord, Heartbeat
from notebookd.domain.ids import NotebookId
from notebookd.domain.observed import Known, Seen, Unknown
from notebookd.ports.editor import Answer
from notebookd.ports.engine import LABEL_PREFIX, ContainerStatus
from notebookd.testing.engine import FakeEngineWorld


class FakeEditor:
    """An :class:`~notebookd.ports.editor.Editor` that answers while its notebook's container runs.

    ``silent`` is for editors that never answer, ``boot_s`` for how long one takes from its container's start.
    ``odd`` says what is seen of one that is up and answers something else.
    ``probed`` lists every question of :meth:`answers`, as (notebook, path). ``activities`` and
    ``heartbeats`` say what goes on in each notebook, nothing unless told."""

    def __init__(self, world: FakeEngineWorld) -> None:
        self._world = world
        self.silent = False
        self.odd = ""
        self.boot_s = 0.0
        self.probed: list[tuple[NotebookId, str]] = []
        self.activities: dict[NotebookId, EditorActivity] = {}
        self.heartbeats: dict[NotebookId, Heartbeat] = {}

    async def answers(self, notebook_id: NotebookId, path: str) -> Answer:
        """See :meth:`Editor.answers`."""
        self.probed.append((notebook_id, path))
        if not self._up(notebook_id):
            return Answer(up=False, seen="it has not made its socket")
        return Answer(up=not self.odd, seen=self.odd)

    async def activity(self, notebook_id: NotebookId, api: ActivityApi) -> Seen[EditorWord]:
        """See :meth:`Editor.activity`."""
        if api is ActivityApi.NONE:
            return Known(None)
        if not self._up(notebook_id):
            return Unknown("the editor did not answer in time")
        if api is ActivityApi.CODE_SERVER:
            return Known(self.heartbeats.get(notebook_id, Heartbeat()))
        return Known(self.activities.get(notebook_id, EditorActivity()))

    def _up(self, notebook_id: NotebookId) -> bool:
        return not self.silent and any(
            container.labels.get(f"{LABEL_PREFIX}notebook") == notebook_id
            and container.status is ContainerStatus.RUNNING
            and container.started_at is not None
            and (self.boot_s <= 0 or self._world.now() >= container.started_at + timedelta(seconds=self.boot_s))
            for container in self._world.containers.values()
        )
