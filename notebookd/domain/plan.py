# SPDX-License-Identifier: Apache-2.0
"""From what is wanted and what is seen to what is to be done: the decision of the reconciler, and nothing else.

:func:`plan` is pure. The same notebook, run, sight and time give the same plan; a converged world plans nothing.
It never acts on an :class:`~notebookd.domain.observed.Unknown`. What it returns is carried out in this order: the
run as it shall be is committed, then the actions are executed until one fails, then everything is looked at anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import assert_never

from notebookd.domain import actions as act
from notebookd.domain import data_plan as data
from notebookd.domain.attached import written
from notebookd.domain.container import Container, ContainerStatus
from notebookd.domain.deadlines import Patience, deadline_of, due_warning, next_look, notice
from notebookd.domain.endings import own_outcome
from notebookd.domain.notebook import Notebook, Wanted
from notebookd.domain.observed import Known, Seen, Unknown
from notebookd.domain.run import (
    FINAL,
    IllegalTransition,
    Outcome,
    Run,
    RunState,
    advance,
    end,
    give_back,
    release,
)
from notebookd.domain.syncing import Launch, Report, Sync, SyncCause, SyncKind, SyncState, drive
from notebookd.domain.turns import restart, seen_running


@dataclass(frozen=True, slots=True, kw_only=True)
class LifecyclePolicy(Patience):
    """How long things may take, and what follows; durations in seconds."""

    release_timeout_s: float = 30
    """How long a process may stay on a GPU after its container is gone, before the GPU is put in quarantine."""
    start_after_boot: bool = True
    """Whether what ran when the host went down is started again."""
    keep_workspaces: bool = False
    """Whether a deleted notebook's workspace and snapshots stay."""
    snapshot_at_stop: bool = False
    """Whether a snapshot of the workspace is taken when a run ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldGpus:
    """What was seen of the GPUs that a run holds; each text names the GPU."""

    sick: str | None = None
    """Why one of them is not to be computed on."""
    taken: str | None = None
    """Who else is on one of them."""
    lingering: tuple[tuple[str, str], ...] = ()
    """GPUs (by UUID) with processes of this run on them, and those in words. GPUs in quarantine are left out."""

    @property
    def unfit(self) -> bool:
        """Whether a container should not be started on them."""
        return self.sick is not None or self.taken is not None


_NO_GPUS = Known(HeldGpus())


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """What was seen of a run: its container, the GPUs it holds, and which boot of the host this is."""

    container: Seen[Container | None]
    boot_id: str
    gpus: Seen[HeldGpus] = _NO_GPUS
    syncs: tuple[Sync, ...] = ()
    """Those of the run, and all of the notebook that have not ended; oldest first."""
    movers: Mapping[str, Seen[Report | None]] = field(default_factory=dict)
    """What their movers say, by transfer; None where there is no mover."""
    slots: int = 0
    """How many more movers may be put to work."""
    taken: frozenset[str] = frozenset()
    """The notebooks on whose repositories somebody is at work."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The run as it shall be, what to do then, and when to look again unless something happens before."""

    run: Run
    actions: tuple[act.Action, ...] = ()
    wake_at: datetime | None = None
    forget: bool = False
    """The notebook's last trace is gone: it may be struck off."""
    again: bool = False
    """A new run of the same is to be queued in the commit that ends this one."""
    syncs: tuple[Sync, ...] = ()
    """Syncs as they shall be: new ones, and those that changed."""


LAUNCH = (act.PrepareFiles(), act.CreateContainer(), act.StartContainer())
_CLEAR = (act.KeepLog(), act.RemoveContainer())
_LOOK_AGAIN_S = 1.0


def plan(notebook: Notebook, run: Run, sight: Sight, policy: LifecyclePolicy, now: datetime) -> Plan:
    """Decide what a notebook's latest run and its data need now."""
    if not sight.syncs:
        return _plan(notebook, run, sight, policy, now)
    moved, syncs, errands = _carried(notebook, run, sight, now)
    planned = _plan(notebook, moved, replace(sight, syncs=syncs), policy, now)
    changed = tuple(after for before, after in zip(sight.syncs, syncs, strict=True) if after != before)
    wake_at = planned.wake_at
    if any(each.state is SyncState.RUNNING for each in syncs):
        look_at = now + timedelta(seconds=_LOOK_AGAIN_S)
        wake_at = min(wake_at, look_at) if wake_at is not None else look_at
    return replace(planned, actions=(*errands, *planned.actions), syncs=(*changed, *planned.syncs), wake_at=wake_at)


