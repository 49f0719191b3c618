# SPDX-License-Identifier: Apache-2.0
"""The lifecycle of a run: one table, and the only way a state changes.

A *notebook* is durable; each start of it makes a *run*. A run owns what a start takes: the leases, the container,
the deadline, the history, the bill. The notebook's own state is a projection of its latest run (see
:func:`notebook_state`).

How a run ends is decided once. Whatever ends it (a person, a deadline, the editor's own exit, a fault) writes an
:class:`Outcome`; the first one written stays. If no container was ever launched the run goes straight there. Else it
passes INTERRUPTING (unless the container is already gone) and FINALIZING, where the data is saved, and only then takes
the state that its outcome names. So FAILED and ERROR runs save their data exactly as stopped ones do.

:data:`EDGES` is printed as the diagram in docs/lifecycle.md; a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from notebookd.domain.attached import Attached, anew
from notebookd.domain.compute import Resources
from notebookd.domain.ids import NotebookId, RunId


class RunState(StrEnum):
    """States of a run; names and meaning are those of the OVHcloud AI API's jobs."""

    QUEUED = "QUEUED"
    INITIALIZING = "INITIALIZING"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    RESTARTING = "RESTARTING"
    INTERRUPTING = "INTERRUPTING"
    FINALIZING = "FINALIZING"
    DONE = "DONE"
    INTERRUPTED = "INTERRUPTED"
    TIMEOUT = "TIMEOUT"
    FAILED = "FAILED"
    ERROR = "ERROR"
    SYNC_FAILED = "SYNC_FAILED"


