# SPDX-License-Identifier: Apache-2.0
"""Refusals that name every fault of a request."""

from __future__ import annotations

from collections.abc import Sequence

from notebookd.domain.spec import Fault
from notebookd.errors import InvalidRequest


def invalid(what: str, faults: Sequence[Fault]) -> InvalidRequest:
    """The refusal that names every fault."""
    listed = "; ".join(f"{fault.path}: {fault.message}" for fault in faults)
    details = {"faults": [{"path": fault.path, "message": fault.message} for fault in faults]}
    return InvalidRequest(f"cannot {what}: {listed}", details=details)
