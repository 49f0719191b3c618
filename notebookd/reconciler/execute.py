# SPDX-License-Identifier: Apache-2.0
"""Carrying out what a plan asks for. Each action is idempotent; what came of it is a new run value."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import assert_never

from notebookd.domain import actions as act
from notebookd.domain import environment, timings
from notebookd.domain.attached import Place
from notebookd.domain.container import ContainerStatus, container_name
from notebookd.domain.data_plan import USERS_FAULT
from notebookd.domain.entry import Entry
from notebookd.domain.ids import NotebookId
from notebookd.domain.observed import Known
from notebookd.domain.rules import RulesNow
from notebookd.domain.run import Outcome, Run, RunState
from notebookd.domain.turns import answered, seen_running, start_failed, unanswered
from notebookd.domain.volumes import WORKSPACE
from notebookd.errors import (
    ContainerMissing,
    DeviceUnresolvable,
    EngineError,
    EngineUnavailable,
    ImageMissing,
    MountMoved,
    NameTaken,
    NotebookdError,
    VolumeFault,
    WorkspaceFault,
)
from notebookd.machine.gpu_watch import GpuWatch
from notebookd.ports.clock import Clock
from notebookd.ports.editor import Editor
from notebookd.ports.engine import ContainerSpec, Engine, LogLine, Mount
from notebookd.ports.files import BUNDLES, Files
from notebookd.ports.movers import Movers
from notebookd.ports.volumes import Volumes
from notebookd.reconciler.trace import Trace

log = logging.getLogger(__name__)

_PROBE_EVERY_S = 0.01
_PROBE_SLOWER_S = 0.1
_PROBE_SLOWER_AFTER_S = 5.0
_LOOK_AGAIN_S = 5.0
_SHM_SHARE = 2
_STARTING = frozenset({RunState.INITIALIZING, RunState.PENDING, RunState.RESTARTING})
_REFUSALS = (ImageMissing, DeviceUnresolvable, VolumeFault)
"""Faults after which there surely is no container."""
_HINT = "; see `notebookctl logs` and `notebookctl bugreport`"
_ABSENT = "; an admin pulls or builds it with `notebookctl image`"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What actions act upon."""

    engine: Engine
    editor: Editor
    files: Files
    volumes: Volumes
    movers: Movers
    clock: Clock


def _info_code(fault: NotebookdError) -> str:
    if isinstance(fault, VolumeFault):
        return fault.info_code
    if isinstance(fault, MountMoved):  # by whoever may write to the datastore or to the workspace
        return "DATASYNC_INVALID_SOURCE"
    return "JOB_INVALID_IMAGE_NAME" if isinstance(fault, ImageMissing) else "JOB_ERROR"


def _blamed(fault: NotebookdError) -> RunState:
    """Whether its user asked for what cannot be had, or the machine is at fault."""
    return RunState.FAILED if _info_code(fault) in USERS_FAULT else RunState.ERROR


class Overtaken(Exception):
    """What the plan stood on is no longer so: look again."""


