# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of the socket: peer credentials become an actor, browsers are turned away."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from dataclasses import dataclass

from aiohttp import web

from notebookd.domain.actor import Actor, Role
from notebookd.errors import Forbidden, Unauthenticated

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


def identify(request: web.Request, policy: PeerPolicy) -> Actor:
    """The actor behind a request on the Unix socket.

    Raises:
        Unauthenticated: the peer cannot be told.
        Forbidden: it is a service account, or in none of the groups.
    """
    peer = request.transport.get_extra_info("socket") if request.transport else None
    if peer is None or peer.family != socket.AF_UNIX:
        raise Unauthenticated("cannot tell who is asking: not a Unix socket")
    _pid, uid, gid = struct.unpack("iII", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return actor_of(uid, gid, _peer_groups(peer, uid), policy)


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