class NotebookState(StrEnum):
    """States of a notebook as its user sees them."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    RESTARTING = "RESTARTING"
    STOPPING = "STOPPING"
    STOPPED = "STOPPED"
    FAILED = "FAILED"
    ERROR = "ERROR"
    SYNC_FAILED = "SYNC_FAILED"
    DELETING = "DELETING"


class Edge(NamedTuple):
    """One legal change of state and what brings it about."""

    source: RunState
    target: RunState
    when: str


_S = RunState

EDGES: tuple[Edge, ...] = (
    Edge(_S.QUEUED, _S.INITIALIZING, "its turn to bring volumes in"),
    Edge(_S.QUEUED, _S.INTERRUPTED, "ended before anything began"),
    Edge(_S.QUEUED, _S.FAILED, "a volume of the user's is at fault"),
    Edge(_S.QUEUED, _S.ERROR, "backend fault"),
    Edge(_S.INITIALIZING, _S.PENDING, "volumes in, image present"),
    Edge(_S.INITIALIZING, _S.INTERRUPTED, "ended while volumes came in"),
    Edge(_S.INITIALIZING, _S.FAILED, "a volume or the image is at fault"),
    Edge(_S.INITIALIZING, _S.ERROR, "backend fault"),
    Edge(_S.PENDING, _S.RUNNING, "the editor answered its probe"),
    Edge(_S.PENDING, _S.INTERRUPTED, "ended before a container was launched"),
    Edge(_S.PENDING, _S.FAILED, "the image is missing, no container was launched"),
    Edge(_S.PENDING, _S.ERROR, "backend fault before a container was launched"),
    Edge(_S.PENDING, _S.INTERRUPTING, "ended while the editor boots"),
    Edge(_S.PENDING, _S.FINALIZING, "the container is gone"),
    Edge(_S.RUNNING, _S.RESTARTING, "restart, or seven days with auto-restart"),
    Edge(_S.RUNNING, _S.INTERRUPTING, "stop, or seven days"),
    Edge(_S.RUNNING, _S.FINALIZING, "the container is gone"),
    Edge(_S.RESTARTING, _S.RUNNING, "the same container answers again"),
    Edge(_S.RESTARTING, _S.INTERRUPTING, "stop, or it does not come back in time"),
    Edge(_S.RESTARTING, _S.FINALIZING, "the container is gone"),
    Edge(_S.INTERRUPTING, _S.FINALIZING, "the container is gone"),
    Edge(_S.FINALIZING, _S.DONE, "saved, the editor had exited 0"),
    Edge(_S.FINALIZING, _S.INTERRUPTED, "saved, it was stopped"),
    Edge(_S.FINALIZING, _S.TIMEOUT, "saved, seven days were up"),
    Edge(_S.FINALIZING, _S.FAILED, "saved, the editor had exited non-zero"),
    Edge(_S.FINALIZING, _S.ERROR, "saved, there was a backend fault"),
    Edge(_S.FINALIZING, _S.SYNC_FAILED, "the final push failed"),
    Edge(_S.SYNC_FAILED, _S.DONE, "pushed at last"),
    Edge(_S.SYNC_FAILED, _S.INTERRUPTED, "pushed at last"),
    Edge(_S.SYNC_FAILED, _S.TIMEOUT, "pushed at last"),
    Edge(_S.SYNC_FAILED, _S.FAILED, "pushed at last"),
    Edge(_S.SYNC_FAILED, _S.ERROR, "pushed at last"),
)

_LEGAL = frozenset((edge.source, edge.target) for edge in EDGES)

INITIAL = frozenset({_S.QUEUED, _S.PENDING})
"""A run with nothing to transfer is PENDING in the transaction that creates it."""

FINAL = frozenset({_S.DONE, _S.INTERRUPTED, _S.TIMEOUT, _S.FAILED, _S.ERROR, _S.SYNC_FAILED})

_PROJECTION: dict[RunState, NotebookState] = {
    _S.QUEUED: NotebookState.STARTING,
    _S.INITIALIZING: NotebookState.STARTING,
    _S.PENDING: NotebookState.STARTING,
    _S.RUNNING: NotebookState.RUNNING,
    _S.RESTARTING: NotebookState.RESTARTING,
    _S.INTERRUPTING: NotebookState.STOPPING,
    _S.FINALIZING: NotebookState.STOPPING,
    _S.DONE: NotebookState.STOPPED,
    _S.INTERRUPTED: NotebookState.STOPPED,
    _S.TIMEOUT: NotebookState.STOPPED,
    _S.FAILED: NotebookState.FAILED,
    _S.ERROR: NotebookState.ERROR,
    _S.SYNC_FAILED: NotebookState.SYNC_FAILED,
}


class IllegalTransition(Exception):
    """A change of state that the table does not have: a defect of the caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a run ends: the final state it will take, why, and who or what wrote it."""

    state: RunState
    code: str
    message: str
    actor: str = "notebookd"
    again: bool = False
    """Whether a new run follows at the same place in the queue, if the notebook is still wanted running then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """The warning that was given last: of the deadline at that time, that many seconds before it."""

    deadline_at: datetime
    before_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """A snapshot, by its key in the repository of a notebook."""

    notebook_id: NotebookId
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Following:
    """What the next run is made of, when it was asked for while this one still ended: as catalogue and flavors were
    then. ``actor`` asked for it."""

    actor: str
    resources: Resources
    image: str
    command: tuple[str, ...]
    uid: int
    probe: str
    activity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One start of a notebook. Times are aware UTC; ``history`` holds every state with the time it was entered."""

    id: RunId
    notebook_id: NotebookId
    number: int
    resources: Resources
    image: str
    command: tuple[str, ...]
    uid: int
    probe: str
    history: tuple[tuple[datetime, RunState], ...]
    boot_id: str | None = None
    granted_at: datetime | None = None
    gpus: tuple[str, ...] = ()
    launched_at: datetime | None = None
    """When the intent to make a container was written: from here on one may exist."""
    image_digest: str | None = None
    container_started_at: datetime | None = None
    container_id: str | None = None
    container_pid: int | None = None
    container_finished_at: datetime | None = None
    """When its container ended, where the engine knows: it may have been before anybody noticed."""
    restart_from: datetime | None = None
    """StartedAt of the container that a restart wants to see replaced."""
    timeout_at: datetime | None = None
    warned: Warned | None = None
    outcome: Outcome | None = None
    exit_code: int | None = None
    released_at: datetime | None = None
    activity: str = "jupyter"
    """How its editor tells what goes on in it: an :class:`~notebookd.domain.activity.ActivityApi`."""
    earlier_running_s: float = 0.0
    """Seconds that all runs before this one spent in RUNNING."""
    earlier_started_at: datetime | None = None
    earlier_stopped_at: datetime | None = None
    trace: tuple[tuple[str, datetime], ...] = ()
    """Steps of its start that nothing else here has the time of: see :mod:`notebookd.domain.timings`."""
    place: int = 0
    """Where it stands in the queue: lower is served first. 0 until the store gives it the last place."""
    volumes: tuple[Attached, ...] = ()
    origin: Origin | None = None
    """What its workspace is still to be filled from."""
    unsynced: Outcome | None = None
    """Why its data could not be carried back at its end."""
    oom_kills: int = 0
    """How many of its programs the kernel was seen to have killed for memory since its container's last start."""
    oom_at: datetime | None = None
    """When the last of them was noticed."""
    following: Following | None = None
    """What the next run is made of, if its notebook is still wanted running when this one has ended."""

    hurried: bool = False
    """Whether somebody asked not to wait for its data at its end: no snapshot is taken, nothing is carried back."""
    hindrance: str = ""
    """What was seen of its editor last, where it takes longer than editors do to boot; empty when it answers."""
    labels: Mapping[str, str] | None = None
    """The labels that its notebook had when it ended, by which reports group it; None as long as it goes on, and of a
    run that ended before they were kept."""
    version: int = 0

    @property
    def state(self) -> RunState:
        """The state entered last."""
        return self.history[-1][1]

    @property
    def state_since(self) -> datetime:
        """When the present state was entered."""
        return self.history[-1][0]

    @property
    def queued_at(self) -> datetime:
        """When the run was accepted."""
        return self.history[0][0]

    @property
    def active(self) -> bool:
        """Whether the run has yet to end."""
        return self.state not in FINAL

    @property
    def holds(self) -> bool:
        """Whether the run holds its compute now."""
        return self.granted_at is not None and self.released_at is None

    @property
    def waiting(self) -> bool:
        """Whether the run stands in the queue for compute."""
        return self.state is RunState.PENDING and self.granted_at is None

    def first(self, state: RunState) -> datetime | None:
        """When ``state`` was entered first."""
        return next((at for at, entered in self.history if entered is state), None)

    def last(self, *states: RunState) -> datetime | None:
        """When any of ``states`` was entered last."""
        return next((at for at, entered in reversed(self.history) if entered in states), None)

    def running_time(self, now: datetime) -> timedelta:
        """Time spent in RUNNING up to ``now``; never negative, whatever the wall clock did."""
        total = timedelta()
        for (entered, state), (left, _) in pairwise((*self.history, (now, self.state))):
            if state is RunState.RUNNING:
                total += max(left - entered, timedelta())
        return total


