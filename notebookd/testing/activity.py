# SPDX-License-Identifier: Apache-2.0
"""A gateway's word on who uses what."""

from __future__ import annotations

from datetime import datetime

from notebookd.domain.activity import GatewayUse
from notebookd.domain.ids import NotebookId
from notebookd.domain.observed import Known, Seen, Unknown


class FakeTraffic:
    """A :class:`~notebookd.ports.activity.Traffic` told by hand. ``up`` False is a gateway that is down."""

    def __init__(self) -> None:
        self.up = True
        self._uses: dict[NotebookId, GatewayUse] = {}

    def note(self, notebook_id: NotebookId, *, connections: int, last_used_at: datetime | None) -> None:
        """The gateway sees this from now on."""
        self._uses[notebook_id] = GatewayUse(connections=connections, last_used_at=last_used_at)

    def use(self, notebook_id: NotebookId) -> Seen[GatewayUse]:
        """See :meth:`Traffic.use`."""
        if not self.up:
            return Unknown("the gateway is not there to say who is connected")
        return Known(self._uses.get(notebook_id, GatewayUse(connections=0, last_used_at=None)))
