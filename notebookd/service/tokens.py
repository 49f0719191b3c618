# SPDX-License-Identifier: Apache-2.0
"""App tokens: who may make and end them, and whose value is whose."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime

from notebookd.domain.actor import Actor
from notebookd.domain.event import Event
from notebookd.domain.faults import invalid
from notebookd.domain.ids import TokenId
from notebookd.domain.token import (
    MOST_TOKENS,
    SECRET_BYTES,
    Token,
    TokenWish,
    digest_of,
    is_value_of,
    named_by,
    token_value,
)
from notebookd.errors import Conflict, Forbidden, NotFound
from notebookd.ports.clock import Clock
from notebookd.ports.store import Store, Transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class FreshToken:
    """A token with its value, which is never to be had again."""

    token: Token
    value: str

    def __repr__(self) -> str:
        return f"FreshToken({self.token.id})"


class Tokens:
    """The tokens of people. Everybody makes his own, and an admin may end anybody's; no token makes or ends one."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._users: dict[TokenId, set[Callable[[], None]]] = {}

    def find(self, value: str) -> Token | None:
        """The token that this is the value of, now."""
        token_id = named_by(value)
        token = self._store.find_token(token_id) if token_id else None
        return token if token is not None and is_value_of(value, token) else None

    @contextmanager
    def used(self, token: Token | None, cut: Callable[[], None]) -> Iterator[None]:
        """While a request is answered for a token: ``cut`` is called when its value dies before."""
        if token is None:
            yield
            return
        users = self._users.setdefault(token.id, set())
        users.add(cut)
        try:
            yield
        finally:
            users.discard(cut)
            if not users and self._users.get(token.id) is users:
                del self._users[token.id]

    def get(self, actor: Actor, token_id: TokenId, verb: str) -> Token:
        """A token, when there is one and it is the actor's to ``verb``."""
        _require_person(actor, verb)
        token = self._store.find_token(token_id)
        if token is None:
            raise NotFound(f"cannot {verb} token {token_id}: there is none of that id")
        if not (actor.admin or actor.name == token.owner):
            raise Forbidden(f"cannot {verb} token {token_id}: it is not yours")
        return token

    def list_tokens(self, actor: Actor, *, page: int, size: int) -> tuple[list[Token], int]:
        """A page of one's own tokens, or of everybody's for an admin; and how many there are in all."""
        _require_person(actor, "list")
        return self._store.list_tokens(None if actor.admin else actor.name, page=page, size=size)

    async def create(self, actor: Actor, wish: TokenWish) -> FreshToken:
        """Make a token that acts for the actor."""
        _require_person(actor, "create")
        faults = wish.faults()
        if faults:
            raise invalid("create the token", faults)
        async with self._store.transaction() as tx:
            if self._store.list_tokens(actor.name, page=1, size=1)[1] >= MOST_TOKENS:
                raise Conflict(f"cannot create the token: you have {MOST_TOKENS}", hint="delete one that is not used")
            now = self._clock.now()
            token_id = TokenId(str(uuid.uuid4()))
            value = token_value(token_id, secrets.token_bytes(SECRET_BYTES))
            token = Token(
                id=token_id,
                owner=actor.name,
                name=wish.name,
                role=wish.role,
                selector=wish.label,
                digest=digest_of(value),
                created_at=now,
                updated_at=now,
            )
            await tx.put_token(token)
            await tx.append(_event("token.created", token, actor, now))
        return FreshToken(token=token, value=value)

    async def renew(self, actor: Actor, token_id: TokenId) -> FreshToken:
        """Give a token another value; the one before is worth nothing from now on. The owner's alone: who knows the
        value acts as the owner."""
        async with self._store.transaction() as tx:
            token = self.get(actor, token_id, "renew")
            if token.owner != actor.name:
                raise Forbidden(f"cannot renew token {token_id}: its value is its owner's alone", hint="delete it")
            now = self._clock.now()
            value = token_value(token_id, secrets.token_bytes(SECRET_BYTES))
            token = replace(token, digest=digest_of(value), version=token.version + 1, updated_at=now)
            await tx.put_token(token)
            await tx.append(_event("token.renewed", token, actor, now))
        self.cut_off([token_id])
        return FreshToken(token=token, value=value)

    async def end_all(self, tx: Transaction, actor: Actor, owner: str, at: datetime) -> list[TokenId]:
        """End all tokens of an owner, as part of a transaction; :meth:`cut_off` follows it."""
        tokens, _ = self._store.list_tokens(owner, page=1, size=MOST_TOKENS)
        for token in tokens:
            await tx.remove_token(token.id)
            await tx.append(_event("token.deleted", token, actor, at))
        return [token.id for token in tokens]

    async def delete(self, actor: Actor, token_id: TokenId) -> None:
        """End a token."""
        async with self._store.transaction() as tx:
            token = self.get(actor, token_id, "delete")
            await tx.remove_token(token_id)
            await tx.append(_event("token.deleted", token, actor, self._clock.now()))
        self.cut_off([token_id])

    def cut_off(self, ended: Iterable[TokenId]) -> None:
        """End the requests that are being answered for these tokens."""
        for token_id in ended:
            for cut in self._users.pop(token_id, ()):
                cut()


def _require_person(actor: Actor, verb: str) -> None:
    if actor.token is not None:
        raise Forbidden(f"cannot {verb} tokens: that is for people, not for tokens")


def _event(kind: str, token: Token, actor: Actor, at: datetime) -> Event:
    data = {"id": token.id, "name": token.name, "role": token.role, "version": token.version}
    if token.selector is not None:
        data["labelSelector"] = str(token.selector)
    return Event(type=kind, at=at, actor=actor.signature, owner=token.owner, data=data)