def _carried(
    notebook: Notebook, run: Run, sight: Sight, now: datetime
) -> tuple[Run, tuple[Sync, ...], tuple[act.Action, ...]]:
    """The syncs as they shall be, what came of them, and what is to be done about their movers."""
    errands: list[act.Action] = []
    syncs: list[Sync] = []
    slots = sight.slots
    ready = {each.id for each in data.driveable(sight.syncs)}
    for before in sight.syncs:
        after = before
        if not before.over and data.abandoned(run, before, deleting=notebook.deleting_at is not None):
            after = replace(before, cancelled=True)
        if after.state is SyncState.QUEUED and not after.cancelled and after.repository in sight.taken:
            ready.discard(after.id)
        if after.id in ready or after.cancelled or after.over:
            after, its = drive(after, sight.movers, now, slots=slots)
            slots -= sum(isinstance(each, Launch) for each in its)
            errands += its
            run = data.absorbed(run, before, after, now)
        syncs.append(after)
    return run, tuple(syncs), tuple(errands)


def _plan(notebook: Notebook, run: Run, sight: Sight, policy: LifecyclePolicy, now: datetime) -> Plan:
    if run.state in FINAL:
        return _settle(notebook, run, sight, policy, now)
    if isinstance(sight.container, Unknown) and not (run.state is RunState.PENDING and run.launched_at is None):
        deadline = deadline_of(notebook, run, policy)
        return Plan(run=run, wake_at=deadline.at if deadline is not None else None)
    container = sight.container.value if isinstance(sight.container, Known) else None
    if run.state is not RunState.FINALIZING:
        run = _seen_finished(run, container)
        if run.launched_at is not None and run.boot_id != sight.boot_id:
            return Plan(run=_ended_by_reboot(run, policy, now))
    return _BY_STATE[run.state](notebook, run, container, sight, policy, now)


def _queued(_n: Notebook, run: Run, _c: Container | None, _s: Sight, _p: LifecyclePolicy, now: datetime) -> Plan:
    return Plan(run=advance(run, RunState.INITIALIZING, now))


def _initializing(
    notebook: Notebook, run: Run, _c: Container | None, sight: Sight, _p: LifecyclePolicy, now: datetime
) -> Plan:
    wanted = data.wanted_in(run)
    if wanted is None:
        return Plan(run=advance(run, RunState.PENDING, now))
    kind, volumes = wanted
    if kind is SyncKind.RESTORE and not notebook.workspace_made:
        return Plan(run=run, actions=(act.PrepareFiles(),))
    sync = data.latest(run, sight.syncs, kind, SyncCause.START)
    if sync is None:
        fresh = data.new_sync(run, kind, SyncCause.START, volumes, sight.syncs, now)
        return Plan(run=run, syncs=(fresh,))
    return Plan(run=end(run, data.failed_in(sync), now) if sync.over else run)


def _pending(
    notebook: Notebook, run: Run, container: Container | None, sight: Sight, policy: LifecyclePolicy, now: datetime
) -> Plan:
    deadline = _due_at(notebook, run, policy)
    if run.granted_at is None:
        if now >= deadline:
            waited = f"no compute became free within {policy.queue_timeout_s:.0f} s"
            return Plan(run=end(run, _by_platform(waited), now))
        return Plan(run=run, wake_at=deadline)
    if container is None and run.container_started_at is None and run.gpus:
        unseen = isinstance(sight.gpus, Unknown)
        if unseen and now < deadline:
            return Plan(run=run, wake_at=deadline)
        if unseen or _unfit(sight):
            return Plan(run=give_back(run, now))
    if now >= deadline:
        return Plan(run=end(run, _too_slow(run, policy), now))
    if run.launched_at is None:
        launched = replace(run, launched_at=now, boot_id=sight.boot_id, volumes=written(run.volumes))
        return Plan(run=launched, actions=(*LAUNCH, act.AwaitEditor(until=deadline)))
    if container is None and run.container_started_at is None:
        return Plan(run=run, actions=(*LAUNCH, act.AwaitEditor(until=deadline)))
    return _booting(run, container, sight, deadline, now)


def _unfit(sight: Sight) -> bool:
    return isinstance(sight.gpus, Known) and sight.gpus.value.unfit


def _booting(run: Run, container: Container | None, sight: Sight, deadline: datetime, now: datetime) -> Plan:
    if container is None:
        return Plan(run=end(run, VANISHED, now, container_gone=True))
    match container.status:
        case ContainerStatus.CREATED if _unfit(sight):
            return Plan(run=run, actions=(act.RemoveContainer(),))
        case ContainerStatus.CREATED:
            return Plan(run=run, actions=(act.StartContainer(), act.AwaitEditor(until=deadline)))
        case ContainerStatus.RUNNING:
            return Plan(run=seen_running(run, container), actions=(act.AwaitEditor(until=deadline),))
        case ContainerStatus.EXITED | ContainerStatus.LOST:
            return Plan(run=_ended_by_itself(run, container, now))
        case _:
            assert_never(container.status)


