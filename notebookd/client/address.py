# SPDX-License-Identifier: Apache-2.0
"""Where a daemon answers: at a socket of this machine, or at its gateway's port, which a tunnel or TLS brings here."""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass

from notebookd.client.errors import ClientError, Unreachable

__all__ = ["DEFAULT_SOCKET", "Address", "unreachable"]

DEFAULT_SOCKET = "/run/notebookd/api.sock"
_LOOPBACK = re.compile(r"127(\.[0-9]{1,3}){3}")
_HOST = re.compile(r"[A-Za-z0-9._:-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """The path of a socket, or host and port; one of the two. ``text`` is how it was written."""

    text: str
    path: str | None = None
    host: str = ""
    port: int | None = None
    tls: bool = False

    @classmethod
    def parse(cls, text: str | None) -> Address:
        """A path, ``unix:///PATH``, ``http://HOST[:PORT]`` or ``https://HOST[:PORT]``; without one, what
        ``NOTEBOOKD_SOCKET`` says, or the default. :class:`ClientError` for what is none."""
        text = text or os.environ.get("NOTEBOOKD_SOCKET") or DEFAULT_SOCKET
        scheme, parted, rest = text.partition("://")
        if not parted:
            return cls(text=text, path=text)
        if scheme == "unix" and rest.startswith("/"):
            return cls(text=text, path=rest)
        from urllib.parse import urlsplit

        try:
            url = urlsplit(text)
            host, port = url.hostname or "", url.port
        except ValueError as error:
            raise _none(text, str(error)) from error
        if scheme not in {"http", "https"} or not _HOST.fullmatch(host):
            raise _none(text, "it is neither a path nor http://HOST:PORT")
        if url.path not in {"", "/"} or url.query or url.fragment or url.username is not None:
            raise _none(text, "there is more in it than host and port")
        if scheme == "http" and not _is_here(host):
            raise ClientError(
                f"cannot use the address {text}: the token would cross the network for all to read",
                hint="use https, or a tunnel: ssh -L 8421:127.0.0.1:8421 HOST, then http://localhost:8421",
            )
        return cls(text=text, host=host, port=port, tls=scheme == "https")

    @property
    def url(self) -> str:
        """What a path of the API follows, for libraries that want a URL; a socket has to be given to them beside it."""
        return "http://localhost" if self.path is not None else self.text.rstrip("/")

    @property
    def host_name(self) -> str:
        """What a request names as its host."""
        if self.path is not None:
            return "localhost"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port is None else f"{host}:{self.port}"

    def dial(self, timeout_s: float | None) -> socket.socket:
        """A connection; each wait on it takes ``timeout_s`` at most. Raises OSError."""
        if self.path is None:
            link = socket.create_connection((self.host, self.port or (443 if self.tls else 80)), timeout_s)
            return _behind_tls(link, self.host) if self.tls else link
        link = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            link.settimeout(timeout_s)
            link.connect(self.path)
        except BaseException:
            link.close()
            raise
        return link


def _behind_tls(link: socket.socket, host: str) -> socket.socket:
    import ssl

    try:
        return ssl.create_default_context().wrap_socket(link, server_hostname=host)
    except BaseException:
        link.close()
        raise


def unreachable(address: Address, error: OSError) -> Unreachable:
    """What an error of the operating system means to somebody who wanted to speak to that address."""
    match error:
        case _ if address.path is None:
            port = address.port or 8421
            hint = "is the gateway up, and where a tunnel leads to it, the tunnel?" + (
                "" if address.tls else f" ssh -L {port}:127.0.0.1:{port} HOST"
            )
        case FileNotFoundError():
            hint = "is notebookd running, and is the socket's path right (--socket, NOTEBOOKD_SOCKET)?"
        case PermissionError():
            hint = "are you in the group notebookd? a new membership counts from the next login on"
        case ConnectionRefusedError():
            hint = "nothing listens there: systemctl status notebookd"
        case _:
            hint = "notebookctl doctor looks into it"
    return Unreachable(f"cannot reach notebookd at {address.text}: {error.strerror or error}", hint=hint)


def _is_here(host: str) -> bool:
    """Whether a host's name leads to this machine and no further."""
    return host in {"localhost", "::1"} or host.endswith(".localhost") or _LOOPBACK.fullmatch(host) is not None


def _none(text: str, why: str) -> ClientError:
    return ClientError(
        f"cannot use the address {text}: {why}",
        hint="it is the path of a socket, or http://localhost:8421 through a tunnel",
    )
