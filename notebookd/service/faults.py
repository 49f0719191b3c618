# SPDX-License-Identifier: Apache-2.0
"""Refusals that name every fault of a request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from notebookd.domain.actor import Actor
from notebookd.domain.notebook import NotebookSpec
from notebookd.domain.spec import Fault
from notebookd.domain.token import labelled
from notebookd.errors import InvalidRequest


def invalid(what: str, faults: Sequence[Fault]) -> InvalidRequest:
    """The refusal that names every fault."""
    listed = "; ".join(f"{fault.path}: {fault.message}" for fault in faults)
    details = {"faults": [{"path": fault.path, "message": fault.message} for fault in faults]}
    return InvalidRequest(f"cannot {what}: {listed}", details=details)


def labelled_for(actor: Actor, spec: NotebookSpec, what: str) -> NotebookSpec:
    """The specification with the label that the actor's notebooks bear."""
    labels = labelled(spec.labels, actor.selector)
    if isinstance(labels, Fault):
        raise invalid(what, [labels])
    return replace(spec, labels=labels)
