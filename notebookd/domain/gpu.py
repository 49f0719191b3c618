# SPDX-License-Identifier: Apache-2.0
"""A GPU as leasing and the board see it: what it is, what the driver says of it, what is remembered of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal

from notebookd.domain.ids import NotebookId, RunId

GpuFault = Literal["lost", "reset-required", "ecc", "mig", "unreadable"]
GpuEventKind = Literal["xid", "ecc"]


class GpuState(StrEnum):
    """What the board shows of a GPU."""

    FREE = "free"
    LEASED = "leased"
    FOREIGN = "foreign"
    DRAINED = "drained"
    QUARANTINED = "quarantined"
    LOST = "lost"
    UNSUPPORTED = "unsupported"


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuHealth:
    """Whether the GPU may be leased as far as the driver is concerned.

    ``reason`` says what is wrong when ``ok`` is false, and ``fault`` is a stable word for it where the driver gave
    one. A GPU in MIG mode is not supported: ``mig`` is true and ``ok`` is false. ``ecc_errors`` counts uncorrected
    memory errors since the driver was loaded: more than none is the fault ``ecc``, and stays so until a reset, unless
    the driver says that nothing is to be done about them; None is a GPU without ECC. ``throttle`` says why the clocks
    are held down now (``power-cap``, ``thermal``, ...), which makes a GPU slow and not sick. ``recovery`` is what the
    driver asks for to make the GPU usable again (``none``, ``gpu-reset``, ...), None where it names nothing."""

    ok: bool = True
    reason: str | None = None
    mig: bool = False
    fault: GpuFault | None = None
    ecc_errors: int | None = None
    throttle: tuple[str, ...] = ()
    recovery: str | None = None


HEALTHY = GpuHealth()


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuEvent:
    """What the driver reported of a GPU, and when it was heard. ``xid`` is None for a double-bit ECC error, which most
    drivers report as Xid 48 as well. The numbers are in NVIDIA's "Xid Errors"."""

    uuid: str
    kind: GpuEventKind
    xid: int | None
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Quarantine:
    """Why a GPU is kept from everybody, since when, in which boot, and whose run it hit. It ends with the boot, or when
    an admin clears it."""

    at: datetime
    boot_id: str
    message: str
    xid: int | None = None
    run_id: RunId | None = None
    notebook_id: NotebookId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuMarks:
    """What is remembered of a GPU over every restart. ``forgiven_ecc`` is the count of memory errors that an admin has
    cleared; ``foreign`` whether strangers were on it when somebody last looked, and ``mig`` whether it was in MIG
    mode. ``drain_reason`` is what the admin who drained it said of that."""

    drained: bool = False
    drain_reason: str = ""
    quarantine: Quarantine | None = None
    forgiven_ecc: int = 0
    foreign: bool = False
    mig: bool = False


UNMARKED = GpuMarks()


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupant:
    """A process on a GPU and whose it is: of a run of ours, or a stranger's (``run_id`` None). ``memory_bytes`` is None
    when the driver does not say."""

    pid: int
    user: str
    command: str
    memory_bytes: int | None
    run_id: RunId | None = None
    notebook_id: NotebookId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuUnit:
    """One GPU in the inventory with everything that keeps it from being leased.

    ``pci_bus_id`` is for people, empty where nobody knows it. ``foreign``: somebody else than its holder is on it.
    ``unreadable``: nobody can tell now whether it is well or who is on it. ``reason`` says in words what is wrong with
    a lost, quarantined, unsupported, unreadable or withheld one. ``leftover_bytes`` is memory that no process on it
    holds, where that is more than the rule allows; ``withheld``: it is given to nobody because of that."""

    uuid: str
    index: int
    model: str
    memory_bytes: int
    pci_bus_id: str = ""
    drained: bool = False
    drain_reason: str = ""
    quarantined: bool = False
    foreign: bool = False
    lost: bool = False
    unsupported: bool = False
    unreadable: bool = False
    leftover_bytes: int = 0
    withheld: bool = False
    reason: str | None = None
    occupants: tuple[Occupant, ...] = ()

    @property
    def sick(self) -> bool:
        """Whether nobody should compute on it."""
        return self.lost or self.quarantined or self.unsupported

    @property
    def leasable(self) -> bool:
        """Whether it may be given to somebody, were it not leased."""
        return not (self.drained or self.foreign or self.sick or self.unreadable or self.withheld)


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
    if unit.unsupported:
        return GpuState.UNSUPPORTED
    if unit.quarantined or unit.unreadable or unit.withheld:
        return GpuState.QUARANTINED
    if leased:
        return GpuState.LEASED
    if unit.drained:
        return GpuState.DRAINED
    return GpuState.FOREIGN if unit.foreign else GpuState.FREE


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignRule:
    """From when on a stranger's process makes a GPU taken: using more than ``memory_bytes``, and not ``ignored`` by its
    command's name."""

    memory_bytes: int = 256 * 1024**2
    ignored: frozenset[str] = frozenset({"Xorg"})

    def counts(self, occupant: Occupant) -> bool:
        """Whether that stranger takes the GPU. One whose memory nobody knows does."""
        if occupant.command in self.ignored:
            return False
        return occupant.memory_bytes is None or occupant.memory_bytes > self.memory_bytes


def strangers(occupants: tuple[Occupant, ...], holder: RunId | None, rule: ForeignRule) -> tuple[Occupant, ...]:
    """Who is on a GPU without holding it. A process of another run of ours counts whatever it uses."""
    return tuple(each for each in occupants if (rule.counts(each) if each.run_id is None else each.run_id != holder))


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftoverRule:
    """From when on memory that no process holds marks a GPU: more than ``memory_bytes``. Such a GPU is ``leased`` when
    no other is free, or to nobody.

    A process that died badly, a container of another pid namespace or a driver's fault leaves such memory behind, and
    whoever is given the GPU runs out of memory without seeing why."""

    memory_bytes: int = 1024**3
    leased: bool = True


def leftover(used_bytes: int, occupants: tuple[Occupant, ...], rule: LeftoverRule) -> int:
    """How much of a GPU's memory no process holds; 0 up to what the rule allows, and where a process does not say how
    much it has."""
    known = [each.memory_bytes for each in occupants if each.memory_bytes is not None]
    left = used_bytes - sum(known)
    return left if len(known) == len(occupants) and left > rule.memory_bytes else 0
