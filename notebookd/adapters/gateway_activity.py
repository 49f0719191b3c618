# SPDX-License-Identifier: Apache-2.0
"""Reading what the gateway notes, by the files of :mod:`notebookd.routes`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from notebookd import routes
from notebookd.domain.activity import GatewayUse
from notebookd.domain.ids import NotebookId
from notebookd.domain.observed import Known, Seen, Unknown

UNUSED = GatewayUse(connections=0, last_used_at=None)


class GatewayNotes:
    """See :class:`~notebookd.ports.activity.Traffic`; ``directory`` is where the gateway writes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def use(self, notebook_id: NotebookId) -> Seen[GatewayUse]:
        """The gateway's note, as long as the gateway vouches for it."""
        try:
            if not routes.activity_is_kept(self._directory):
                return Unknown("the gateway is not there to say who is connected")
            noted = routes.read_activity(self._directory, notebook_id)
            return Known(UNUSED if noted is None else _use(noted))
        except (OSError, ValueError, OverflowError) as fault:
            return Unknown(f"cannot read what the gateway noted: {fault}")


def _use(noted: routes.Activity) -> GatewayUse:
    at = noted.last_activity_at
    return GatewayUse(
        connections=max(noted.connections, 0),
        last_used_at=None if at is None else datetime.fromtimestamp(at, UTC),
    )
