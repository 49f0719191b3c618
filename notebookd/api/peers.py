# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of the socket: peer credentials or a token become an actor, browsers are turned away."""

from __future__ import annotations

import asyncio
import shlex
import socket
import struct
from dataclasses import dataclass, replace
from weakref import WeakKeyDictionary

from aiohttp import web

from notebookd.api.call import Access, Services
from notebookd.domain.actor import Actor, Role
from notebookd.errors import Forbidden, Unauthenticated
from notebookd.ports.directory import Directory, Person

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

    def __init__(self, policy: PeerPolicy, services: Services, *, bearers_only: bool = False) -> None:
        self._policy = policy
        self._services = services
        self._bearers_only = bearers_only
        self._peers: WeakKeyDictionary[asyncio.BaseTransport, Actor] = WeakKeyDictionary()
        """The kernel's word was given when the connection was made, and does not change."""

    async def identify(self, request: web.Request) -> Actor:
        """The actor behind a request.

        Raises:
            Unauthenticated: the peer cannot be told, or the token is none.
            Forbidden: the peer is a service account, in none of the groups, or bears the name of somebody who left.
            DirectoryUnavailable: the machine's accounts cannot be looked up.
        """
        shown = request.headers.getall("Authorization", [])
        if shown or self._bearers_only:
            return await self._bearer(shown)
        transport = request.transport
        actor = self._peers.get(transport) if transport is not None else None
        if actor is None:
            person = await peer_of(request, self._services.directory)
            actor = actor_of(person, self._policy)
            await self._services.accounts.recognise(person)
            if person.uid != 0:
                await self._services.directory.person(person.name)  # quotas go by the groups that are on file
            if transport is not None:
                self._peers[transport] = actor
        return actor

    async def _bearer(self, shown: list[str]) -> Actor:
        scheme, _, value = (shown[0] if len(shown) == 1 else "").strip().partition(" ")
        token = self._services.tokens.find(value.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise Unauthenticated(
                "cannot tell who is asking: no token that is known",
                hint="send `Authorization: Bearer` with the value that `notebookctl token create` showed",
            )
        owner = await self._owner(token.owner)
        if owner is None:
            raise Unauthenticated(f"cannot accept the token: its owner {token.owner} is no member any more")
        return replace(owner, role=Role(token.role), token=token)

    async def _owner(self, name: str) -> Actor | None:
        """The person that a token acts for, as the accounts have it now; None for who could not ask in person."""
        person = await self._services.directory.person(name)
        if person is None:
            return None
        try:
            actor = actor_of(person, self._policy)
            await self._services.accounts.recognise(person)
        except Forbidden:
            return None
        return actor


def require(access: Access, actor: Actor, what: str) -> None:
    """Raise Forbidden where the rule does not let the actor in."""
    if access is Access.ADMIN and not actor.admin:
        raise Forbidden(f"cannot {what}: only admins may")
    if access is Access.PERSON and actor.token is not None:
        raise Forbidden(f"cannot {what}: that is for people, not for tokens")
    if access is not Access.READER and actor.reads_only:
        raise Forbidden(f"cannot {what}: the token may only read")


async def peer_of(request: web.Request, directory: Directory) -> Person:
    """Who is at the other end of the Unix socket.

    Raises:
        Unauthenticated: the peer cannot be told.
        DirectoryUnavailable: the machine's accounts cannot be looked up.
    """
    peer = request.transport.get_extra_info("socket") if request.transport else None
    if peer is None or peer.family != socket.AF_UNIX:
        raise Unauthenticated("cannot tell who is asking: not a Unix socket")
    uid, gid = _credentials(peer)
    gids = _peer_groups(peer)
    return await directory.peer(uid, None if gids is None else {gid, *gids})


def account_of(transport: asyncio.BaseTransport) -> int | None:
    """The uid at the other end of a connection on the Unix socket; None for root's."""
    peer = transport.get_extra_info("socket")
    return _credentials(peer)[0] or None


def actor_of(person: Person, policy: PeerPolicy) -> Actor:
    """The actor that a person is. Raises Forbidden for a service account, and for who is in none of the groups."""
    name, groups = person.name, person.groups
    if person.uid == 0:
        return Actor(name=name, role=Role.ADMIN, groups=groups)
    if person.uid in policy.nobodies:
        raise Forbidden("cannot serve the service's own account: a container shares its uid")
    if policy.admin_group in groups:
        return Actor(name=name, role=Role.ADMIN, groups=groups)
    if policy.member_group in groups:
        return Actor(name=name, role=Role.OPERATOR, groups=groups)
    group = policy.member_group
    raise Forbidden(
        f"cannot serve {name}: not in group {group}",
        hint=f"ask an admin for `usermod -aG {shlex.quote(group)} {shlex.quote(name)}`, then log in anew",
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


def _peer_groups(peer: socket.socket) -> tuple[int, ...] | None:
    """The groups the kernel noted when the peer connected; None where they are too many for Python."""
    try:
        raw = peer.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUPS_BYTES)
    except OSError:
        return None
    return struct.unpack(f"{len(raw) // 4}I", raw)
