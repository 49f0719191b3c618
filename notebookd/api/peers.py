# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of the socket: peer credentials or a token become an actor, browsers are turned away."""

from __future__ import annotations

import asyncio
import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from aiohttp import web

from notebookd.api.call import Access
from notebookd.domain.actor import Actor, Role
from notebookd.errors import Forbidden, Unauthenticated
from notebookd.ports.clock import Clock
from notebookd.service.tokens import Tokens

OWNER_LIFE_S = 10.0
"""How long it is believed that the owner of a token is still a member."""

_SO_PEERGROUPS = 59
_GROUPS_BYTES = 1024
_HOSTS = frozenset({"", "localhost", "notebookd"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerPolicy:
    """Names of the groups of members and admins, and the uids of the service accounts, who are nobody: a container
    shares the uid of the account that runs it."""

    member_group: str
    admin_group: str
    nobodies: frozenset[int]


class Callers:
    """Makes actors of requests. Whoever shows a token is whom the token stands for, or nobody; others are who the
    kernel says, but where ``bearers_only``: there they are nobody."""

    def __init__(self, policy: PeerPolicy, tokens: Tokens, clock: Clock, *, bearers_only: bool = False) -> None:
        self._policy = policy
        self._tokens = tokens
        self._clock = clock
        self._bearers_only = bearers_only
        self._peers: WeakKeyDictionary[asyncio.BaseTransport, Actor] = WeakKeyDictionary()
        """The kernel's word was given when the connection was made, and does not change."""
        self._owners: dict[str, tuple[float, Actor | None]] = {}

    def identify(self, request: web.Request) -> Actor:
        """The actor behind a request.

        Raises:
            Unauthenticated: the peer cannot be told, or the token is none.
            Forbidden: the peer is a service account, or in none of the groups.
        """
        shown = request.headers.getall("Authorization", [])
        if shown or self._bearers_only:
            return self._bearer(shown)
        transport = request.transport
        actor = self._peers.get(transport) if transport is not None else None
        if actor is None:
            actor = identify(request, self._policy)
            if transport is not None:
                self._peers[transport] = actor
        return actor

    def _bearer(self, shown: list[str]) -> Actor:
        scheme, _, value = (shown[0] if len(shown) == 1 else "").strip().partition(" ")
        token = self._tokens.find(value.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise Unauthenticated(
                "cannot tell who is asking: no token that is known",
                hint="send `Authorization: Bearer` with the value that `notebookctl token create` showed",
            )
        owner = self._owner(token.owner)
        if owner is None:
            raise Unauthenticated(f"cannot accept the token: its owner {token.owner} is no member any more")
        return replace(owner, role=Role(token.role), token=token)

    def _owner(self, name: str) -> Actor | None:
        """The person that a token acts for, as the accounts have it now; None for who could not ask in person."""
        now = self._clock.awake()
        known = self._owners.get(name)
        if known is None or now - known[0] >= OWNER_LIFE_S:
            known = self._owners[name] = (now, person_of(name, self._policy))
        return known[1]


def require(access: Access, actor: Actor, what: str) -> None:
    """Raise Forbidden where the rule does not let the actor in."""
    if access is Access.ADMIN and not actor.admin:
        raise Forbidden(f"cannot {what}: that is for admins")
    if access is Access.PERSON and actor.token is not None:
        raise Forbidden(f"cannot {what}: that is for people, not for tokens")
    if access is not Access.READER and actor.reads_only:
        raise Forbidden(f"cannot {what}: the token may only read")


def person_of(name: str, policy: PeerPolicy) -> Actor | None:
    """The actor that an account would be at the socket; None where it would be refused, or there is none."""
    try:
        account = pwd.getpwnam(name)
        return actor_of(account.pw_uid, account.pw_gid, _groups_on_file(account.pw_uid), policy)
    except (KeyError, Forbidden):
        return None


def identify(request: web.Request, policy: PeerPolicy) -> Actor:
    """The actor behind a request on the Unix socket.

    Raises:
        Unauthenticated: the peer cannot be told.
        Forbidden: it is a service account, or in none of the groups.
    """
    peer = request.transport.get_extra_info("socket") if request.transport else None
    if peer is None or peer.family != socket.AF_UNIX:
        raise Unauthenticated("cannot tell who is asking: not a Unix socket")
    uid, gid = _credentials(peer)
    return actor_of(uid, gid, _peer_groups(peer, uid), policy)


def account_of(transport: asyncio.BaseTransport) -> int | None:
    """The uid at the other end of a connection on the Unix socket; None for root's."""
    peer = transport.get_extra_info("socket")
    return _credentials(peer)[0] or None


def actor_of(uid: int, gid: int, gids: tuple[int, ...], policy: PeerPolicy) -> Actor:
    """The actor that a uid and its groups make."""
    groups = frozenset(filter(None, map(_group_name, {gid, *gids})))
    if uid == 0:
        return Actor(name=_user_name(0), role=Role.ADMIN, groups=groups)
    if uid in policy.nobodies:
        raise Forbidden("cannot serve the service's own account: a container shares its uid")
    if policy.admin_group in groups:
        return Actor(name=_user_name(uid), role=Role.ADMIN, groups=groups)
    if policy.member_group in groups:
        return Actor(name=_user_name(uid), role=Role.OPERATOR, groups=groups)
    raise Forbidden(
        f"cannot serve {_user_name(uid)}: not in group {policy.member_group}",
        hint=f"ask an admin for `usermod -aG {policy.member_group} {_user_name(uid)}`, then log in anew",
    )


def refuse_browsers(request: web.Request) -> None:
    """A request with an Origin, a Referer or an odd Host was made by a browser, not by a client of ours."""
    for header in ("Origin", "Referer"):
        if header in request.headers:
            raise Forbidden(f"cannot serve a request with the header {header}: browsers have no business here")
    host = request.headers.get("Host", "")
    if host.partition(":")[0] not in _HOSTS:
        raise Forbidden(f"cannot serve a request for host {host!r}: it is localhost, notebookd or none")


def _credentials(peer: socket.socket) -> tuple[int, int]:
    """The uid and the gid of who connected."""
    _pid, uid, gid = struct.unpack("iII", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return uid, gid


def _peer_groups(peer: socket.socket, uid: int) -> tuple[int, ...]:
    """The groups the kernel noted when the peer connected; those of the account where they are too many for Python."""
    try:
        raw = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError:
        return _groups_on_file(uid)
    return struct.unpack(f"{len(raw) // 4}I", raw)


def _groups_on_file(uid: int) -> tuple[int, ...]:
    try:
        account = pwd.getpwuid(uid)
    except KeyError:
        return ()
    return tuple(os.getgrouplist(account.pw_name, account.pw_gid))


def _group_name(gid: int) -> str | None:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
