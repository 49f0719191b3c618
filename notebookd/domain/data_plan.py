# SPDX-License-Identifier: Apache-2.0
"""What a run's data needs next: what has to come in before it starts, what goes back and is kept when it ends.

Pure, and a part of :mod:`notebookd.domain.plan`. A sync's id follows from its run, kind and number, so that a plan made
twice is one plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID, uuid5

from notebookd.domain.advice import STUCK, UNPUSHED, about_pull
from notebookd.domain.attached import Attached, Place
from notebookd.domain.run import FINAL, Outcome, Run, RunState
from notebookd.domain.snapshots import Snapshot
from notebookd.domain.syncing import Sync, SyncCause, SyncKind, SyncState, Transfer

USERS_FAULT = frozenset({"DATASYNC_SOURCE_NOT_FOUND", "DATASYNC_INVALID_SOURCE", "DATASYNC_TOO_LARGE"})
"""Info codes of what its user asked for and cannot be had: the run is FAILED. All else is ERROR."""


def new_sync(
    run: Run,
    kind: SyncKind,
    cause: SyncCause,
    volumes: Sequence[Attached],
    earlier: Sequence[Sync],
    now: datetime,
    *,
    actor: str = "notebookd",
) -> Sync:
    """A sync of ``volumes``, or of the workspace where the kind has none, that follows the ``earlier`` ones of its
    run."""
    number = sum(each.run_id == run.id for each in earlier)
    sync_id = uuid5(UUID(run.id), f"{kind}-{number}")
    if kind in {SyncKind.PULL, SyncKind.PUSH}:
        transfers = tuple(
            Transfer(id=str(uuid5(sync_id, each.id)), volume_id=each.id, volume=each.volume) for each in volumes
        )
    else:
        transfers = (Transfer(id=str(uuid5(sync_id, "workspace"))),)
    restored = run.origin if kind is SyncKind.RESTORE else None
    return Sync(
        id=str(sync_id),
        notebook_id=run.notebook_id,
        run_id=run.id,
        kind=kind,
        cause=cause,
        queued_at=now,
        transfers=transfers,
        actor=actor,
        reset=tuple(each.id for each in volumes if each.given_up) if kind is SyncKind.PULL else (),
        origin=f"{restored.notebook_id} {restored.key}" if restored else "",
    )


def latest(run: Run, syncs: Iterable[Sync], kind: SyncKind, cause: SyncCause) -> Sync | None:
    """The last of that kind and cause that this run had."""
    of_it = [each for each in syncs if each.run_id == run.id and each.kind is kind and each.cause is cause]
    return max(of_it, key=lambda each: each.queued_at, default=None)


def wanted_in(run: Run) -> tuple[SyncKind, Sequence[Attached]] | None:
    """What has to come in next before the run may start; None when all is there. Everything is brought in anew at each
    start: what is there already costs a look."""
    if run.origin is not None:
        return SyncKind.RESTORE, ()
    missing = [each for each in run.volumes if each.place.pulled and not each.present]
    return (SyncKind.PULL, missing) if missing else None


def wanted_out(run: Run) -> list[Attached]:
    """The volumes that may hold what their source does not."""
    return [each for each in run.volumes if each.dirty]


def absorbed(run: Run, before: Sync | None, after: Sync, now: datetime) -> Run:
    """``run`` with what came of the transfers that have ended between the two."""
    was_over = {each.id for each in before.transfers if each.state.over} if before is not None else set()
    done = [each for each in after.transfers if each.state is SyncState.DONE and each.id not in was_over]
    for transfer in done:
        if after.kind is SyncKind.RESTORE:
            run = replace(run, origin=None)
        elif transfer.volume_id is not None:
            attached = tuple(
                _moved(each, after, transfer, run, now) if each.id == transfer.volume_id else each
                for each in run.volumes
            )
            run = replace(run, volumes=attached)
    stuck = {each.volume_id for each in after.transfers if each.state is SyncState.FAILED and each.code in STUCK}
    if after.kind is SyncKind.PULL and stuck - was_over:
        run = replace(run, volumes=tuple(replace(each, stuck=each.stuck or each.id in stuck) for each in run.volumes))
    return run


def _moved(attached: Attached, sync: Sync, transfer: Transfer, run: Run, now: datetime) -> Attached:
    if sync.kind is SyncKind.PULL:
        version = (transfer.facts or {}).get("version")
        shared = str(version) if attached.place is Place.CACHE and version else None
        return replace(attached, pulled_at=now, present=True, given_up=False, stuck=False, version=shared)
    quiet = run.state in FINAL or run.state is RunState.FINALIZING
    return replace(attached, pushed_at=now, dirty=attached.dirty and not quiet)


def failed_in(sync: Sync) -> Outcome:
    """The outcome of a run whose data did not come in."""
    failure = sync.failure
    code, message = (failure.code, failure.message) if failure is not None else ("DATASYNC_ERROR", "")
    volume = failure.volume if failure is not None else None
    what = str(volume) if volume is not None else "the workspace"
    alias = volume.store.alias if volume is not None and volume.store is not None else None
    advice = about_pull(code, mount=volume.mount_path if volume is not None else "/workspace", alias=alias)
    return Outcome(
        state=RunState.FAILED if code in USERS_FAULT else RunState.ERROR,
        code=code,
        message=f"cannot bring in {what}: {message}; {advice}",
    )


def failed_out(sync: Sync) -> Outcome:
    """Why a run is SYNC_FAILED."""
    failure = sync.failure
    code, message = (failure.code, failure.message) if failure is not None else ("DATASYNC_ERROR", "")
    volume = failure.volume if failure is not None else None
    what, mount = (str(volume), volume.mount_path) if volume is not None else ("the volumes", "/MOUNT")
    return Outcome(
        state=RunState.SYNC_FAILED,
        code=code,
        message=f"cannot carry back {what}: {message}; the local copy is kept: {UNPUSHED.on(mount=mount)}",
    )


def snapshot_of(sync: Sync, owner: str) -> Snapshot | None:
    """The snapshot that a sync took."""
    facts = sync.transfers[0].facts or {}
    if sync.kind is not SyncKind.SNAPSHOT or sync.state is not SyncState.DONE or sync.ended_at is None:
        return None
    return Snapshot(
        id=str(uuid5(UUID(sync.id), "snapshot")),
        notebook_id=sync.notebook_id,
        owner=owner,
        taken_at=sync.ended_at,
        key=str(facts.get("snapshot", "")),
        size_bytes=int(facts.get("bytes", 0)),
        files=int(facts.get("files", 0)),
    )


def used_at(sync: Sync) -> int:
    """Bytes that the workspace took on the disk when a sync took its snapshot."""
    facts = sync.transfers[0].facts or {}
    return int(facts.get("used", facts.get("bytes", 0)))


def kept_keys(sync: Sync) -> frozenset[str]:
    """The keys of the snapshots that retention left in the repository."""
    return frozenset(str((sync.transfers[0].facts or {}).get("kept", "")).split())


def outward(
    run: Run, syncs: Sequence[Sync], now: datetime, *, snapshot: bool, deleting: bool
) -> tuple[Sync, ...] | None:
    """What is still to be done with the data of a run whose container is gone: new syncs, none while others are under
    way, None when all is done that can be. Of a notebook that is being deleted nothing is saved."""
    under_way = any(not each.over for each in syncs)
    if deleting:
        return () if under_way else None
    wanted: list[Sync] = []
    dirty = wanted_out(run)
    if dirty and not under_way and latest(run, syncs, SyncKind.PUSH, SyncCause.STOP) is None:
        wanted.append(new_sync(run, SyncKind.PUSH, SyncCause.STOP, dirty, syncs, now))
    taken = latest(run, syncs, SyncKind.SNAPSHOT, SyncCause.STOP)
    if snapshot and not run.hurried and run.container_started_at is not None and taken is None:
        wanted.append(new_sync(run, SyncKind.SNAPSHOT, SyncCause.STOP, (), (*syncs, *wanted), now))
    return tuple(wanted) if wanted or under_way else None


def abandoned(run: Run, sync: Sync, *, deleting: bool) -> bool:
    """Whether nobody waits for ``sync`` any more: data for a run that ends, data of one that ends in a hurry, anything
    of what is being deleted."""
    inwards = sync.kind in {SyncKind.PULL, SyncKind.RESTORE}
    hurried = run.hurried and sync.run_id == run.id and sync.cause is SyncCause.STOP
    return deleting or hurried or (inwards and (run.outcome is not None or sync.run_id != run.id))


def driveable(syncs: Sequence[Sync]) -> list[Sync]:
    """Those of the open ``syncs`` (oldest first) that need not wait for an older one to be done with the same files."""
    taken: set[str | None] = set()
    free = []
    for sync in syncs:
        files = {each.volume_id for each in sync.transfers}
        if not sync.over and not files & taken:
            free.append(sync)
        if not sync.over:
            taken |= files
    return free