def stopped_at(run: Run) -> datetime | None:
    """When the run left RUNNING (or STARTING) for good; None while it has not."""
    if run.state in FINAL or run.state in {RunState.INTERRUPTING, RunState.FINALIZING}:
        return run.first(RunState.INTERRUPTING) or run.first(RunState.FINALIZING) or run.state_since
    return None


def advance(run: Run, to: RunState, at: datetime) -> Run:
    """``run`` in state ``to`` since ``at``. Raises :class:`IllegalTransition` and changes nothing otherwise."""
    if (run.state, to) not in _LEGAL:
        raise IllegalTransition(f"a run cannot go from {run.state} to {to}")
    return replace(run, history=(*run.history, (max(at, run.state_since), to)))


def end(run: Run, outcome: Outcome, at: datetime, *, container_gone: bool = False) -> Run:
    """``run`` on its way to ``outcome``: at once when nothing was launched, else by INTERRUPTING, or by
    FINALIZING where the container is already gone. A run that is ending keeps the outcome it has. GPUs that a container
    had stay held: see :func:`release`."""
    if run.outcome is not None or not run.active:
        return run
    run = replace(run, outcome=outcome)
    if run.launched_at is None:
        return release(advance(run, outcome.state, at), at)
    return advance(run, RunState.FINALIZING if container_gone else RunState.INTERRUPTING, at)