def _running(
    notebook: Notebook, run: Run, container: Container | None, _s: Sight, policy: LifecyclePolicy, now: datetime
) -> Plan:
    if container is None:
        return Plan(run=end(run, VANISHED, now, container_gone=True))
    if container.status is not ContainerStatus.RUNNING:
        return Plan(run=_ended_by_itself(run, container, now))
    deadline = deadline_of(notebook, run, policy)
    if deadline is None:
        return Plan(run=run)
    if now >= deadline.at:
        if notebook.spec.timeout_auto_restart:
            return Plan(run=restart(run, now))
        return Plan(run=end(run, TIMED_OUT, now))
    if run.warned is not None and run.warned.deadline_at != deadline.at:
        return Plan(run=run, actions=(act.RemoveNotice(deadline.reason),))
    if warned := due_warning(run, deadline, policy, now):
        return Plan(run=run, actions=(act.LeaveNotice(deadline.reason, notice(notebook, deadline), warned),))
    return Plan(run=run, wake_at=next_look(run, deadline, policy, now))


def _restarting(
    notebook: Notebook, run: Run, container: Container | None, sight: Sight, policy: LifecyclePolicy, now: datetime
) -> Plan:
    deadline = _due_at(notebook, run, policy)
    if container is None:
        return Plan(run=end(run, VANISHED, now, container_gone=True))
    if now >= deadline:
        return Plan(run=end(run, _too_slow(run, policy), now))
    if isinstance(sight.gpus, Known) and sight.gpus.value.sick is not None:
        return Plan(run=end(run, replace(_by_platform(f"{sight.gpus.value.sick}: it moves on"), again=True), now))
    if container.started_at != run.restart_from:
        return _booting(run, container, sight, deadline, now)
    if container.status is ContainerStatus.LOST:
        return Plan(run=_ended_by_itself(run, container, now))
    stop = (act.StopContainer(policy.stop_grace_s),) if container.status is ContainerStatus.RUNNING else ()
    return Plan(run=run, actions=(*stop, act.StartContainer(), act.AwaitEditor(until=deadline)))


def _interrupting(
    notebook: Notebook, run: Run, container: Container | None, sight: Sight, policy: LifecyclePolicy, now: datetime
) -> Plan:
    if container is not None and container.status is ContainerStatus.RUNNING:
        return Plan(run=run, actions=(act.StopContainer(policy.stop_grace_s),))
    if lingering := _lingering(run, sight, policy, now):
        return lingering
    exit_code = container.exit_code if container is not None else run.exit_code
    finalizing = advance(replace(run, exit_code=exit_code), RunState.FINALIZING, now)
    return Plan(run=finalizing if _goes_on(notebook, run) else _freed(finalizing, sight, now))


def _finalizing(
    notebook: Notebook, run: Run, container: Container | None, sight: Sight, policy: LifecyclePolicy, now: datetime
) -> Plan:
    lingering = _lingering(run, sight, policy, now)
    again = _goes_on(notebook, run)
    if container is not None:
        over = container.status is not ContainerStatus.RUNNING and lingering is None and not again
        return Plan(run=_freed(run, sight, now) if over else run, actions=_CLEAR)
    if lingering is not None:
        return lingering
    freed = _freed(run, sight, now)
    deleting = notebook.deleting_at is not None
    going_out = data.outward(run, sight.syncs, now, snapshot=policy.snapshot_at_stop, deleting=deleting)
    if going_out is not None:
        return Plan(run=freed, syncs=going_out)
    if again and freed.holds:
        return Plan(run=run)
    outcome = run.outcome or VANISHED
    pushed = data.latest(run, sight.syncs, SyncKind.PUSH, SyncCause.STOP)
    if data.wanted_out(run) and pushed is not None and not deleting:
        kept = replace(freed, outcome=outcome, unsynced=data.failed_out(pushed))
        return Plan(run=advance(kept, RunState.SYNC_FAILED, now))
    ended = advance(replace(freed, outcome=outcome), outcome.state, now)
    return Plan(run=ended, again=starts_again(notebook, run))


def _goes_on(notebook: Notebook, run: Run) -> bool:
    """Whether a new run takes this one's place. Then its compute is given up in the very commit that queues the new
    one, lest somebody who waits behind be served in between."""
    asked = run.outcome is not None and run.outcome.again
    return asked and _is_wanted(notebook)


def starts_again(notebook: Notebook, run: Run) -> bool:
    """Whether the commit that ends this run queues a new one: it lost its place to the platform, or its user asked for
    another start while it stopped."""
    asked = run.following is not None or (run.outcome is not None and run.outcome.again)
    return asked and _is_wanted(notebook)


