# SPDX-License-Identifier: Apache-2.0
"""Transfers of data: what is on record of them, and what one needs next.

A *sync* is what somebody or something asked for: volumes in, volumes out, a snapshot, its restoration. It is made of
*transfers*, one a volume (or the workspace), each of which is one mover's work. :func:`drive` is pure: from the record
and from what was seen of the movers to the record as it shall be and the actions that make it so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TypeAlias

from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.observed import Known, Seen
from notebookd.domain.volumes import Volume

MAX_ATTEMPTS = 5
"""How often a transfer is begun whose mover died under it: a reboot, a kill, an engine's fault."""


class SyncKind(StrEnum):
    """What a sync is for."""

    PULL = "pull"
    PUSH = "push"
    SNAPSHOT = "snapshot"
    RESTORE = "restore"


class SyncCause(StrEnum):
    """What brought a sync about."""

    START = "start"
    STOP = "stop"
    MANUAL = "manual"


class SyncState(StrEnum):
    """States of a sync and of each of its transfers."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"

    @property
    def over(self) -> bool:
        """Whether nothing more comes of it."""
        return self not in {SyncState.QUEUED, SyncState.RUNNING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a transfer is, in files but for the bytes. ``total`` 0 is not known yet."""

    total: int = 0
    total_bytes: int = 0
    processed: int = 0
    """Looked at and settled, in whichever way."""
    completed: int = 0
    """Copied."""
    deleted: int = 0
    skipped: int = 0
    """Left as they were on purpose: changed on this side meanwhile, of a kind that is not transferred, ..."""
    failed: int = 0
    transferred_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a mover says. ``over`` when it has ended by itself and said how: ``ok``, or a ``code`` (``DATASYNC_…``) and
    a sentence. ``facts`` are the results proper to its kind of work."""

    over: bool
    ok: bool = False
    code: str = ""
    message: str = ""
    progress: Progress = Progress()
    facts: Mapping[str, str | int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """One mover's work. ``id`` is the mover's name, too. ``volume`` None is the workspace."""

    id: str
    volume_id: str | None = None
    volume: Volume | None = None
    state: SyncState = SyncState.QUEUED
    attempts: int = 0
    launched_at: datetime | None = None
    """When the last attempt began."""
    code: str = ""
    message: str = ""
    progress: Progress = Progress()
    facts: Mapping[str, str | int] | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """A transfer of data as it is on record. ``reset`` lists volumes (by id) whose local copy is given up first."""

    id: str
    notebook_id: NotebookId
    run_id: RunId
    kind: SyncKind
    cause: SyncCause
    queued_at: datetime
    transfers: tuple[Transfer, ...]
    actor: str = "notebookd"
    reset: tuple[str, ...] = ()
    origin: str = ""
    """Of a restoration: the notebook whose snapshot it is, and the snapshot, with a blank between."""
    cancelled: bool = False
    """Nobody waits for it any more: what has begun is interrupted, what has not is not begun."""

    @property
    def state(self) -> SyncState:
        """The state that its transfers' states amount to."""
        states = {each.state for each in self.transfers}
        if SyncState.RUNNING in states or (SyncState.QUEUED in states and len(states) > 1):
            return SyncState.RUNNING
        for state in (SyncState.QUEUED, SyncState.FAILED, SyncState.INTERRUPTED):
            if state in states:
                return state
        return SyncState.DONE

    @property
    def over(self) -> bool:
        """Whether it has ended, in whichever way."""
        return all(each.state.over for each in self.transfers)

    @property
    def started_at(self) -> datetime | None:
        """When its first transfer began."""
        return min((each.started_at for each in self.transfers if each.started_at is not None), default=None)

    @property
    def ended_at(self) -> datetime | None:
        """When its last transfer ended."""
        return (
            max((each.ended_at for each in self.transfers if each.ended_at is not None), default=None)
            if (self.over)
            else None
        )

    @property
    def repository(self) -> str | None:
        """The notebook whose repository of snapshots it works on, which is one's at a time; None for volumes."""
        if self.kind is SyncKind.RESTORE:
            return self.origin.split(" ", 1)[0]
        return self.notebook_id if self.kind is SyncKind.SNAPSHOT else None

    @property
    def failure(self) -> Transfer | None:
        """The first transfer that did not succeed."""
        return next((each for each in self.transfers if each.state in {SyncState.FAILED, SyncState.INTERRUPTED}), None)

    @property
    def code(self) -> str:
        """The info code of how it stands."""
        if self.failure is not None:
            return self.failure.code
        return f"DATASYNC_{self.state}"


