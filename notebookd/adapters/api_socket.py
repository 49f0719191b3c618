# SPDX-License-Identifier: Apache-2.0
"""The API's listening socket: passed by systemd, or made here."""

from __future__ import annotations

import grp
import logging
import os
import socket
import stat
from pathlib import Path

from notebookd.errors import ConfigError

log = logging.getLogger(__name__)

_MODE = 0o660
BACKLOG = 1024
"""How many may connect at once before they are accepted; one more is refused if it does not wait."""


def listen(path: Path, group: str) -> socket.socket:
    """A listening socket at ``path``, 0660 and of ``group``. A dead one is replaced.

    Raises:
        ConfigError: a live daemon serves it, something else lies there, or it cannot be made.
    """
    _clear(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    old_mask = os.umask(0o177)
    try:
        listener.bind(str(path))
    except OSError as fault:
        listener.close()
        raise ConfigError(
            f"cannot listen on {path}: {fault.strerror}", hint=f"{path.parent} must exist and be the service's"
        ) from fault
    finally:
        os.umask(old_mask)
    try:
        os.chown(path, -1, grp.getgrnam(group).gr_gid)
    except (KeyError, PermissionError) as fault:
        log.warning("cannot give %s to group %s (%s): only the service and root can open it", path, group, fault)
    path.chmod(_MODE)
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


def _clear(path: Path) -> None:
    try:
        found = path.lstat()
    except OSError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ConfigError(f"cannot listen on {path}: there is something that is no socket", hint="move it away")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError as fault:
            raise ConfigError(f"cannot listen on {path}: {fault.strerror or fault}") from fault
    raise ConfigError(
        f"cannot listen on {path}: another notebookd serves it", hint="stop that one, or set [api] socket elsewhere"
    )
