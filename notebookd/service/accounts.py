# SPDX-License-Identifier: Apache-2.0
"""Which account a name stands for. Owners are names, and a name may be given to somebody else when its owner has left:
so the uid is on record beside the name, and who comes with another uid gets nothing that was the other's."""

from __future__ import annotations

import logging
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from notebookd.domain.actor import Actor
from notebookd.domain.entry import STOPPED, Entry
from notebookd.domain.event import Event
from notebookd.errors import Conflict, DirectoryUnavailable, Forbidden, NotFound
from notebookd.ports.clock import Clock
from notebookd.ports.directory import Directory, Person
from notebookd.ports.store import NotebookFilter, Store, Transaction
from notebookd.service.names import names_of_given
from notebookd.service.tokens import Tokens

log = logging.getLogger(__name__)

_ALL = 1_000_000
_NAMED = 5
"""Notebooks that a refusal names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Handover:
    """What went from one owner to another: so many notebooks; so many tokens ended. ``uid`` is the new owner's."""

    old: str
    new: str
    uid: int
    notebooks: int
    tokens: int


class Accounts:
    """The accounts on record."""

    def __init__(self, store: Store, clock: Clock, directory: Directory, tokens: Tokens) -> None:
        self._store = store
        self._clock = clock
        self._directory = directory
        self._tokens = tokens

    async def recognise(self, person: Person) -> None:
        """Take somebody for the owner of what is kept under their name. The uid of a name that was not seen before is
        put on record. Raises Forbidden where the name stood for another uid, and that one's things are still here."""
        if self._store.find_account(person.name) == person.uid:
            return
        async with self._store.transaction() as tx:
            known = self._store.find_account(person.name)
            if known not in {None, person.uid} and self._keeps(person.name):
                log.warning("uid %d comes as %s, who is uid %s on record: refused", person.uid, person.name, known)
                raise Forbidden(
                    f"cannot serve {person.name}: what is kept under this name is of the account with uid {known}, "
                    f"and you are uid {person.uid}",
                    hint=f"ask an admin for `notebookctl chown {shlex.quote(person.name)} NEW`, which gives it away",
                )
            await self._record(tx, person, known)

    async def enrol(self) -> None:
        """Put the owners on record that are not: those of a database that an older notebookd wrote."""
        for name in self._store.list_unrecorded():
            try:
                person = await self._directory.person(name)
            except DirectoryUnavailable as fault:
                log.warning("cannot note the uid of %s: %s", name, fault.message)
                continue
            if person is None:
                log.warning("%s owns notebooks or tokens, and there is no such account", name)
                continue
            async with self._store.transaction() as tx:
                if self._store.find_account(name) is None:
                    await self._record(tx, person, None)

    async def hand_over(self, actor: Actor, old: str, new: str) -> Handover:
        """Give the notebooks of one owner to another, who must have an account. All must be stopped. Tokens end: their
        values are known to who had them. What was used until now stays on the bill of who used it. A notebook whose
        name the new owner has already gets a number. With ``old`` equal to ``new`` the name's present account gets what
        the earlier one left."""
        what = f"give what is {old}'s to {new}"
        person = await self._directory.person(new)
        if person is None:
            raise NotFound(f"cannot {what}: there is no account {new}", hint="see `getent passwd`")
        async with self._store.transaction() as tx:
            known = self._store.find_account(new)
            if old == new and known in {None, person.uid}:
                raise Conflict(f"cannot {what}: {new} has it, as uid {person.uid}")
            if old != new and known not in {None, person.uid} and self._keeps(new):
                raise Conflict(
                    f"cannot {what}: there are things of an earlier {new}, who had uid {known}",
                    hint=f"give those away first, with `notebookctl chown {shlex.quote(new)} SOMEBODY`",
                )
            if not self._keeps(old):
                raise NotFound(f"cannot {what}: {old} has neither notebooks nor tokens")
            entries = self._entries(old)
            _require_stopped(what, entries)
            now = self._clock.now()
            await self._record(tx, person, known)
            names = [entry.notebook.spec.name for entry in entries]
            if old != new:
                names = names_of_given(self._store, person.name, names)
            for entry, name in zip(entries, names, strict=True):
                await self._give(tx, entry, person.name, name, actor, now)
            ended = await self._tokens.end_all(tx, actor, old, now)
        self._tokens.cut_off(ended)
        return Handover(old=old, new=new, uid=person.uid, notebooks=len(entries), tokens=len(ended))

    async def _record(self, tx: Transaction, person: Person, known: int | None) -> None:
        now = self._clock.now()
        if known not in {None, person.uid}:
            earlier = f"{person.name} (uid {known})"
            log.warning(
                "%s is another account now, uid %d: the past of the earlier is %s's", person.name, person.uid, earlier
            )
            await tx.retire(person.name, earlier)
        await tx.put_account(person.name, person.uid, now)

    async def _give(self, tx: Transaction, entry: Entry, new: str, name: str, actor: Actor, now: datetime) -> None:
        old, notebook = entry.notebook.owner, entry.notebook
        renamed = {"name": name} if name != notebook.spec.name else {}
        given = replace(
            notebook,
            owner=new,
            spec=replace(notebook.spec, name=name),
            token=secrets.token_urlsafe(32),
            session_secret=secrets.token_urlsafe(32),
            updated_at=max(now, notebook.updated_at),
        )
        await tx.put_notebook(given)
        await tx.append(
            Event(
                type="notebook.owner",
                at=now,
                actor=actor.signature,
                notebook_id=notebook.id,
                owner=new,
                data={"from": old, "to": new, **renamed},
            )
        )

    def _keeps(self, name: str) -> bool:
        return bool(self._store.count_notebooks(name) or self._store.list_tokens(name, page=1, size=1)[1])

    def _entries(self, name: str) -> list[Entry]:
        return self._store.list_entries(NotebookFilter(owner=name, size=_ALL))[0]


def _require_stopped(what: str, entries: Sequence[Entry]) -> None:
    going = [entry for entry in entries if entry.state not in STOPPED]
    if not going:
        return
    named = ", ".join(f"{entry.notebook.id} ({entry.state})" for entry in going[:_NAMED])
    more = f" and {len(going) - _NAMED} more" if len(going) > _NAMED else ""
    raise Conflict(
        f"cannot {what}: not all notebooks are stopped: {named}{more}",
        hint="stop them with `notebookctl stop`; who holds their URL could use them on",
    )
