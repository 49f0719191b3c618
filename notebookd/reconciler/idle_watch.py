# SPDX-License-Identifier: Apache-2.0
"""Looking at running notebooks that may not idle, and stopping those that do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from notebookd.domain.activity import ActivityApi, CpuTime, GpuLoad, Moment, Signals, cpu_load
from notebookd.domain.deadlines import Reason, idle_deadline, notice, warning_event, warning_times
from notebookd.domain.entry import Entry
from notebookd.domain.idleness import (
    IdleRecord,
    IdleRule,
    IdleState,
    Since,
    Verdict,
    idle_window,
    look,
    look_every_s,
)
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.observed import Known, Seen, Unknown
from notebookd.domain.rules import RulesNow
from notebookd.domain.run import Outcome, Run, RunState, end
from notebookd.errors import WorkspaceFault
from notebookd.machine.idleness import Verdicts
from notebookd.machine.inventory import Inventory
from notebookd.ports.activity import Traffic
from notebookd.ports.processes import Processes
from notebookd.ports.store import Store
from notebookd.ports.wake import Wake
from notebookd.reconciler.execute import Ports
from notebookd.record.entries import Stale, commit
from notebookd.record.meter import Meter

log = logging.getLogger(__name__)

_SHORTEST_CPU_SPAN_S = 0.5
"""Over less, a clock tick alone would look like work."""


_SAME_MOMENT = timedelta(seconds=1)
"""A state is on record a little later than it was entered."""


@dataclass(slots=True)
class _Watched:
    """What is carried from look to look for one run. It is not kept over restarts: what is lost with it makes a
    notebook look busier, never idler."""

    touched_at: datetime
    since: Since
    record: IdleRecord = field(default_factory=IdleRecord)
    warned: tuple[float, float] | None = None
    """Boot time of the activity that the last warning counted from, and how long before the stop it was."""
    cpu_time: CpuTime | None = None
    cpu_load: Seen[float] = field(default_factory=lambda: Unknown("nobody has looked at its programs yet"))


class IdleWatch:
    """The one who looks for idleness."""

    def __init__(
        self,
        store: Store,
        ports: Ports,
        traffic: Traffic,
        processes: Processes,
        inventory: Inventory,
        meter: Meter,
        verdicts: Verdicts,
        rules: RulesNow,
        wake: Wake,
    ) -> None:
        self._store = store
        self._ports = ports
        self._traffic = traffic
        self._processes = processes
        self._inventory = inventory
        self._meter = meter
        self._verdicts = verdicts
        self._wake = wake
        self._rules = rules
        self._watched: dict[RunId, _Watched] = {}
        self.dozing = False
        """Whether no look is due, because there was nobody to look at."""

    async def turn(self) -> datetime | None:
        """Look at every notebook that may not idle; returns when to look again."""
        default_s = self._rules().idle_stop_s
        windows = {
            entry.run.id: (entry, window_s)
            for entry in self._store.list_unsettled()
            if entry.run.state is RunState.RUNNING
            and (window_s := idle_window(entry.notebook.spec.labels, default_s)) is not None
        }
        self._watched = {run_id: each for run_id, each in self._watched.items() if run_id in windows}
        self._verdicts.keep(windows)
        self.dozing = not windows
        pids = [entry.run.container_pid for entry, _ in windows.values() if entry.run.container_pid is not None]
        used_s = {pid: each.cpu_s for pid, each in (await self._processes.footprints(pids)).items()}
        await asyncio.gather(*(self._look(entry, window_s, used_s) for entry, window_s in windows.values()))
        if not windows:
            return None
        pause_s = min(look_every_s(window_s) for _, window_s in windows.values())
        return self._ports.clock.now() + timedelta(seconds=pause_s)

    async def _look(self, entry: Entry, window_s: float, used_s: Mapping[int, float]) -> None:
        watched = self._watch(entry)
        signals = await self._signals(entry, self._cpus(entry.run, watched, used_s))
        rule = IdleRule(window_s=window_s)
        watched.record, verdict = look(watched.record, signals, rule, watched.since, self._moment())
        self._verdicts.note(entry.run.id, verdict)
        if verdict.state is IdleState.IDLE:
            await self._stop(entry, verdict)
        else:
            await self._warn(entry, watched, verdict)

    def _watch(self, entry: Entry) -> _Watched:
        """The run's watch; it begins anew when somebody changed the notebook, or it was restarted."""
        run, notebook = entry.run, entry.notebook
        touched_at = max(notebook.updated_at, run.state_since)
        watched = self._watched.get(run.id)
        if watched is None or watched.touched_at != touched_at:
            now = self._moment()
            age_s = min(max((now.at - touched_at).total_seconds(), 0.0), now.boot_s)
            by_start = touched_at - run.state_since < _SAME_MOMENT
            why = "running since" if by_start else "last changed by a person at"
            since = Since(moment=Moment(at=touched_at, boot_s=now.boot_s - age_s), why=why)
            watched = replace(
                watched or _Watched(touched_at=touched_at, since=since), touched_at=touched_at, since=since
            )
            watched.warned = None
            self._watched[run.id] = watched
            self._verdicts.note(run.id, None)
        return watched

    async def _signals(self, entry: Entry, cpus: Seen[float]) -> Signals:
        api = ActivityApi(entry.run.activity)
        return Signals(
            browser=self._traffic.use(entry.notebook.id),
            editor=await self._ports.editor.activity(entry.notebook.id, api),
            gpus=self._gpus(entry.run),
            cpus=cpus,
            api=api,
        )

    def _cpus(self, run: Run, watched: _Watched, used_s: Mapping[int, float]) -> Seen[float]:
        """What its programs made of the CPUs since the last look: nothing else tells of what terminals run."""
        if run.container_pid is None or run.container_pid not in used_s:
            watched.cpu_time = None
            return Unknown("the processes in its container cannot be seen")
        now = CpuTime(pid=run.container_pid, used_s=used_s[run.container_pid], boot_s=self._ports.clock.boottime())
        before = watched.cpu_time
        if before is None or before.pid != now.pid or now.boot_s - before.boot_s >= _SHORTEST_CPU_SPAN_S:
            watched.cpu_time, watched.cpu_load = now, cpu_load(before, now)
        return watched.cpu_load

    def _gpus(self, run: Run) -> Seen[tuple[GpuLoad, ...]]:
        seen = self._inventory.seen
        if not run.gpus:
            return Known(())
        if isinstance(seen, Unknown):
            return seen
        loads = []
        for unit in (unit for unit in seen.value if unit.uuid in run.gpus):
            sample = self._inventory.samples.get(unit.uuid)
            loads.append(GpuLoad(index=unit.index, utilisation=sample.utilisation if sample else None))
        return Known(tuple(loads))

    def _moment(self) -> Moment:
        clock = self._ports.clock
        return Moment(at=clock.now(), boot_s=clock.boottime())

    async def _stop(self, entry: Entry, verdict: Verdict) -> None:
        outcome = Outcome(
            state=RunState.INTERRUPTED, code="JOB_INTERRUPTED_BY_PLATFORM", message=f"stopped: {verdict.reason}"
        )
        now = self._ports.clock.now()
        try:
            await commit(self._store, entry, end(entry.run, outcome, now), now, meter=self._meter)
        except Stale:
            return  # it changed meanwhile: the next look sees how
        self._wake(entry.notebook.id)

    async def _warn(self, entry: Entry, watched: _Watched, verdict: Verdict) -> None:
        """Tell that it will be stopped, once for each time before; take that back when somebody came."""
        counted_from = verdict.since.boot_s
        if watched.warned is not None and watched.warned[0] != counted_from:
            watched.warned = None
            await self._leave_notice(entry.notebook.id, None)
        if verdict.stops_at is None:
            return
        deadline = idle_deadline(verdict.stops_at)
        now = self._ports.clock.now()
        times = warning_times(deadline, verdict.since.at, self._rules().lifecycle.warn_before_s)
        due = [before_s for at, before_s in times if at <= now]
        if not due or (watched.warned is not None and watched.warned[1] <= due[-1]):
            return
        async with self._store.transaction() as tx:
            await tx.append(warning_event(entry.notebook, entry.run, deadline.reason, deadline.at, now))
        watched.warned = (counted_from, due[-1])
        await self._leave_notice(entry.notebook.id, notice(entry.notebook, deadline))

    async def _leave_notice(self, notebook_id: NotebookId, text: str | None) -> None:
        try:
            await self._ports.files.leave_notice(notebook_id, Reason.IDLE_STOP, text)
        except WorkspaceFault as fault:
            log.warning("no notice for notebook %s: %s", notebook_id, fault)
