# SPDX-License-Identifier: Apache-2.0
"""The sockets that the gateway serves by: passed by systemd, or made here.

On most systems ``localhost`` is tried as ``::1`` first and as 127.0.0.1 second. Whoever held only one of the two would
leave the other to any user of the machine, who would then be sent tokens: so both are held, or none.
"""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

from notebookd.errors import ConfigError
from notebookd.gateway.sock_diag import NETLINK_SOCK_DIAG, open_netlink

__all__ = ["BACKLOG", "Sockets", "listening"]

_FIRST_PASSED_FD: Final = 3
BACKLOG: Final = 512
_PICKS: Final = 20
_NO_SUCH_FAMILY: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL, errno.EPROTONOSUPPORT})

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sockets:
    """The ``ports`` to serve on, and the ``netlink`` socket that says who connects to them."""

    ports: tuple[socket.socket, ...]
    netlink: socket.socket


@contextmanager
def listening(host: str, port: int, *, environ: MutableMapping[str, str] = os.environ) -> Iterator[Sockets]:
    """Yield the sockets to serve by; they are closed at the end of the block.

    Sockets passed by systemd win over ``host`` and ``port``. Raises :class:`~notebookd.errors.ConfigError` naming the
    address that cannot be had. Port 0 picks one that is free on every address.
    """
    with ExitStack() as held:
        passed = [held.enter_context(one) for one in _passed(environ)]
        ports = [one for one in passed if one.family != socket.AF_NETLINK]
        netlinks = [one for one in passed if one.family == socket.AF_NETLINK]
        if not ports:
            ports = [held.enter_context(one) for one in _bound(_addresses(host), port)]
        if not ports:
            raise ConfigError(f"cannot listen on {host}:{port}: this machine has no such address")
        yield Sockets(ports=tuple(ports), netlink=netlinks[0] if netlinks else held.enter_context(_netlink()))


def _netlink() -> socket.socket:
    try:
        return open_netlink()
    except OSError as error:
        raise ConfigError(
            f"cannot tell who connects: {error.strerror}",
            hint="the kernel's sock_diag says whose a connection is (modules inet_diag and tcp_diag)",
        ) from error


def _passed(environ: MutableMapping[str, str]) -> list[socket.socket]:
    """Sockets by the ``sd_listen_fds(3)`` protocol, taken out of the environment so that no child sees them."""
    pid, count = environ.pop("LISTEN_PID", ""), environ.pop("LISTEN_FDS", "")
    environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdecimal():
        return []
    sockets: list[socket.socket] = []
    for fd in range(_FIRST_PASSED_FD, _FIRST_PASSED_FD + int(count)):
        os.set_inheritable(fd, False)
        one = socket.socket(fileno=fd)
        sockets.append(one)
        if not _is_tcp(one) and not _is_sock_diag(one):
            raise ConfigError(f"cannot serve on passed descriptor {fd}: it is neither a TCP nor a sock_diag socket")
        one.setblocking(False)
    return sockets


def _is_tcp(one: socket.socket) -> bool:
    return one.type == socket.SOCK_STREAM and one.family in {socket.AF_INET, socket.AF_INET6}


def _is_sock_diag(one: socket.socket) -> bool:
    return one.family == socket.AF_NETLINK and one.proto == NETLINK_SOCK_DIAG


def _addresses(host: str) -> tuple[str, ...]:
    """Both loopbacks for either, or for ``localhost``; any other address for itself."""
    if host.lower() == "localhost" or host in {"127.0.0.1", "::1"}:
        return ("127.0.0.1", "::1")
    return (host,)


def _bound(addresses: tuple[str, ...], port: int) -> list[socket.socket]:
    """One port of all the addresses. The kernel picks for the first alone: where it is taken at another, pick again."""
    for tries_left in reversed(range(_PICKS if port == 0 else 1)):
        with ExitStack() as held:
            bound: list[socket.socket] = []
            try:
                for address in addresses:
                    picked = bound[0].getsockname()[1] if bound else port
                    if (one := _bind(address, picked)) is not None:
                        bound.append(held.enter_context(one))
            except ConfigError:
                if not tries_left:
                    raise
                continue
            held.pop_all()
            return bound
    raise AssertionError


def _bind(address: str, port: int) -> socket.socket | None:
    """A listening socket; None when the kernel has no IPv6, in which case nobody else can have the address."""
    try:
        six = ipaddress.ip_address(address).version == 6
    except ValueError as error:
        raise ConfigError(
            f"cannot listen on {address}:{port}: not an IP address", hint="gateway.listen is HOST:PORT"
        ) from error
    shown = f"[{address}]:{port}" if six else f"{address}:{port}"
    listener: socket.socket | None = None
    try:
        listener = socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if six:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
    except OSError as error:
        if listener is not None:
            listener.close()
        if six and error.errno in _NO_SUCH_FAMILY:
            _log.warning("not listening on %s: %s", shown, error.strerror)
            return None
        raise ConfigError(
            f"cannot listen on {shown}: {error.strerror}",
            hint="another program, perhaps another user's, holds this address: "
            f"`ss -ltnp 'sport = :{port}'` shows it; gateway.listen chooses another port",
        ) from error
    listener.setblocking(False)
    return listener
