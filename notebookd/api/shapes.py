# SPDX-License-Identifier: Apache-2.0
"""From domain values to what crosses the wire. An absent value is left out; null is never sent."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from notebookd import wire
from notebookd.api import data_shapes
from notebookd.domain.catalogue import Catalogue, Editor, Framework
from notebookd.domain.compute import Resources
from notebookd.domain.deadlines import Deadline
from notebookd.domain.endings import out_of_memory
from notebookd.domain.entry import Entry
from notebookd.domain.event import Event
from notebookd.domain.notebook import Notebook
from notebookd.domain.resources import Flavor, brand_and_model
from notebookd.domain.run import FINAL, Run, RunState, stopped_at
from notebookd.domain.syncing import Sync
from notebookd.service.gpus import BoardRow
from notebookd.service.loads import Load
from notebookd.service.machine import QueueRow
from notebookd.wire import UNSET, UnsetType, answers

_JOB_MESSAGES = {
    RunState.QUEUED: "accepted, nothing begun",
    RunState.INITIALIZING: "data is being synchronized in",
    RunState.PENDING: "waiting for compute, or booting",
    RunState.RUNNING: "the editor answers",
    RunState.RESTARTING: "the container is being restarted as it is",
    RunState.INTERRUPTING: "the container is being stopped",
    RunState.FINALIZING: "data is being saved",
}


def notebook(
    entry: Entry,
    *,
    url: str,
    workspace: wire.Workspace | UnsetType,
    syncs: Sequence[Sync] = (),
    running_s: tuple[int, int],
) -> wire.Notebook:
    """A notebook with its latest run, and its transfers, the newest first. ``running_s``: how long that run was
    RUNNING, and all its runs."""
    kept = entry.notebook
    return wire.Notebook(
        id=kept.id,
        created_at=wire.rfc3339(kept.created_at),
        updated_at=wire.rfc3339(kept.updated_at),
        spec=spec(kept, entry.run.resources),
        status=_status(entry, url=url, workspace=workspace, syncs=syncs, running_s=running_s),
        user=kept.owner,
    )


def spec(kept: Notebook, held: Resources) -> wire.Spec:
    """The specification with what derives from it."""
    asked = kept.spec
    return wire.Spec(
        env=answers.NotebookEnv(
            editor_id=asked.editor, framework_id=asked.framework, framework_version=asked.framework_version
        ),
        resources=resources(held),
        name=asked.name,
        env_vars=[answers.EnvVar(name=name, value=value) for name, value in asked.env_vars],
        labels=dict(asked.labels),
        ssh_public_keys=list(asked.ssh_public_keys),
        timeout_auto_restart=asked.timeout_auto_restart,
        unsecure_http=asked.unsecure_http,
        volumes=[data_shapes.volume(each) for each in asked.volumes],
    )


@lru_cache(maxsize=1024)
def resources(held: Resources) -> answers.Resources:
    """Compute with derived fields filled in; bytes."""
    brand, model = brand_and_model(held.gpu_model) if held.gpu_model else (UNSET, UNSET)
    return answers.Resources(
        flavor=held.flavor,
        gpu=held.units if held.gpu else UNSET,
        cpu=UNSET if held.gpu else held.units,
        memory=held.memory_bytes,
        gpu_brand=brand,
        gpu_model=model,
        gpu_memory=held.gpu_memory_bytes or UNSET,
    )


def _status(
    entry: Entry, *, url: str, workspace: wire.Workspace | UnsetType, syncs: Sequence[Sync], running_s: tuple[int, int]
) -> wire.NotebookStatus:
    run = entry.run
    state = entry.state
    latest_s, total_s = running_s
    if run.outcome is not None and run.state in FINAL:
        info = _outcome(run)
    else:
        killed = f"; {out_of_memory(run)}: a program in it was killed" if run.oom_at and not run.outcome else ""
        info = wire.Info(code=f"NOTEBOOK_{state}", message=f"the notebook is {state}{killed}{_hindrance(run)}")
    return wire.NotebookStatus(
        state=str(state),
        url=url,
        data_sync=[data_shapes.data_sync(each, run.volumes) for each in syncs],
        volumes=[data_shapes.volume_status(each) for each in run.volumes],
        duration=total_s,
        info=info,
        last_job_status=_job(run, url=url, syncs=syncs, running_s=latest_s),
        last_started_at=_time(run.last(RunState.RUNNING) or run.earlier_started_at),
        last_stopped_at=_time(stopped_at(run) or run.earlier_stopped_at),
        workspace=workspace,
    )


def _job(run: Run, *, url: str, syncs: Sequence[Sync], running_s: int) -> wire.JobStatus:
    ended = run.state in FINAL
    return wire.JobStatus(
        state=str(run.state),
        history=[wire.JobStateHistory(date=wire.rfc3339(at), state=str(state)) for at, state in run.history],
        queued_at=wire.rfc3339(run.queued_at),
        duration=running_s,
        data_sync=[data_shapes.data_sync(each, run.volumes) for each in syncs if each.run_id == run.id],
        volumes=[data_shapes.volume_status(each) for each in run.volumes],
        exit_code=UNSET if run.exit_code is None else run.exit_code,
        finalized_at=_time(run.state_since if ended else None),
        info=_outcome(run)
        if run.outcome is not None
        else wire.Info(code=f"JOB_{run.state}", message=_JOB_MESSAGES.get(run.state, str(run.state)) + _hindrance(run)),
        initializing_at=_time(run.first(RunState.INITIALIZING) or run.queued_at),
        last_transition_date=wire.rfc3339(run.state_since),
        started_at=_time(run.first(RunState.RUNNING)),
        stopped_at=_time(stopped_at(run)),
        timeout_at=_time(run.timeout_at),
        url=url,
    )


def _hindrance(run: Run) -> str:
    return f"; its editor does not answer: {run.hindrance}" if run.hindrance else ""


def _outcome(run: Run) -> wire.Info:
    outcome = run.unsynced or run.outcome
    if outcome is None:
        return wire.Info(code=f"JOB_{run.state}", message=str(run.state))
    arguments = {"actor": outcome.actor}
    if run.exit_code is not None:
        arguments["exitCode"] = str(run.exit_code)
    return wire.Info(code=outcome.code, message=outcome.message, arguments=arguments)


def _time(at: datetime | None) -> str | UnsetType:
    return UNSET if at is None else wire.rfc3339(at)


def flavor(each: Flavor, free: int, ephemeral_bytes: int) -> wire.Flavor:
    """A flavor and how many units of it are free."""
    return wire.Flavor(
        id=each.id,
        type="gpu" if each.gpu else "cpu",
        description=each.description,
        default=each.default,
        max_=each.limit,
        free=free,
        resources_per_unit=wire.ResourcesPerUnit(
            cpu=each.cpus, memory=each.memory_bytes, ephemeral_storage=ephemeral_bytes
        ),
        gpu_information=_gpu_information(each),
        groups=list(each.groups) or UNSET,
    )


def _gpu_information(each: Flavor) -> wire.GpuInformation | UnsetType:
    if each.gpu_model is None:
        return UNSET
    brand, model = brand_and_model(each.gpu_model)
    return wire.GpuInformation(gpu_brand=brand, gpu_model=model, gpu_memory=each.gpu_memory_bytes or 0)


def editor(each: Editor, catalogue: Catalogue) -> wire.Editor:
    """An editor of the catalogue."""
    return wire.Editor(
        id=each.id,
        name=each.name,
        description=each.description,
        doc_url=each.doc_url or UNSET,
        logo_url=each.logo_url or UNSET,
        versions=[each.version] if each.version else UNSET,
        incompatible_with=list(catalogue.incompatible_with(each.id)),
        deprecated=catalogue.deprecation(each.id) or UNSET,
    )


def framework(each: Framework, catalogue: Catalogue) -> wire.Framework:
    """A framework of the catalogue with its versions, the default first."""
    return wire.Framework(
        id=each.id,
        name=each.name,
        description=each.description,
        versions=[version.version for version in catalogue.versions(each.id)],
        doc_url=each.doc_url or UNSET,
        logo_url=each.logo_url or UNSET,
        saved_paths=list(catalogue.saved_paths(each.id)),
        deprecated_versions=catalogue.deprecated_versions(each.id) or UNSET,
    )


def board_row(row: BoardRow, *, named: bool) -> wire.Gpu:
    """A GPU on the board, the notebook on it by its name for those who may know that."""
    sample, unit = row.sample, row.unit
    lease = None
    if row.lease is not None and row.holder is not None:
        lease = wire.GpuLease(
            notebook=row.holder.notebook.id,
            owner=row.holder.notebook.owner,
            since=wire.rfc3339(row.lease.granted_at),
            free_at=_free_at(row.holder),
            name=row.holder.notebook.spec.name if named else UNSET,
        )
    return wire.Gpu(
        uuid=unit.uuid,
        index=unit.index,
        name=unit.model,
        memory=wire.GpuMemory(total=unit.memory_bytes, used=sample.memory_used_bytes) if sample else None,
        utilisation=_whole(sample.utilisation * 100) if sample and sample.utilisation is not None else None,
        temperature=_whole(sample.temperature_c) if sample and sample.temperature_c is not None else None,
        power=sample.power_w if sample else None,
        state=row.state,
        drained=unit.drained,
        drain_reason=unit.drain_reason or UNSET,
        foreign=unit.foreign,
        lease=lease,
        processes=[
            wire.GpuProcess(
                pid=each.pid,
                user=each.user,
                command=each.command,
                memory=each.memory_bytes,
                notebook=each.notebook_id,
            )
            for each in unit.occupants
            if sample is not None
        ],
        health=_gpu_health(row),
        pci_bus_id=unit.pci_bus_id or UNSET,
        leftover=unit.leftover_bytes or UNSET if sample else UNSET,
    )


def _free_at(holder: Entry) -> str | None:
    """When the lease ends at the latest; auto-restart has no such time."""
    if holder.run.timeout_at is None or holder.notebook.spec.timeout_auto_restart:
        return None
    return wire.rfc3339(holder.run.timeout_at)


def _gpu_health(row: BoardRow) -> wire.GpuHealth:
    quarantine = row.quarantine
    bad = row.unit.sick or row.unit.unreadable or row.unit.withheld
    return wire.GpuHealth(
        status="unknown" if row.sample is None else "failed" if bad else "ok",
        message=row.unit.reason or UNSET,
        xid=quarantine.xid if quarantine and quarantine.xid is not None else UNSET,
        at=wire.rfc3339(quarantine.at) if quarantine else UNSET,
        notebook=quarantine.notebook_id or UNSET if quarantine else UNSET,
        throttle=list(row.sample.health.throttle) or UNSET if row.sample else UNSET,
    )


def _whole(value: float) -> int:
    return round(value)


def queue_row(row: QueueRow) -> wire.QueueEntry:
    """A waiting run."""
    return wire.QueueEntry(
        notebook=row.entry.notebook.id,
        name=row.entry.notebook.spec.name,
        owner=row.entry.notebook.owner,
        position=row.wait.position,
        asks_for=resources(row.entry.run.resources),
        waits_for=f"{row.wait.reason}: {row.sentence}",
        latest_start_at=wire.rfc3339(row.latest_start_at) if row.latest_start_at else None,
        queued_at=wire.rfc3339(row.entry.run.queued_at),
    )


def load(row: Load) -> wire.Load:
    """What a running notebook takes."""
    cpus = UNSET if row.cpus is None else round(row.cpus, 2)
    return wire.Load(notebook=row.notebook.id, memory=row.memory_bytes, cpus=cpus)


def deadline(row: Deadline) -> wire.Deadline:
    """Something that will happen by itself."""
    return wire.Deadline(reason=str(row.reason), at=wire.rfc3339(row.at), why=row.why, moved_by=row.moved_by or UNSET)


def event(happened: Event) -> wire.Event:
    """An entry of the record."""
    return wire.Event(
        id=happened.id,
        at=wire.rfc3339(happened.at),
        actor=happened.actor,
        type=happened.type,
        notebook=happened.notebook_id or UNSET,
        before=happened.before or UNSET,
        after=happened.after or UNSET,
        details=dict(happened.data) or UNSET,
    )
