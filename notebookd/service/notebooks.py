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
from notebookd.domain.admission import (
    Admitted,
    Create,
    MadeOf,
    Refusal,
    Request,
    Restart,
    Standing,
    Start,
    Update,
    When,
    admit,
    name_taken,
    not_in,
    offered_to,
    visible,
)
from notebookd.domain.entry import STOPPED, Entry
from notebookd.domain.event import Event
from notebookd.domain.faults import invalid
from notebookd.domain.ids import NotebookId
from notebookd.domain.notebook import Notebook, NotebookSpec, Wanted
from notebookd.domain.observed import Unknown
from notebookd.domain.patch import Patch, patched
from notebookd.domain.quota import QuotaBook
from notebookd.domain.rules import RulesNow
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
    PreconditionFailed,
)
from notebookd.machine.inventory import Inventory
from notebookd.ports.clock import Clock
from notebookd.ports.store import Store, Transaction
from notebookd.ports.wake import ALLOCATION, IDLE
from notebookd.record.entries import write_entry
from notebookd.record.meter import Meter
from notebookd.service.allowance import Allowance
from notebookd.service.happenings import extension, hurry, start_asked
from notebookd.service.names import free_name, namesake
from notebookd.service.starts import Starts

_S = NotebookState
_UNPUSHED = f"its local copy holds what was not carried back: {advice.UNPUSHED.text}"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdempotencyKey:
    """A caller's name for a request, and the digest of what it asked."""

    key: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=False)
