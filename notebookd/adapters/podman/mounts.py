# SPDX-License-Identifier: Apache-2.0
"""What stands at a container's mounts.

A bind mount's source is looked up by the runtime when the container is made ready, and it follows links: so does its
target, inside the container's root. Whoever can write above either may have swapped a folder for a link meanwhile. What
was really mounted is seen from the container's own root, and cannot be swapped any more.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from notebookd import nofollow
from notebookd.adapters.processes import PROC
from notebookd.errors import EngineError
from notebookd.ports.engine import Mount


def moved_mount(pid: int, mounts: Sequence[Mount], action: str) -> Mount | None:
    """The first of ``mounts`` at whose target something else stands than its identity says, seen from the root of
    process ``pid``; a link on the way there is something else, too. Raises EngineError when it cannot be seen."""
    try:
        root = os.open(PROC / str(pid) / "root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise EngineError(f"cannot {action}: its mounts cannot be looked at: {error.strerror}") from error
    try:
        return next((mount for mount in mounts if _standing(root, mount.target) != mount.identity), None)
    finally:
        os.close(root)


def _standing(root: int, target: str) -> tuple[int, int] | None:
    try:
        return nofollow.identity_of(root, *filter(None, target.split("/")))
    except OSError:
        return None