def grant(run: Run, gpus: tuple[str, ...], at: datetime) -> Run:
    """``run`` with its compute."""
    return replace(run, granted_at=at, gpus=gpus, released_at=None)


def release(run: Run, at: datetime) -> Run:
    """``run`` without its compute. Whoever calls this has seen that none of its processes is on a GPU of it."""
    return replace(run, released_at=at) if run.holds else run


def give_back(run: Run, at: datetime) -> Run:
    """``run`` back at its place in the queue: what it was granted cannot be used, and no container ran on it."""
    return replace(release(run, at), granted_at=None, gpus=(), launched_at=None, boot_id=None)


def first_state(volumes: Sequence[Attached], origin: Origin | None) -> RunState:
    """The state in which a run is accepted: PENDING, unless something has to come in before."""
    return RunState.QUEUED if origin is not None or any(each.place.pulled for each in volumes) else RunState.PENDING


def follow(earlier: Run, run: Run, at: datetime) -> Run:
    """``run``, new, as the one that follows ``earlier`` at ``at``: with its number and what is kept of the past."""
    return replace(
        run,
        number=earlier.number + 1,
        earlier_running_s=earlier.earlier_running_s + earlier.running_time(at).total_seconds(),
        earlier_started_at=earlier.last(RunState.RUNNING) or earlier.earlier_started_at,
        earlier_stopped_at=stopped_at(earlier) or earlier.earlier_stopped_at,
    )


def successor(earlier: Run, run_id: RunId, at: datetime) -> Run:
    """The run that follows in the commit that ends ``earlier``.

    After an end that was no fault of its user's it is a run of the same, of the very image that ran and at the same
    place in the queue, which is ahead of all who wait. Where its user asked for it, it is what they asked for, and
    takes the last place (0 is none yet).
    """
    run = Run(
        id=run_id,
        notebook_id=earlier.notebook_id,
        number=earlier.number + 1,
        resources=earlier.resources,
        image=earlier.image,
        image_digest=earlier.image_digest,
        command=earlier.command,
        uid=earlier.uid,
        probe=earlier.probe,
        activity=earlier.activity,
        history=((at, first_state(earlier.volumes, earlier.origin)),),
        place=earlier.place,
        volumes=anew(earlier.volumes),
        origin=earlier.origin,
    )
    asked = earlier.following
    if asked is not None and not (earlier.outcome is not None and earlier.outcome.again):
        run = replace(
            run,
            resources=asked.resources,
            image=asked.image,
            image_digest=None,
            command=asked.command,
            uid=asked.uid,
            probe=asked.probe,
            activity=asked.activity,
            place=0,
        )
    return follow(earlier, run, at)


def notebook_state(state: RunState, *, deleting: bool) -> NotebookState:
    """The notebook's state: DELETING, or the projection of its latest run's state."""
    return NotebookState.DELETING if deleting else _PROJECTION[state]


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2"]
    lines += [f"    [*] --> {state}" for state in sorted(INITIAL)]
    lines += [f"    {edge.source} --> {edge.target}: {edge.when}" for edge in EDGES]
    lines += [f"    {state} --> [*]" for state in sorted(FINAL)]
    return "\n".join(lines) + "\n"
