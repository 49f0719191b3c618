# SPDX-License-Identifier: Apache-2.0
"""What systemd gives a service: sockets it holds for it, a watchdog, and an ear for its state.

Everything here is silent where systemd did not start us. Sources: sd_notify(3), sd_listen_fds(3),
sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import MutableMapping

import sdnotify

LISTEN_FDS_START = 3


class SystemdNotifier:
    """The :class:`~notebookd.ports.notifier.Notifier` that writes to ``$NOTIFY_SOCKET``."""

    def __init__(self) -> None:
        # Without the variable, sdnotify makes a socket only to drop it unclosed.
        self._channel = sdnotify.SystemdNotifier() if os.environ.get("NOTIFY_SOCKET") else None

    def ready(self, status: str) -> None:
        """``READY=1``, with a status line."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """``RELOADING=1``, with the moment by CLOCK_MONOTONIC, which tells systemd which reload it is."""
        self._send("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def status(self, text: str) -> None:
        """``STATUS=…``, what ``systemctl status`` shows."""
        self._send(f"STATUS={text}")

    def watchdog(self) -> None:
        """``WATCHDOG=1``."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """``STOPPING=1``."""
        self._send("STOPPING=1")

    def extend_timeout(self, us: int) -> None:
        """``EXTEND_TIMEOUT_USEC=…``."""
        self._send(f"EXTEND_TIMEOUT_USEC={us}")

    def close(self) -> None:
        """Let go of the socket."""
        if self._channel is not None and self._channel.socket is not None:
            self._channel.socket.close()
        self._channel = None

    def _send(self, *assignments: str) -> None:
        if self._channel is None:
            return
        message = "\n".join(" ".join(assignment.splitlines()) for assignment in assignments)
        # sdnotify writes Latin-1 and drops what does not fit; systemd reads UTF-8.
        self._channel.notify(message.encode().decode("latin-1"))


def watchdog_interval_s(environ: MutableMapping[str, str] | None = None) -> float | None:
    """How often systemd wants to hear from us: half of ``WatchdogSec=``. None when it does not."""
    environ = os.environ if environ is None else environ
    try:
        us = int(environ.get("WATCHDOG_USEC", "0"))
        ours = int(environ.get("WATCHDOG_PID", str(os.getpid()))) == os.getpid()
    except ValueError:
        return None
    return us / 2_000_000 if us > 0 and ours else None


def named_listen_fds(environ: MutableMapping[str, str] | None = None) -> list[tuple[str, socket.socket]]:
    """The sockets systemd passed, each with its ``FileDescriptorName=``; once, the variables are taken away.

    They are set close-on-exec and non-blocking. Empty when none was passed or they are meant for another process.
    """
    environ = os.environ if environ is None else environ
    pid, count, names = (environ.pop(f"LISTEN_{word}", "") for word in ("PID", "FDS", "FDNAMES"))
    if not (pid.isdigit() and count.isdigit()) or int(pid) != os.getpid():
        return []
    named = names.split(":") if names else []
    sockets = []
    for position in range(int(count)):
        descriptor = LISTEN_FDS_START + position
        os.set_inheritable(descriptor, False)
        passed = socket.socket(fileno=descriptor)
        passed.setblocking(False)
        sockets.append((named[position] if position < len(named) else "unknown", passed))
    return sockets


def listen_fds(environ: MutableMapping[str, str] | None = None) -> list[socket.socket]:
    """The sockets systemd passed, in its order; see :func:`named_listen_fds`."""
    return [passed for _name, passed in named_listen_fds(environ)]