class Fork:
    """What a new notebook's workspace begins with: a snapshot of so many bytes."""

    origin: Origin
    snapshot_bytes: int


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
        rules: RulesNow,
    ) -> None:
        self._meter = meter
        self._rules = rules
        self._store = store
        self._clock = clock
        self.starts = starts
        self._inventory = inventory
        self.allowance = Allowance(store, quota, meter, rules)
        self._wake = wake

    def get(self, actor: Actor, notebook_id: NotebookId, verb: str) -> Entry:
        """The notebook, when there is one and it is the actor's to ``verb``."""
        entry = self._store.find_entry(notebook_id)
        refusal = visible(actor, entry, notebook_id, verb)
        if entry is None or refusal is not None:
            assert refusal is not None, "what is not there is not visible"
            raise refusal.fault
        return entry

    def _admit(self, request: Request, standing: Standing) -> Admitted:
        """Raises what refuses it."""
        decision = admit(request, standing)
        if isinstance(decision, Refusal):
            raise decision.fault
        return decision

    def check(self, wish: SpecWish, faults: Sequence[Fault] = (), *, actor: Actor | None = None) -> NotebookSpec:
        """The specification that a wish means, ``actor``'s where flavors are for groups; ``faults`` were found before.
        Raises InvalidRequest with all, and
        GpusUnavailable where a GPU is wished for and nobody could ever see whether there is one."""
        seen = self._inventory.seen
        if isinstance(seen, Unknown) and not self._inventory.units and not (wish.resources and wish.resources.cpu):
            raise GpusUnavailable(f"cannot create the notebook: the GPUs cannot be seen: {seen.reason}")
        spec, found = complete(
            wish,
            self._rules().catalogue,
            self._inventory.flavors() if actor is None else offered_to(actor, self._inventory.flavors()),
            name=generated_name(wish.editor or "", secrets.randbits(30)),
            git_schemes=self._rules().data.git_schemes,
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
        fork: Fork | None = None,
        named: bool = True,
    ) -> Entry:
        """Make a notebook and start it. A known idempotency key gives the notebook that it made, as long as the actor
        may see it. What a token with a selector makes gets that label. Where nobody ``named`` it, and its name is
        taken, it gets a number."""
        notebook_id = NotebookId(str(uuid.uuid4()))
        disk = await self._store.disk_use()
        async with self._store.transaction() as tx:
            if not named:
                spec = replace(spec, name=free_name(self._store, actor.name, spec.name))
            standing = replace(
                self._standing(actor, spec),
                room=self.allowance.room_of(disk),
                notebooks=self._store.count_notebooks(actor.name),
                namesake=namesake(self._store, actor, actor.name, spec.name),
                answer=self._find_answer(actor, idempotency),
            )
            admitted = self._admit(_creation(notebook_id, spec, fork), standing)
            if isinstance(standing.answer, Entry):
                return standing.answer
            assert admitted.spec is not None
            assert admitted.made_of is not None
            now = self._clock.now()
            notebook = Notebook(
                id=notebook_id,
                owner=actor.name,
                spec=admitted.spec,
                wanted=Wanted.RUNNING,
                created_at=now,
                updated_at=now,
                token=secrets.token_urlsafe(32),
                session_secret=secrets.token_urlsafe(32),
            )
            run = self.starts.first_run(notebook, admitted.made_of, now, fork.origin if fork is not None else None)
            entry = await write_entry(tx, None, notebook, run, meter=self._meter, actor=actor.signature, at=now)
            if idempotency is not None:
                await tx.put_answer(actor.namespace, idempotency.key, idempotency.digest, notebook.id, now)
        self._wake(entry.notebook.id)
        self._wake(ALLOCATION)
        return entry

    def _standing(self, actor: Actor, spec: NotebookSpec, entry: Entry | None = None) -> Standing:
        """The facts that a new run of that specification is decided by."""
        quota = self.allowance.quota_of(actor)
        flavor, image = self.starts.find(spec)
        return Standing(
            actor=actor,
            entry=entry,
            quota=quota,
            spent_minutes=self.allowance.spent_minutes(actor, spec.resources, quota),
            workspace_bytes=self.allowance.workspace_used(entry.notebook.id) if entry is not None else 0,
            most_workspace_bytes=self._rules().workspace_bytes,
            flavor=flavor,
            image=image,
            stores=self._rules().data.stores,
        )

    def _find_answer(self, actor: Actor, idempotency: IdempotencyKey | None) -> Entry | Conflict | None:
        """What an idempotency key stands for, or why it stands for nothing any more."""
        if idempotency is None:
            return None
        answer = self._store.find_answer(actor.namespace, idempotency.key, now=self._clock.now())
        if answer is None:
            return None
        digest, notebook_id = answer
        if digest != idempotency.digest:
            return Conflict(f"cannot reuse Idempotency-Key {idempotency.key!r}: it stood for another request")
        entry = self._store.find_entry(notebook_id)
        if entry is None or not actor.may_see(entry.notebook.owner, entry.notebook.spec.labels):
            said = "the notebook that it made was deleted, or you may not see it any more"
            return Conflict(f"cannot reuse Idempotency-Key {idempotency.key!r}: {said}")
        return entry

    async def start(self, actor: Actor, notebook_id: NotebookId, *, discard: bool = False) -> None:
        """Start a stopped notebook as a new run; with ``discard`` also one whose data could not be carried back, which
        is given up. One that is stopping starts when it has stopped."""
        disk = await self._store.disk_use()
        async with self._store.transaction() as tx:
            entry = self._store.find_entry(notebook_id)
            facts = Standing(actor=actor) if entry is None else self._standing(actor, entry.notebook.spec, entry)
            standing = replace(facts, room=self.allowance.room_of(disk))
            admitted = self._admit(Start(id=notebook_id, discard=discard), standing)
            if entry is None or admitted.made_of is None:
                return
            now = self._clock.now()
            secret = entry.notebook.session_secret or secrets.token_urlsafe(32)
            notebook = replace(entry.notebook, wanted=Wanted.RUNNING, session_secret=secret)
            if admitted.when is When.STOPPED:
                following = self.starts.following(notebook, admitted.made_of, entry.run, now, actor.signature)
                run = replace(entry.run, following=following)
                notebook = replace(notebook, updated_at=max(now, notebook.updated_at))
                await tx.append(start_asked(entry, actor, now))
            else:
                notebook = replace(notebook, token=secrets.token_urlsafe(32))
                run = self._anew(notebook, admitted.made_of, entry.run, now, discard=discard)
            await write_entry(tx, entry, notebook, run, meter=self._meter, actor=actor.signature, at=now)
        self._wake(notebook_id)
        self._wake(ALLOCATION)

    def _anew(self, notebook: Notebook, made_of: MadeOf, earlier: Run, now: datetime, *, discard: bool) -> Run:
        run = self.starts.next_run(notebook, made_of, earlier, now, discard=discard)
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
            entry = self._store.find_entry(notebook_id)
            admitted = self._admit(Restart(id=notebook_id), Standing(actor=actor, entry=entry))
            if entry is None or admitted.when is When.ALREADY:
                return
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
            moved = extended(entry.run, until or entry.run.timeout_at + (by or timedelta()), self._rules().lifecycle)
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
                owner = entry.notebook.owner
                if taken := namesake(self._store, actor, owner, name):
                    raise name_taken(name, owner, taken, what)
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
            schemes = self._rules().data.git_schemes
            spec, found = patched(entry.notebook.spec, patch, offered_to(actor, self._inventory.flavors()), schemes)
            if faults or found:
                raise invalid(f"change notebook {notebook_id}", [*faults, *found])
            quota, stores = self.allowance.quota_of(actor), self._rules().data.stores
            flavor, _ = self.starts.find(spec)
            standing = Standing(actor=actor, entry=entry, quota=quota, stores=stores, flavor=flavor)
            admitted = self._admit(Update(id=notebook_id, spec=spec), standing)
            await self._change(tx, actor, entry, admitted.spec or spec)
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


def _creation(notebook_id: NotebookId, spec: NotebookSpec, fork: Fork | None) -> Create:
    if fork is None:
        return Create(id=notebook_id, spec=spec)
    return Create(id=notebook_id, spec=spec, forked=fork.origin.notebook_id, snapshot_bytes=fork.snapshot_bytes)


def _refuse(verb: str, entry: Entry, state: NotebookState, *, hint: str | None = None) -> NoReturn:
    raise not_in(verb, entry.notebook.id, state, hint=hint)
