# SPDX-License-Identifier: Apache-2.0
"""Asks the kernel for the account at the other end of a TCP connection, by ``sock_diag(7)``.

The answer is there when the question was sent: the kernel answers within the call, from a hash table, in microseconds.
The descriptor sees the network namespace in which it was made. systemd makes it where the gateway's port is, and passes
it to the gateway, which itself has no network.
"""

from __future__ import annotations

import ipaddress
import itertools
import logging
import secrets
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from notebookd.gateway.peer import ELSEWHERE, PROXY, UNKNOWN, Account, Peer

__all__ = ["NETLINK_SOCK_DIAG", "Kernel", "open_netlink"]

NETLINK_SOCK_DIAG: Final = 4

_BY_FAMILY: Final = 20
_REQUEST: Final = 1
_ESTABLISHED: Final = 1
_LISTEN: Final = 10
_HEADER: Final = struct.Struct("=IHHII")
"""``struct nlmsghdr``: length, type, flags, sequence, port."""
_QUESTION: Final = struct.Struct("=BBBxI")
"""``struct inet_diag_req_v2`` up to its socket: family, protocol, extensions, states."""
_SOCKET: Final = struct.Struct("!HH16s16s")
"""``struct inet_diag_sockid``: local port, remote port, local address, remote address ..."""
_SOCKET_REST: Final = struct.Struct("=III")
"""... interface, cookie."""
_ANSWER: Final = struct.Struct("=BBxx")
"""``struct inet_diag_msg``: family, state, then the socket, then ..."""
_ANSWER_REST: Final = struct.Struct("=IIIII")
"""... expiry, two queues, uid, inode."""
_NO_COOKIE: Final = 0xFFFFFFFF
_LOOPBACK_INTERFACE: Final = 1
"""Matches a socket that is bound to the loopback interface, and one that is bound to none."""
_OVERFLOW_UID: Final = 65534
"""What the kernel says of an account that this user namespace does not know: of several, in truth."""
_MOST_STALE: Final = 64
_ANSWER_BYTES: Final = 8192

_End = tuple[ipaddress.IPv4Address | ipaddress.IPv6Address, int]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Socket:
    """One end of a connection, as the kernel has it; no ``uid`` where no process has it any more."""

    state: int
    uid: int | None


def open_netlink() -> socket.socket:
    """A descriptor for :class:`Kernel`. Raises OSError where the kernel has no sock_diag."""
    return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, NETLINK_SOCK_DIAG)


class Kernel:
    """Tells peers apart. ``proxies`` are the uids of trusted proxies."""

    def __init__(self, netlink: socket.socket, *, proxies: Collection[int] = ()) -> None:
        self._netlink = netlink
        self._proxies = frozenset(proxies)
        self._sequence = itertools.count(secrets.randbelow(2**32))
        self._failed = False

    def peer_of(self, ours: tuple[str, int], theirs: tuple[str, int]) -> Peer:
        """Whose the connection is that goes from ``theirs`` to ``ours``, both as address and port."""
        our_end, their_end = _end(ours), _end(theirs)
        try:
            found = self._socket(their_end, our_end)
            from_outside = found is None and self._comes_from_outside(our_end, their_end)
        except OSError as error:
            if not self._failed:
                _log.warning("cannot ask the kernel whose a connection is, nobody is let in by it: %s", error)
            self._failed = True
            return UNKNOWN
        self._failed = False
        if found is None:
            return ELSEWHERE if from_outside else UNKNOWN
        if found.uid in self._proxies:
            return PROXY
        return UNKNOWN if found.uid in {None, _OVERFLOW_UID} else Account(uid=found.uid)

    def _comes_from_outside(self, our_end: _End, their_end: _End) -> bool:
        """Whether a connection is open whose other end is no socket of this machine. One that is shut down is not
        believed: an account of this machine can connect from any of its addresses, and close its end at once."""
        if their_end[0].is_loopback or their_end[0] == our_end[0]:
            return False
        ours = self._socket(our_end, their_end)
        return ours is not None and ours.state == _ESTABLISHED

    def _socket(self, local: _End, remote: _End) -> _Socket | None:
        """The socket of this machine that is this end of this connection."""
        answer = self._ask(local, remote)
        return None if answer is None else _read(answer, local, remote)

    def _ask(self, local: _End, remote: _End) -> bytes | None:
        sequence = next(self._sequence) % 2**32  # begun at random: an earlier gateway's answers may lie there
        self._netlink.sendto(_question(sequence, local, remote), (0, 0))
        for _ in range(_MOST_STALE):
            data, (port, _groups) = self._netlink.recvfrom(_ANSWER_BYTES)
            if port != 0 or len(data) < _HEADER.size:
                continue
            _length, kind, _flags, answered, _port = _HEADER.unpack_from(data)
            if answered == sequence:
                return data[_HEADER.size :] if kind == _BY_FAMILY else None
        return None


def _end(address: tuple[str, int]) -> _End:
    """An address without its scope, and an IPv4 address as one also where an IPv6 socket has it."""
    ip = ipaddress.ip_address(address[0].partition("%")[0])
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip, address[1]


def _question(sequence: int, local: _End, remote: _End) -> bytes:
    family = socket.AF_INET if local[0].version == 4 else socket.AF_INET6
    question = (
        _QUESTION.pack(family, socket.IPPROTO_TCP, 0, 0xFFFFFFFF)
        + _SOCKET.pack(local[1], remote[1], local[0].packed, remote[0].packed)
        + _SOCKET_REST.pack(_LOOPBACK_INTERFACE, _NO_COOKIE, _NO_COOKIE)
    )
    return _HEADER.pack(_HEADER.size + len(question), _BY_FAMILY, _REQUEST, sequence, 0) + question


def _read(answer: bytes, local: _End, remote: _End) -> _Socket | None:
    """The socket in an answer, if it is this very one. The kernel also finds who listens on the port, and gives a
    socket that its process has closed to uid 0, with inode 0."""
    if len(answer) < _ANSWER.size + _SOCKET.size + _SOCKET_REST.size + _ANSWER_REST.size:
        return None
    family, state = _ANSWER.unpack_from(answer)
    port, remote_port, address, remote_address = _SOCKET.unpack_from(answer, _ANSWER.size)
    *_, uid, inode = _ANSWER_REST.unpack_from(answer, _ANSWER.size + _SOCKET.size + _SOCKET_REST.size)
    width = 4 if family == socket.AF_INET else 16
    found = _end((str(ipaddress.ip_address(address[:width])), port))
    leads_to = _end((str(ipaddress.ip_address(remote_address[:width])), remote_port))
    if state == _LISTEN or (found, leads_to) != (local, remote):
        return None
    return _Socket(state=state, uid=uid if inode else None)
