# SPDX-License-Identifier: Apache-2.0
"""Why a notebook is in its state, what it waits for, and what will happen to it by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from notebookd.domain.advice import BEGIN_ANEW, STUCK
from notebookd.domain.deadlines import Deadline, deadline_of, idle_deadline
from notebookd.domain.endings import out_of_memory
from notebookd.domain.entry import Entry
from notebookd.domain.holding import hold_sentences
from notebookd.domain.leasing import Wait, WaitReason
from notebookd.domain.observed import Unknown
from notebookd.domain.plan import starts_again
from notebookd.domain.rules import RulesNow
from notebookd.domain.run import FINAL, NotebookState, Run, RunState
from notebookd.domain.syncing import Sync, SyncKind, SyncState
from notebookd.machine.idleness import Verdicts
from notebookd.machine.inventory import Inventory
from notebookd.machine.transfers import Transfers
from notebookd.service.allowance import Allowance
from notebookd.service.machine import Machine
from notebookd.units import readable_size

_WAY_OUT = (
    "What its owner has configured can be the cause, such as base_url in ~/.jupyter: `notebookctl logs` has what the "
    "editor says. `notebookctl exec NOTEBOOK -- mv /workspace/.jupyter /workspace/.jupyter.aside`, a stop and a start "
    "go on without it."
)
_OVER = FINAL | {RunState.INTERRUPTING, RunState.FINALIZING}


class Reasons:
    """The answers to "why?"."""

    def __init__(
        self,
        machine: Machine,
        inventory: Inventory,
        verdicts: Verdicts,
        transfers: Transfers,
        allowance: Allowance,
        rules: RulesNow,
    ) -> None:
        self._transfers = transfers
        self._allowance = allowance
        self._verdicts = verdicts
        self._machine = machine
        self._inventory = inventory
        self._rules = rules

    def deadlines(self, entry: Entry) -> list[Deadline]:
        """What will happen to a notebook by itself, in order."""
        deadline = deadline_of(entry.notebook, entry.run, self._rules().lifecycle)
        verdict = self._verdicts.find(entry.run)
        idle = idle_deadline(verdict.stops_at) if verdict is not None and verdict.stops_at is not None else None
        return sorted((each for each in (deadline, idle) if each is not None), key=lambda each: each.at)

    def sentences(self, entry: Entry) -> list[str]:
        """Why a notebook is in its state."""
        run = entry.run
        if run.waiting:
            row = next((row for row in self._machine.queue() if row.entry.run.id == run.id), None)
            if row is not None:
                waits = f"It waits for {row.sentence}, at position {row.wait.position}."
                return [waits, *self._own_hold(entry, row.wait)]
        match entry.state:
            case NotebookState.STARTING if run.state is not RunState.PENDING:
                sentences = ["Its data comes in; it asks for no compute before that is done."]
            case NotebookState.STARTING:
                sentences = ["It has its compute; its container boots and has yet to answer.", *_hindrance(run)]
            case NotebookState.RUNNING:
                sentences = ["Its editor answers."]
            case NotebookState.RESTARTING:
                sentences = ["Its container is being restarted as it is.", *_hindrance(run)]
            case _:
                sentences = _ending(run)
        return [*sentences, *_memory(run), *self._data(entry), *self._room(run), *self._gpus(run), *self._idleness(run)]

    def _own_hold(self, entry: Entry, wait: Wait) -> list[str]:
        """Where its owner's quota is what it waits for: what holds the GPUs, and what to stop."""
        if wait.reason is not WaitReason.QUOTA:
            return []
        return hold_sentences(self._machine.own_hold(entry.notebook.owner), entry.run.resources.gpus)

    def _data(self, entry: Entry) -> list[str]:
        """What there is to say of data under way, and of data that could not be carried back."""
        run = entry.run
        sentences = (
            [f"{run.unsynced.message[:1].upper()}{run.unsynced.message[1:]} ({run.unsynced.code})."]
            if (run.unsynced is not None)
            else []
        )
        syncs = [self._transfers.live(each) for each in self._transfers.list_syncs(run)]
        sentences += _ended(syncs, alive=run.outcome is None)
        for sync in syncs:
            for transfer in () if sync.over else sync.transfers:
                what = transfer.volume or "the workspace"
                done = transfer.progress
                files = f"{done.processed} of {done.total} file{'s' * (done.total != 1)}"
                sentences.append(
                    f"The {sync.kind} of {what} is {transfer.state}: {files}, {readable_size(done.transferred_bytes)}."
                )
        if run.active and run.outcome is not None and any(not each.over for each in syncs):
            way = "" if run.hurried else "; `notebookctl stop --now` does not wait for it"
            then = "starts" if starts_again(entry.notebook, run) else "can be started"
            sentences.append(f"It {then} again when that is done{way}.")
        elif run.active and run.outcome is not None and starts_again(entry.notebook, run):
            sentences.append("It starts again when it has stopped.")
        return sentences

    def _room(self, run: Run) -> list[str]:
        excess = self._allowance.workspace_excess(run.notebook_id)
        return [f"{excess[:1].upper()}{excess[1:]}: it does not start while that is so."] if excess else []

    def _idleness(self, run: Run) -> list[str]:
        """What there is to say of a run that may not idle: every signal with its last-seen time."""
        verdict = self._verdicts.find(run)
        if verdict is None:
            return []
        signals = [f"{each.signal}: {each.sentence}" for each in verdict.findings]
        return [f"For its idle stop it is {verdict.state}: {verdict.reason}.", *signals]

    def _gpus(self, run: Run) -> list[str]:
        """What there is to say of the GPUs that it holds."""
        if not (run.holds and run.gpus):
            return []
        seen = self._inventory.held_by(run)
        if isinstance(seen, Unknown):
            sentences = [f"Its GPUs cannot be seen: {seen.reason}."]
            if run.state in _OVER:
                sentences.append("They are given back when the driver shows that none of its processes is on them.")
            return sentences
        sentences = []
        if seen.value.sick is not None:
            sentences.append(f"{seen.value.sick}. A restart moves it to another.")
        if seen.value.taken is not None:
            sentences.append(f"{seen.value.taken}, and was not given it.")
        if run.state not in _OVER:
            sentences += [
                f"{words}. It is given when no other is free; `fuser -v /dev/nvidia*` shows admins more."
                for words in self._inventory.leftover_on(run)
            ]
        if run.state in _OVER:
            sentences += [f"GPU {uuid} is not given back: {words}." for uuid, words in seen.value.lingering]
        return sentences


