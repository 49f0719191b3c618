# SPDX-License-Identifier: Apache-2.0
"""What a caller may do to notebooks: check, write intent and event in one transaction, wake the reconciler."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NoReturn

from notebookd.domain import advice
from notebookd.domain.actor import Actor
from notebookd.domain.deadlines import Patience
from notebookd.domain.entry import ACTIVE, STOPPED, Entry
from notebookd.domain.event import Event
from notebookd.domain.ids import NotebookId
from notebookd.domain.notebook import Notebook, NotebookSpec, Wanted
from notebookd.domain.observed import Unknown
from notebookd.domain.patch import Patch, needs_stop, patched
from notebookd.domain.plan import starts_again
from notebookd.domain.quota import QuotaBook
from notebookd.domain.run import NotebookState, Origin, Outcome, Run, RunState, end
from notebookd.domain.spec import (
    MAX_LABELS,
    Fault,
    SpecWish,
    complete,
    generated_name,
    label_fault,
    name_faults,
)
from notebookd.domain.turns import extended, restart
from notebookd.errors import (
    Conflict,
    Forbidden,
    GpusUnavailable,
    NotebookdError,
    NotFound,
    PreconditionFailed,
)
from notebookd.machine.inventory import Inventory
from notebookd.ports.clock import Clock
from notebookd.ports.store import Store, Transaction
from notebookd.ports.wake import ALLOCATION, IDLE
from notebookd.record.entries import write_entry
from notebookd.record.meter import Meter
from notebookd.service.allowance import Allowance
from notebookd.service.faults import invalid, labelled_for
from notebookd.service.happenings import extension, hurry, start_asked
from notebookd.service.names import free_name, require_name
from notebookd.service.starts import Starts

_S = NotebookState
_UNPUSHED = f"its local copy holds what was not carried back: {advice.UNPUSHED.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A caller's name for a request, and the digest of what it asked."""

    key: str
    digest: str


