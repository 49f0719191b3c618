# SPDX-License-Identifier: Apache-2.0
"""Prints a port that is free on 127.0.0.1 and on ::1: the given one if it can be had, else another.

``free_port.py PORT [--only]``: with ``--only``, the given one or exit status 1.
"""

from __future__ import annotations

import errno
import socket
import sys


def is_free(port: int) -> bool:
    """Whether both loopback addresses can be bound; a machine without IPv6 has one."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((address, port))
        except OSError as error:
            if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                return False
    return True


def any_free() -> int:
    """One that the kernel proposes for IPv4 and that IPv6 has free too."""
    while True:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if is_free(port):
            return port


wanted = int(sys.argv[1])
if is_free(wanted):
    print(wanted)
elif "--only" in sys.argv:
    sys.exit(1)
else:
    print(any_free())
