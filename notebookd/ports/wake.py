# SPDX-License-Identifier: Apache-2.0
"""Having something looked at again: where those who ask for a change meet those who bring it about.

A wake says "look at this again", never what happened: whoever looks reads everything anew. So a wake may come twice,
too early, or without need, and one that is lost with a crash is made up for by the looks at the next start.
"""

from __future__ import annotations

from typing import Protocol

ALLOCATION = "allocation"
"""Who waits for compute, and what is free."""
SURVEY = "survey"
"""All containers and movers at once."""
GPUS = "gpus"
IDLE = "idle"
"""The running notebooks that may not idle."""
WORKSPACES = "workspaces"
"""How full workspaces are."""


class Wake(Protocol):
    """Has a key looked at: a notebook by its id, or one of the keys above."""

    def __call__(self, key: str, /) -> None:
        """Returns at once."""
        ...
