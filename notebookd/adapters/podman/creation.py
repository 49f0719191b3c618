# SPDX-License-Identifier: Apache-2.0
"""Making a container by the API."""

from __future__ import annotations

import logging
import time
from typing import Any

from notebookd.adapters.podman.calls import Session
from notebookd.adapters.podman.translate import is_mapping_race, lacks_init
from notebookd.errors import EngineError

log = logging.getLogger(__name__)

RACE_PAUSES_S = (0.02, 0.05, 0.1, 0.2)
"""Between creates that failed in Podman's reading of the subordinate ids."""


def create_container(session: Session, action: str, body: dict[str, Any]) -> str:
    """The id of the container made; asked again when creates beside this one spoilt it, and without an init where
    the engine has none."""
    for pause_s in RACE_PAUSES_S:
        try:
            return str(session.post("/containers/create", action, body=body)["Id"])
        except EngineError as error:
            if body["init"] and lacks_init(error):
                log.warning("containers have no init, so that nobody collects orphans: install catatonit")
                body["init"] = False
            elif not is_mapping_race(error):
                raise
            time.sleep(pause_s)
    return str(session.post("/containers/create", action, body=body)["Id"])