class Executor:
    """Carries out actions for one instance of notebookd."""

    def __init__(
        self,
        ports: Ports,
        watch: GpuWatch,
        rules: RulesNow,
        instance: str,
        *,
        cdi: bool,
    ) -> None:
        self._ports = ports
        self._watch = watch
        self._rules = rules
        self._instance = instance
        self._cdi = cdi
        self._trace = Trace(ports.clock)

    async def execute(self, action: act.RunAction, entry: Entry, disturbed: asyncio.Event) -> Run:
        """Do it, and return the run as it is after. Raises transient errors and :class:`Overtaken` only; a lasting
        failure is an outcome."""
        try:
            return self._trace.after(action, await self._execute(action, entry, disturbed))
        except EngineUnavailable:
            raise
        except (EngineError, WorkspaceFault, VolumeFault) as fault:
            if entry.run.state not in _STARTING:
                raise EngineUnavailable(fault.message) from fault
            hints = (f" ({fault.hint})" if fault.hint else "") + (_ABSENT if isinstance(fault, ImageMissing) else "")
            blamed = _blamed(fault)
            message = fault.message + hints + (_HINT if blamed is RunState.ERROR else "")
            refused = isinstance(action, act.CreateContainer) and isinstance(fault, _REFUSALS)
            unmade = refused or isinstance(action, act.PrepareFiles)
            why = Outcome(state=blamed, code=_info_code(fault), message=message)
            failed = start_failed(entry.run, why, self._ports.clock.now(), nothing_made=unmade)
            return self._trace.onto(failed)

    async def _execute(self, action: act.RunAction, entry: Entry, disturbed: asyncio.Event) -> Run:
        run, ports = entry.run, self._ports
        name = container_name(run)
        match action:
            case act.PrepareFiles():
                await self._prepare(entry)
            case act.CreateContainer():
                await self._create(entry)
            case act.StartContainer():
                await self._confirm(run)
                checked = await self._checked_mounts(run)
                return seen_running(run, await ports.engine.start(name, checked=checked))
            case act.AwaitEditor():
                return await self._await_editor(action, entry, disturbed)
            case act.StopContainer():
                return await self._stop(run, name, action.grace_s)
            case act.LeaveNotice(reason, text, warned):
                await self._leave_notice(entry, reason, text)
                return replace(run, warned=warned)
            case act.RemoveNotice(reason):
                await self._leave_notice(entry, reason, None)
                return replace(run, warned=None)
            case act.KeepLog():
                await self._keep_log(entry, name)
            case act.RemoveContainer():
                await self._remove(run, name)
            case act.QuarantineGpu(gpu_uuid, lingering):
                await self._watch.quarantine(gpu_uuid, f"its container is gone, and {lingering}", entry)
            case act.RemoveFiles():
                await self._remove_files(run.notebook_id)
            case _:
                assert_never(action)
        return run

    async def _confirm(self, run: Run) -> None:
        """The last look before anything computes on its GPUs: making a container takes long enough for a stranger."""
        if run.gpus:
            held = await self._watch.held_by(run)
            if isinstance(held, Known) and (held.value.unfit if run.state is RunState.PENDING else held.value.sick):
                raise Overtaken

    async def _prepare(self, entry: Entry) -> None:
        """Make or find workspace and editor's folder, and give the volumes of this run theirs. Those of volumes that it
        has no more go, with nothing in them that is nowhere else: no volume is taken from a notebook that could not
        push it, and Git clones that it could write to stay."""
        run = entry.run
        await self._ports.files.prepare(run.notebook_id, made=entry.notebook.workspace_made)
        if run.number > 1:
            await self._ports.volumes.discard(run.notebook_id, keep={each.id for each in run.volumes})
        if run.volumes and run.state is not RunState.INITIALIZING:
            await self._ports.volumes.prepare(run.notebook_id, run.volumes, now=self._ports.clock.now())

    async def _remove(self, run: Run, name: str) -> None:
        await self._ports.engine.remove(name)
        await self._ports.files.clear_editor(run.notebook_id)
        if any(each.place is Place.SCRATCH for each in run.volumes):
            await self._ports.volumes.discard(run.notebook_id, scratch=True)

    async def _remove_files(self, notebook_id: NotebookId) -> None:
        await self._ports.files.remove(notebook_id)
        await self._ports.volumes.discard(notebook_id)
        if self._rules().lifecycle.keep_workspaces:
            return
        try:
            await self._ports.movers.forget_snapshots(notebook_id)
        except VolumeFault as fault:
            log.warning("the snapshots of notebook %s stay behind: %s", notebook_id, fault)

    async def _checked_mounts(self, run: Run) -> tuple[Mount, ...]:
        """The mounts that others than notebookd can move by a link, as they are found now: at the source, or at the
        target, where that is in the workspace."""
        below = f"{WORKSPACE}/"
        open_to_others = [
            each for each in run.volumes if each.place is Place.DIRECTORY or each.volume.mount_path.startswith(below)
        ]
        return await self._ports.volumes.mounts(run.notebook_id, open_to_others) if open_to_others else ()

    async def _create(self, entry: Entry) -> None:
        run = entry.run
        await self._ports.files.link_volumes(run.notebook_id, [each.volume.mount_path for each in run.volumes])
        mounts = await self._ports.volumes.mounts(run.notebook_id, run.volumes) if run.volumes else ()
        trust = await self._ports.files.lay_trust(run.notebook_id, None)
        with suppress(NameTaken):
            await self._ports.engine.create(self._spec(entry, mounts, trust))
        if trust is not None:
            await self._trust_as_its_image_does(run)

    async def _trust_as_its_image_does(self, run: Run) -> None:
        """What the image trusts takes the place of what this machine does. The file is mounted by its name, when the
        container starts."""
        for path in BUNDLES:
            usual = await self._ports.engine.read_file(container_name(run), path)
            if usual:
                await self._ports.files.lay_trust(run.notebook_id, usual)
                return

    def _spec(self, entry: Entry, volumes: tuple[Mount, ...], trust: Mount | None) -> ContainerSpec:
        notebook, run = entry.notebook, entry.run
        folders = self._ports.files.folders(notebook.id)
        return ContainerSpec(
            name=container_name(run),
            image=run.image_digest or run.image,
            command=run.command,
            env=environment.of_notebook(
                environment.for_containers(self._rules().env, ca=trust is not None),
                notebook.spec.env_vars,
                {"HOME": "/workspace", "NOTEBOOK_ID": notebook.id, "NOTEBOOK_NAME": notebook.spec.name},
            ),
            labels={
                "io.notebookd.instance": self._instance,
                "io.notebookd.notebook": notebook.id,
                "io.notebookd.run": run.id,
                "io.notebookd.owner": notebook.owner,
            },
            mounts=(
                Mount(source=str(folders.workspace), target="/workspace"),
                Mount(source=str(folders.editor), target="/run/editor"),
                *((trust,) if trust is not None else ()),
                *volumes,
            ),
            devices=tuple(f"nvidia.com/gpu={uuid}" for uuid in run.gpus) if self._cdi else (),
            uid=run.uid,
            hostname=notebook.spec.name[:63],
            cpus=float(run.resources.cpus),
            memory_bytes=run.resources.memory_bytes,
            shm_bytes=run.resources.shm_bytes or run.resources.memory_bytes // _SHM_SHARE,
        )

    async def _await_editor(self, action: act.AwaitEditor, entry: Entry, disturbed: asyncio.Event) -> Run:
        clock = self._ports.clock
        begun = clock.now()
        until = min(action.until, begun + timedelta(seconds=_LOOK_AGAIN_S))
        booting = clock.now() - entry.run.state_since < timedelta(seconds=_PROBE_SLOWER_AFTER_S)
        pause = _PROBE_EVERY_S if booting else _PROBE_SLOWER_S
        seen = entry.run.hindrance
        while not disturbed.is_set() and clock.now() < until:
            self._trace.note(entry.run, timings.ASKED)
            answer = await self._ports.editor.answers(entry.notebook.id, entry.run.probe)
            if answer.up:
                return answered(entry.run, self._rules().lifecycle, clock.now())
            seen = answer.seen
            await clock.sleep(pause)
        return unanswered(entry.run, seen, clock.now())

    async def _stop(self, run: Run, name: str, grace_s: float) -> Run:
        container = await self._ports.engine.stop(name, grace_s=grace_s)
        if container is None or run.state is RunState.RESTARTING:
            return run
        ended = container.status is ContainerStatus.EXITED
        return replace(run, exit_code=container.exit_code if ended else None)

    async def _leave_notice(self, entry: Entry, reason: str, text: str | None) -> None:
        """A workspace that takes no notice is its user's own doing, or full: the event tells him all the same."""
        try:
            await self._ports.files.leave_notice(entry.notebook.id, reason, text)
        except WorkspaceFault as fault:
            log.warning("no notice for notebook %s: %s", entry.notebook.id, fault)

    async def _keep_log(self, entry: Entry, name: str) -> None:
        """Keep the log if there is room for it: a full disk must not hold up a stop."""
        try:
            await self._ports.files.keep_log(entry.notebook.id, entry.run.id, self._log(name))
        except WorkspaceFault as fault:
            log.warning("the log of run %s is lost: %s", entry.run.id, fault)

    async def _log(self, name: str) -> AsyncIterator[LogLine]:
        try:
            async with aclosing(self._ports.engine.logs(name)) as lines:  # type: ignore[type-var]
                async for line in lines:
                    yield line
        except ContainerMissing:
            return
