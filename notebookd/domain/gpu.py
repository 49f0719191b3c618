# SPDX-License-Identifier: Apache-2.0
"""A GPU as leasing and the board see it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from notebookd.domain.run import RunId


class GpuState(StrEnum):
    """What the board shows of a GPU."""

    FREE = "free"
    LEASED = "leased"
    FOREIGN = "foreign"
    DRAINED = "drained"
    QUARANTINED = "quarantined"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUnit:
    """One GPU in the inventory with everything that keeps it from being leased."""

    uuid: str
    index: int
    model: str
    memory_bytes: int
    drained: bool = False
    quarantined: bool = False
    foreign: bool = False
    lost: bool = False

    @property
    def leasable(self) -> bool:
        """Whether it may be given to somebody, were it not leased."""
        return not (self.drained or self.quarantined or self.foreign or self.lost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A GPU held by a run, since ``granted_at``."""

    gpu_uuid: str
    run_id: RunId
    granted_at: datetime
    released_at: datetime | None = None


def gpu_state(unit: GpuUnit, *, leased: bool) -> GpuState:
    """The one word for it; sickness outranks use."""
    if unit.lost:
        return GpuState.LOST
    if unit.quarantined:
        return GpuState.QUARANTINED
    if leased:
        return GpuState.LEASED
    if unit.drained:
        return GpuState.DRAINED
    return GpuState.FOREIGN if unit.foreign else GpuState.FREE
