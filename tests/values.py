# SPDX-License-Identifier: Apache-2.0
"""Domain values for tests, in any state one asks for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from notebookd.domain.compute import Resources
from notebookd.domain.container import Container, ContainerStatus
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.notebook import Notebook, NotebookSpec, ResourceRequest, Wanted
from notebookd.domain.resources import GIB
from notebookd.domain.run import Outcome, Run, RunState

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
BOOT = "00000000-0000-4000-8000-00000000b007"
OTHER_BOOT = "00000000-0000-4000-8000-00000000b008"
NOTEBOOK_ID = NotebookId("11111111-1111-4111-8111-111111111111")
RUN_ID = RunId("22222222-2222-4222-8222-222222222222")
MODEL = "NVIDIA Fake 80GB"
STOPPED_BY_ALICE = Outcome(
    state=RunState.INTERRUPTED, code="JOB_INTERRUPTED", message="stopped by alice", actor="alice"
)

_S = RunState
_ROAD: dict[RunState, tuple[RunState, ...]] = {
    _S.QUEUED: (_S.QUEUED,),
    _S.INITIALIZING: (_S.QUEUED, _S.INITIALIZING),
    _S.PENDING: (_S.PENDING,),
    _S.RUNNING: (_S.PENDING, _S.RUNNING),
    _S.RESTARTING: (_S.PENDING, _S.RUNNING, _S.RESTARTING),
    _S.INTERRUPTING: (_S.PENDING, _S.RUNNING, _S.INTERRUPTING),
    _S.FINALIZING: (_S.PENDING, _S.RUNNING, _S.INTERRUPTING, _S.FINALIZING),
}


def after(seconds: float) -> datetime:
    """That long after NOW."""
    return NOW + timedelta(seconds=seconds)


def resources(gpus: int = 1, *, cpus: int = 4, flavor: str = "fake-80gb-1-gpu", model: str = MODEL) -> Resources:
    """GPUs, or with none of them CPUs."""
    if gpus:
        return Resources(
            flavor=flavor, units=gpus, gpu=True, cpus=4 * gpus, memory_bytes=16 * GIB * gpus, gpu_model=model
        )
    return Resources(flavor="cpu", units=cpus, gpu=False, cpus=cpus, memory_bytes=cpus * GIB)


def notebook(**changes: Any) -> Notebook:
    """Alice's notebook."""
    spec = NotebookSpec(
        name="jupyterlab-amber",
        editor="jupyterlab",
        framework="conda",
        framework_version="py311",
        resources=ResourceRequest(flavor="fake-80gb-1-gpu", units=1, gpu=True),
    )
    spec_changes = {name: changes.pop(name) for name in list(changes) if hasattr(spec, name)}
    made = Notebook(
        id=NOTEBOOK_ID,
        owner="alice",
        spec=replace(spec, **spec_changes),
        wanted=Wanted.RUNNING,
        created_at=NOW,
        updated_at=NOW,
        token="t" * 43,
    )
    return replace(made, **changes)


def run(state: RunState = RunState.PENDING, **changes: Any) -> Run:
    """Alice's run on its ordinary way into ``state``, a second after a second from NOW."""
    final = state not in _ROAD
    road = (*_ROAD[_S.FINALIZING], state) if final else _ROAD[state]
    made = Run(
        id=RUN_ID,
        notebook_id=NOTEBOOK_ID,
        number=1,
        resources=resources(),
        image="localhost/notebookd/jupyterlab:1",
        command=("jupyter", "lab"),
        uid=42420,
        probe="/api",
        history=tuple((after(index), entered) for index, entered in enumerate(road)),
    )
    if state in {_S.RUNNING, _S.RESTARTING, _S.INTERRUPTING, _S.FINALIZING} or final:
        made = launched(made)
    if state is _S.RESTARTING:
        made = replace(made, restart_from=made.container_started_at)
    if state in {_S.INTERRUPTING, _S.FINALIZING}:
        made = replace(made, outcome=STOPPED_BY_ALICE)
    if final:
        ended_by = state if state is not _S.SYNC_FAILED else _S.INTERRUPTED
        made = replace(made, outcome=replace(STOPPED_BY_ALICE, state=ended_by))
    if state is _S.FINALIZING or final:
        made = replace(made, released_at=made.state_since)
    return replace(made, **changes)


def granted(made: Run, at: datetime = NOW, gpus: tuple[str, ...] = ("GPU-0",)) -> Run:
    """``made`` with its compute."""
    return replace(made, granted_at=at, gpus=gpus)


def launched(made: Run) -> Run:
    """``made`` with compute, and a container that was seen running."""
    return replace(
        granted(made),
        launched_at=NOW,
        boot_id=BOOT,
        container_started_at=NOW,
        container_pid=4242,
        timeout_at=after(7 * 86400),
    )


def container(status: ContainerStatus = ContainerStatus.RUNNING, **changes: Any) -> Container:
    """The run's container."""
    running = status is ContainerStatus.RUNNING
    made = Container(
        id="c" * 64,
        name=f"notebookd-{RUN_ID}",
        labels={"io.notebookd.run": RUN_ID},
        status=status,
        image_digest="sha256:" + "0" * 64,
        pid=4242 if running else None,
        started_at=None if status is ContainerStatus.CREATED else NOW,
        finished_at=after(60) if status is ContainerStatus.EXITED else None,
        exit_code=0 if status is ContainerStatus.EXITED else None,
    )
    return replace(made, **changes)