class Notebooks:
    """Every change that a person may ask for. ``wake`` is the reconciler's."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        starts: Starts,
        inventory: Inventory,
        quota: QuotaBook,
        wake: Callable[[str], None],
        *,
        meter: Meter,
        patience: Patience,
        min_free_bytes: int,
    ) -> None:
        self._meter = meter
        self.patience = patience
        self._store = store
        self._clock = clock
        self.starts = starts
        self._inventory = inventory
        self.allowance = Allowance(store, quota, meter, min_free_bytes=min_free_bytes)
        self._wake = wake

    def get(self, actor: Actor, notebook_id: NotebookId, verb: str) -> Entry:
        """The notebook, when there is one and it is the actor's to ``verb``."""
        entry = self._store.find_entry(notebook_id)
        if entry is None:
            raise _missing(verb, notebook_id)
        if not actor.may_see(entry.notebook.owner, entry.notebook.spec.labels):
            if actor.token is not None:
                raise _missing(verb, notebook_id)
            raise Forbidden(f"cannot {verb} notebook {notebook_id}: it is not yours")
        return entry

    def check(self, wish: SpecWish, faults: Sequence[Fault] = ()) -> NotebookSpec:
        """The specification that a wish means; ``faults`` were found before. Raises InvalidRequest with all, and
        GpusUnavailable where a GPU is wished for and nobody could ever see whether there is one."""
        seen = self._inventory.seen
        if isinstance(seen, Unknown) and not self._inventory.units and not (wish.resources and wish.resources.cpu):
            raise GpusUnavailable(f"cannot create the notebook: the GPUs cannot be seen: {seen.reason}")
        spec, found = complete(
            wish,
            self.starts.catalogue,
            self._inventory.flavors(),
            name=generated_name(wish.editor or "", secrets.randbits(30)),
            git_schemes=self.starts.rules.git_schemes,
        )
        if spec is None or faults:
            raise invalid("create the notebook", [*faults, *found])
        return spec

    async def create(
        self,
        actor: Actor,
        spec: NotebookSpec,
        idempotency: IdempotencyKey | None = None,
        *,
        origin: Origin | None = None,
        named: bool = True,
    ) -> Entry:
        """Make a notebook and start it. A known idempotency key gives the notebook that it made, as long as the actor
        may see it. What a token with a selector makes gets that label. Where nobody ``named`` it, and its name is
        taken, it gets a number."""
        spec = labelled_for(actor, spec, "create the notebook")
        self.starts.require_rights(actor, spec.volumes, "create the notebook")
        disk = await self._store.disk_use()
        async with self._store.transaction() as tx:
            known = self._find_answer(actor, idempotency)
            if known is not None:
                return known
            self.allowance.require_room_of(disk, "create the notebook")
            self.allowance.require_gpus(actor, spec.resources, "create the notebook")
            self.allowance.require_minutes(actor, spec.resources, "create the notebook")
            self.allowance.require_another(actor, "create the notebook")
            if not named:
                spec = replace(spec, name=free_name(self._store, actor.name, spec.name))
            require_name(self._store, actor, spec.name, "create the notebook")
            now = self._clock.now()
            notebook = Notebook(
                id=NotebookId(str(uuid.uuid4())),
                owner=actor.name,
                spec=spec,
                wanted=Wanted.RUNNING,
                created_at=now,
                updated_at=now,
                token=secrets.token_urlsafe(32),
                session_secret=secrets.token_urlsafe(32),
            )
            run = self.starts.first_run(notebook, now, origin)
            entry = await write_entry(tx, None, notebook, run, meter=self._meter, actor=actor.signature, at=now)
            if idempotency is not None:
                await tx.put_answer(actor.namespace, idempotency.key, idempotency.digest, notebook.id, now)
        self._wake(entry.notebook.id)
        self._wake(ALLOCATION)
        return entry

    def _find_answer(self, actor: Actor, idempotency: IdempotencyKey | None) -> Entry | None:
        if idempotency is None:
            return None
        answer = self._store.find_answer(actor.namespace, idempotency.key, now=self._clock.now())
        if answer is None:
            return None
        digest, notebook_id = answer
        if digest != idempotency.digest:
            raise Conflict(f"cannot reuse Idempotency-Key {idempotency.key!r}: it stood for another request")
        entry = self._store.find_entry(notebook_id)
        if entry is None or not actor.may_see(entry.notebook.owner, entry.notebook.spec.labels):
            said = "the notebook that it made was deleted, or you may not see it any more"
            raise Conflict(f"cannot reuse Idempotency-Key {idempotency.key!r}: {said}")
        return entry

    async def start(self, actor: Actor, notebook_id: NotebookId, *, discard: bool = False) -> None:
        """Start a stopped notebook as a new run; with ``discard`` also one whose data could not be carried back, which
        is given up. One that is stopping starts when it has stopped."""
        await self.allowance.require_room(f"start notebook {notebook_id}")
        async with self._store.transaction() as tx:
            entry = self.get(actor, notebook_id, "start")
            state = entry.state
            if state in ACTIVE or (state is _S.STOPPING and starts_again(entry.notebook, entry.run)):
                return
            if state not in STOPPED | {_S.STOPPING} or (state is _S.SYNC_FAILED and not discard):
                _refuse("start", entry, state, hint=_UNPUSHED if state is _S.SYNC_FAILED else None)
            self.allowance.require_workspace(notebook_id, f"start notebook {notebook_id}")
            self.starts.require_place(actor, entry.notebook, unpushed=state is _S.SYNC_FAILED)
            resources = entry.notebook.spec.resources
            self.allowance.require_gpus(actor, resources, f"start notebook {notebook_id}")
            self.allowance.require_minutes(actor, resources, f"start notebook {notebook_id}")
            now = self._clock.now()
            secret = entry.notebook.session_secret or secrets.token_urlsafe(32)
            notebook = replace(entry.notebook, wanted=Wanted.RUNNING, session_secret=secret)
            if state is _S.STOPPING:
                run = replace(entry.run, following=self.starts.following(notebook, entry.run, now, actor.signature))
                notebook = replace(notebook, updated_at=max(now, notebook.updated_at))
                await tx.append(start_asked(entry, actor, now))
            else:
                notebook = replace(notebook, token=secrets.token_urlsafe(32))
                run = self._anew(notebook, entry.run, now, discard=discard)
            await write_entry(tx, entry, notebook, run, meter=self._meter, actor=actor.signature, at=now)
        self._wake(notebook_id)
        self._wake(ALLOCATION)

    def _anew(self, notebook: Notebook, earlier: Run, now: datetime, *, discard: bool) -> Run:
        if earlier.holds:
            raise GpusUnavailable(
                f"cannot start notebook {notebook.id}: nobody can see whether its last run has left its GPUs",
                hint="see `notebookctl why` and `notebookctl gpu`",
            )
        run = self.starts.next_run(notebook, earlier, now, discard=discard)
        return replace(run, place=earlier.place) if self._lost_its_gpu(earlier) else run

    def _lost_its_gpu(self, run: Run) -> bool:
        """Whether a GPU fell sick under a run: who lost his GPU so does not queue up anew."""
        marks = self._store.list_gpu_marks()
        quarantines = [marks[uuid].quarantine for uuid in run.gpus if uuid in marks]
        return any(each is not None and each.run_id == run.id for each in quarantines)

    async def stop(self, actor: Actor, notebook_id: NotebookId, *, at_once: bool = False) -> None:
        """Stop a notebook; its workspace stays. With ``at_once`` its data is not waited for, also where it stops
        already: no snapshot is taken, and what was not carried back stays here (SYNC_FAILED)."""
        async with self._store.transaction() as tx:
            entry = self.get(actor, notebook_id, "stop")
            state = entry.state
            if state is _S.DELETING:
                _refuse("stop", entry, state)
            notebook = replace(entry.notebook, wanted=Wanted.STOPPED)
            await self._end(tx, actor, entry, notebook, "stopped", hurried=at_once)
        self._wake(notebook_id)
        self._wake(ALLOCATION)

    async def _end(
        self, tx: Transaction, actor: Actor, entry: Entry, notebook: Notebook, did: str, *, hurried: bool = False
    ) -> None:
        now = self._clock.now()
        outcome = Outcome(
            state=RunState.INTERRUPTED,
            code="JOB_INTERRUPTED",
            message=f"{did} by {actor.signature}",
            actor=actor.signature,
        )
        ended = end(entry.run, outcome, now)
        if hurried and ended.active and not ended.hurried:
            ended = replace(ended, hurried=True)
            await tx.append(hurry(entry, actor, now))
        await write_entry(tx, entry, notebook, ended, meter=self._meter, actor=actor.signature, at=now)

    async def restart(self, actor: Actor, notebook_id: NotebookId) -> None:
        """Restart the container as it is: same GPUs, same files."""
        async with self._store.transaction() as tx:
            entry = self.get(actor, notebook_id, "restart")
            state = entry.state
            if state is _S.RESTARTING:
                return
            if state is not _S.RUNNING:
                _refuse("restart", entry, state)
            now = self._clock.now()
            await write_entry(
                tx, entry, entry.notebook, restart(entry.run, now), meter=self._meter, actor=actor.signature, at=now
            )
        self._wake(notebook_id)

    async def extend(
        self, actor: Actor, notebook_id: NotebookId, *, by: timedelta | None = None, until: datetime | None = None
    ) -> datetime:
        """Move the deadline of a running notebook by so much, or to that time; returns where it stands then."""
        async with self._store.transaction() as tx:
            entry = self.get(actor, notebook_id, "extend")
            if entry.state is not _S.RUNNING or entry.run.timeout_at is None:
                _refuse("extend", entry, entry.state, hint="only a running notebook has a deadline to extend")
            moved = extended(entry.run, until or entry.run.timeout_at + (by or timedelta()), self.patience)
            if isinstance(moved, str):
                path = "$.until" if until else "$.duration"
                raise invalid(f"extend notebook {notebook_id}", [Fault(path, moved)])
            if moved == entry.run:
                return entry.run.timeout_at
            now = self._clock.now()
            touched = replace(entry.notebook, updated_at=max(now, entry.notebook.updated_at))
            await write_entry(tx, entry, touched, moved, meter=self._meter, actor=actor.signature, at=now)
            await tx.append(extension(entry, moved, actor, now))
        self._wake(notebook_id)
        return moved.timeout_at or now

    async def delete(self, actor: Actor, notebook_id: NotebookId, *, force: bool) -> None:
        """Delete a notebook with its workspace; with ``force`` also one that is not stopped."""
        async with self._store.transaction() as tx:
            entry = self.get(actor, notebook_id, "delete")
            state = entry.state
            if state is _S.DELETING:
                return
            if not force and (state not in STOPPED or state is _S.SYNC_FAILED):
                _refuse("delete", entry, state, hint="stop it first, or use force")
            notebook = replace(entry.notebook, wanted=Wanted.STOPPED, deleting_at=self._clock.now())
            await self._end(tx, actor, entry, notebook, "deleted")
        self._wake(notebook_id)
        self._wake(ALLOCATION)

    async def renew_access(self, actor: Actor, notebook_id: NotebookId) -> Entry:
        """Give a notebook another token, and end every session that a browser has with it. For its owner alone."""
        async with self._store.transaction() as tx:
            entry = self.get(actor, notebook_id, "renew the access to")
            if entry.notebook.owner != actor.name:
                raise Forbidden(f"cannot renew the access to notebook {notebook_id}: that is its owner's alone")
            token, secret = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
            renewed = replace(entry.notebook, token=token, session_secret=secret)
            notebook = await self._put(tx, actor, renewed, "notebook.access")
        self._wake(notebook_id)
        return replace(entry, notebook=notebook)

    async def set_label(self, actor: Actor, notebook_id: NotebookId, name: str, value: str | None) -> None:
        """Set a label, or remove it with an empty or absent value."""
        message = label_fault(name, value)
        kept = actor.selector
        if kept is not None and name == kept.name and value != kept.value:
            raise invalid(f"label notebook {notebook_id}", [Fault("$.value", f"the token keeps the label {kept}")])
        if message:
            path = "$.name" if label_fault(name, None) else "$.value"
            raise invalid(f"label notebook {notebook_id}", [Fault(path, message)])
        async with self._store.transaction() as tx:
            entry = self.get(actor, notebook_id, "label")
            labels = {key: kept for key, kept in entry.notebook.spec.labels.items() if key != name}
            if value:
                labels[name] = value
            if len(labels) > MAX_LABELS:
                raise invalid(f"label notebook {notebook_id}", [Fault("$.name", f"at most {MAX_LABELS} labels")])
            await self._change(tx, actor, entry, replace(entry.notebook.spec, labels=labels))
        self._wake(IDLE)

    async def rename(self, actor: Actor, notebook_id: NotebookId, name: str) -> None:
        """Give a notebook another name, at any time. A container that runs has the old one until the next start."""
        what = f"rename notebook {notebook_id}"
        async with self._store.transaction() as tx:
            entry = self.get(actor, notebook_id, "rename")
            if faults := list(name_faults(name)):
                raise invalid(what, faults)
            if entry.state is _S.DELETING:
                _refuse("rename", entry, _S.DELETING)
            if name != entry.notebook.spec.name:
                require_name(self._store, actor, name, what, owner=entry.notebook.owner)
            await self._change(tx, actor, entry, replace(entry.notebook.spec, name=name))
        self._wake(notebook_id)

    async def update(
        self,
        actor: Actor,
        notebook_id: NotebookId,
        patch: Patch,
        *,
        if_match: frozenset[str] | None = None,
        faults: Sequence[Fault] = (),
    ) -> None:
        """Change a notebook. Labels and auto-restart at any time, the rest when it is stopped."""
        async with self._store.transaction() as tx:
            entry = self.get(actor, notebook_id, "change")
            if if_match is not None and entry.tag not in if_match:
                raise PreconditionFailed(f"cannot change notebook {notebook_id}: it changed since you looked")
            schemes = self.starts.rules.git_schemes
            spec, found = patched(entry.notebook.spec, patch, self._inventory.flavors(), schemes)
            if faults or found:
                raise invalid(f"change notebook {notebook_id}", [*faults, *found])
            spec = labelled_for(actor, spec, f"change notebook {notebook_id}")
            state = entry.state
            if state is _S.DELETING or (state not in STOPPED and needs_stop(entry.notebook.spec, spec)):
                _refuse(
                    "change", entry, state, hint="resources, variables, keys and access change only while it is stopped"
                )
            if spec.volumes != entry.notebook.spec.volumes:
                if state is _S.SYNC_FAILED:
                    _refuse("change the volumes of", entry, state, hint=_UNPUSHED)
                self.starts.require_rights(actor, spec.volumes, f"change notebook {notebook_id}")
            self.allowance.require_gpus(actor, spec.resources, f"change notebook {notebook_id}")
            await self._change(tx, actor, entry, spec)
        self._wake(notebook_id)
        self._wake(IDLE)

    async def _change(self, tx: Transaction, actor: Actor, entry: Entry, spec: NotebookSpec) -> None:
        if spec != entry.notebook.spec:
            await self._put(tx, actor, replace(entry.notebook, spec=spec), "notebook.changed")

    async def _put(self, tx: Transaction, actor: Actor, notebook: Notebook, kind: str) -> Notebook:
        now = self._clock.now()
        put = await tx.put_notebook(replace(notebook, updated_at=now))
        await tx.append(Event(type=kind, at=now, actor=actor.signature, notebook_id=put.id, owner=put.owner))
        return put


def _missing(verb: str, notebook_id: NotebookId) -> NotFound:
    return NotFound(f"cannot {verb} notebook {notebook_id}: there is none of that id")


def _refuse(verb: str, entry: Entry, state: NotebookState, *, hint: str | None = None) -> NoReturn:
    if state is _S.STOPPING and hint is None:
        hint = advice.STOPPING.text
    fault: NotebookdError = Conflict(
        f"cannot {verb} notebook {entry.notebook.id}: it is {state}", hint=hint, details={"state": str(state)}
    )
    raise fault
