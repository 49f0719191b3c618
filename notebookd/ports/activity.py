# SPDX-License-Identifier: Apache-2.0
"""The traffic port: what the gateway has seen go to and from a notebook.

Implementations: :mod:`notebookd.adapters.gateway_activity` and :mod:`notebookd.testing.activity`. Both pass
``tests/contract/test_traffic_contract.py``.
"""

from __future__ import annotations

from typing import Protocol

from notebookd.domain.activity import GatewayUse
from notebookd.domain.ids import NotebookId
from notebookd.domain.observed import Seen


class Traffic(Protocol):
    """Tells of browsers. The times are the gateway's wall clock."""

    def use(self, notebook_id: NotebookId) -> Seen[GatewayUse]:
        """How the notebook is being used by way of the gateway; one that nobody ever opened has no connection and no
        time. While no gateway vouches for what it wrote (it is down, or cannot write) this is Unknown."""
        ...