@dataclass(frozen=True, slots=True)
class Launch:
    """Have a mover work on a transfer."""

    sync: Sync
    transfer: Transfer


@dataclass(frozen=True, slots=True)
class Interrupt:
    """Have a mover end: nobody waits for it any more."""

    transfer: Transfer


@dataclass(frozen=True, slots=True)
class Clear:
    """Remove what a mover left of itself."""

    transfer: Transfer


Errand: TypeAlias = Launch | Interrupt | Clear

MOVER_LOST = "DATASYNC_ERROR"


def drive(
    sync: Sync, seen: Mapping[str, Seen[Report | None]], now: datetime, *, slots: int
) -> tuple[Sync, tuple[Errand, ...]]:
    """``sync`` as it shall be, and what to do about its movers. ``seen`` is what was seen of each transfer's mover
    (None: there is none); ``slots`` is how many more movers may be at work."""
    driven: list[Transfer] = []
    errands: list[Errand] = []
    for transfer in sync.transfers:
        after, errand = _drive(sync, transfer, seen.get(transfer.id), now, free=slots > 0)
        slots -= isinstance(errand, Launch) and transfer.state is SyncState.QUEUED
        driven.append(after)
        errands += [errand] if errand is not None else []
    return replace(sync, transfers=tuple(driven)), tuple(errands)


def _drive(
    sync: Sync, transfer: Transfer, look: Seen[Report | None] | None, now: datetime, *, free: bool
) -> tuple[Transfer, Errand | None]:
    if transfer.state.over:
        left = isinstance(look, Known) and look.value is not None
        return transfer, Clear(transfer) if left else None
    if transfer.state is SyncState.QUEUED:
        if sync.cancelled:
            return _unwanted(transfer, now), None
        if not free:
            return transfer, None
        begun = replace(transfer, state=SyncState.RUNNING, started_at=now, launched_at=now, attempts=1)
        return begun, Launch(sync, begun)
    return _under_way(sync, transfer, look.value, now) if isinstance(look, Known) else (transfer, None)


def _under_way(sync: Sync, transfer: Transfer, report: Report | None, now: datetime) -> tuple[Transfer, Errand | None]:
    if report is not None and report.over:
        told = replace(transfer, progress=report.progress, facts=report.facts)
        state = SyncState.DONE if report.ok else SyncState.FAILED
        return ended(told, state, report.code, report.message, now), Clear(transfer)
    if sync.cancelled:
        return (transfer, Interrupt(transfer)) if report is not None else (_unwanted(transfer, now), None)
    if report is not None:
        return transfer, None
    if now < _again_at(transfer):
        return transfer, None
    if transfer.attempts >= MAX_ATTEMPTS:
        last = f": {transfer.message}" if transfer.message else ""
        return ended(transfer, SyncState.FAILED, MOVER_LOST, f"its mover died {MAX_ATTEMPTS} times{last}", now), None
    again = replace(transfer, attempts=transfer.attempts + 1, launched_at=now)
    return again, Launch(sync, again)


def _again_at(transfer: Transfer) -> datetime:
    """When a transfer whose mover is gone is begun again: at once, and then after longer and longer."""
    begun_at = transfer.launched_at or datetime.min.replace(tzinfo=UTC)
    return begun_at + timedelta(seconds=2 ** (transfer.attempts - 1) if transfer.attempts > 1 else 0)


def ended(transfer: Transfer, state: SyncState, code: str, message: str, now: datetime) -> Transfer:
    """``transfer``, over."""
    return replace(transfer, state=state, code=code, message=message, ended_at=now)


def _unwanted(transfer: Transfer, now: datetime) -> Transfer:
    return ended(transfer, SyncState.INTERRUPTED, "DATASYNC_INTERRUPTED", "it was no longer wanted", now)