def _is_wanted(notebook: Notebook) -> bool:
    return notebook.wanted is Wanted.RUNNING and notebook.deleting_at is None


def _lingering(run: Run, sight: Sight, policy: LifecyclePolicy, now: datetime) -> Plan | None:
    """What to do about processes that outlive their container on its GPUs: wait, and at last shut those GPUs off. The
    quarantine is written before the lease is given up, so that nobody gets such a GPU in between."""
    if not run.holds or not run.gpus or run.boot_id != sight.boot_id:
        return None
    if isinstance(sight.gpus, Unknown) or not sight.gpus.value.lingering:
        return None
    limit = run.state_since + timedelta(seconds=policy.release_timeout_s)
    if now < limit:
        return Plan(run=run, wake_at=min(limit, now + timedelta(seconds=_LOOK_AGAIN_S)))
    return Plan(run=run, actions=tuple(act.QuarantineGpu(uuid, words) for uuid, words in sight.gpus.value.lingering))


def _freed(run: Run, sight: Sight, now: datetime) -> Run:
    """``run``, whose container is gone, without its compute; with it as long as nobody can tell whether one of its
    processes is still on a GPU. No process outlives a boot."""
    confirmed = not run.gpus or isinstance(sight.gpus, Known) or run.boot_id != sight.boot_id
    return release(run, now) if confirmed else run


_BY_STATE: dict[RunState, Callable[[Notebook, Run, Container | None, Sight, LifecyclePolicy, datetime], Plan]] = {
    RunState.QUEUED: _queued,
    RunState.INITIALIZING: _initializing,
    RunState.PENDING: _pending,
    RunState.RUNNING: _running,
    RunState.RESTARTING: _restarting,
    RunState.INTERRUPTING: _interrupting,
    RunState.FINALIZING: _finalizing,
}


def _settle(notebook: Notebook, run: Run, sight: Sight, policy: LifecyclePolicy, now: datetime) -> Plan:
    """An ended run: nothing of it may be left standing, no GPU held; a notebook to be deleted then goes."""
    if run.unsynced is not None and run.outcome is not None and not data.wanted_out(run):
        return Plan(run=advance(replace(run, unsynced=None), run.outcome.state, now))
    if isinstance(sight.container, Unknown):
        return Plan(run=run)
    if sight.container.value is not None:
        return Plan(run=run, actions=_CLEAR)
    if run.holds:
        return _lingering(run, sight, policy, now) or Plan(run=_freed(run, sight, now))
    if notebook.deleting_at is not None and all(each.over for each in sight.syncs):
        return Plan(run=run, actions=(act.RemoveFiles(),), forget=True)
    return Plan(run=run)


def _due_at(notebook: Notebook, run: Run, policy: LifecyclePolicy) -> datetime:
    deadline = deadline_of(notebook, run, policy)
    if deadline is None:
        raise IllegalTransition(f"a run in {run.state} has no deadline")
    return deadline.at


VANISHED = Outcome(state=RunState.ERROR, code="JOB_ERROR", message="the container is gone and nobody of us removed it")
TIMED_OUT = Outcome(state=RunState.TIMEOUT, code="JOB_TIMEOUT", message="the longest running time was up")


def _by_platform(message: str) -> Outcome:
    return Outcome(state=RunState.INTERRUPTED, code="JOB_INTERRUPTED_BY_PLATFORM", message=message)


def _too_slow(run: Run, policy: LifecyclePolicy) -> Outcome:
    seen = f": {run.hindrance}" if run.hindrance else ""
    message = f"the editor did not answer within {policy.start_timeout_s:.0f} s of its start{seen}"
    return Outcome(state=RunState.ERROR, code="JOB_ERROR", message=message)


def _ended_by_reboot(run: Run, policy: LifecyclePolicy, now: datetime) -> Run:
    if run.state is RunState.INTERRUPTING:
        return advance(run, RunState.FINALIZING, now)
    outcome = replace(_by_platform("the host went down while it ran"), again=policy.start_after_boot)
    return end(run, outcome, now, container_gone=True)


def _ended_by_itself(run: Run, container: Container, now: datetime) -> Run:
    """The outcome that the container's own end means."""
    outcome = own_outcome(run, container)
    return end(replace(run, exit_code=container.exit_code), outcome, now, container_gone=True)


def _seen_finished(run: Run, container: Container | None) -> Run:
    """``run`` with the end of its container; a time before its start is that of an earlier start."""
    finished_at = container.finished_at if container is not None else None
    if container is None or finished_at is None or container.started_at is None or finished_at <= container.started_at:
        return run
    return replace(run, container_finished_at=finished_at)