def _hindrance(run: Run) -> list[str]:
    """What keeps an editor from answering, where it takes longer than editors do, and what its owner can do."""
    if not run.hindrance:
        return []
    return [f"Its editor does not answer: {run.hindrance}.", _WAY_OUT]


def _ended(syncs: Sequence[Sync], *, alive: bool) -> list[str]:
    """What came of the last transfer of each kind, where that is more than that all was carried. Of data that was to
    come in or go back when the run was over, its outcome tells."""
    sentences = []
    for kind in SyncKind:
        last = max((each for each in syncs if each.over and each.kind is kind), key=_queued_at, default=None)
        for transfer in last.transfers if last is not None else ():
            what = transfer.volume or "the workspace"
            if transfer.state is SyncState.DONE and transfer.message:
                sentences.append(f"The last {kind} of {what} was done; {transfer.message}.")
            elif transfer.state is SyncState.FAILED and (alive or kind is SyncKind.SNAPSHOT):
                sentences.append(f"The last {kind} of {what} failed: {transfer.message} ({transfer.code}).")
                if kind is SyncKind.PULL and transfer.code in STUCK and transfer.volume is not None:
                    sentences.append(f"Once it is stopped, {BEGIN_ANEW.on(mount=transfer.volume.mount_path)}.")
    return sentences


def _memory(run: Run) -> list[str]:
    """What there is to say of programs that were killed for memory."""
    if run.oom_at is None or run.outcome is not None:
        return []
    words, at = out_of_memory(run), f"{run.oom_at:%Y-%m-%d %H:%M} UTC"
    told = f"{words[:1].upper()}{words[1:]}: the kernel killed a program in it, as was seen last at {at}."
    return [f"{told} Use less memory there, or ask for more units, or a flavor with more memory."]


def _queued_at(sync: Sync) -> datetime:
    return sync.queued_at


def _ending(run: Run) -> list[str]:
    verb = "ends" if run.active else "ended"
    sentences = [f"It {verb}: {run.outcome.message} ({run.outcome.code})."] if run.outcome else []
    if run.exit_code is not None:
        sentences.append(f"Its editor exited with status {run.exit_code}.")
    return sentences
