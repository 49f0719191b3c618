# SPDX-License-Identifier: Apache-2.0
"""Removing containers, also those that Podman has lost track of."""

from __future__ import annotations

from notebookd.adapters.podman.calls import Session
from notebookd.errors import ContainerMissing, EngineError, EngineUnavailable

REMOVE_ATTEMPTS = 3


def force_remove(session: Session, container_id: str, action: str) -> None:
    """Remove by force. For a lost container Podman first fails to kill what is dead, and only notes "stopping";
    asked again, it removes it."""
    params = {"force": "true", "timeout": 0, "v": "true"}
    for attempt in range(1, REMOVE_ATTEMPTS + 1):
        try:
            session.delete(f"/containers/{container_id}", action, params=params)
        except ContainerMissing:
            return
        except EngineUnavailable:
            raise
        except EngineError:
            if attempt == REMOVE_ATTEMPTS:
                raise
        else:
            return
