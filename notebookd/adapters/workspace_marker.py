# SPDX-License-Identifier: Apache-2.0
"""What tells a workspace from an empty folder that was made where its disk is not mounted.

A file in the workspace does, also in one that came back from a backup. Whoever works there may remove it, with all
their other files. So there is a second one beside the workspace, where no container reaches: it holds the inode that
the workspace has, and where the folder still is that one, the first is made again.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from notebookd import nofollow
from notebookd.errors import WorkspaceFault
from notebookd.ports.files import MARKER

_MODE = 0o600


def leave_marker(workspace: Path) -> None:
    """Say that this folder is a workspace."""
    with nofollow.open_directory(workspace) as folder:
        with suppress(FileExistsError):
            nofollow.create_file(folder, MARKER, mode=_MODE)
        _note(workspace, folder)


def require_marker(workspace: Path) -> None:
    """Raise WorkspaceFault unless this folder is a workspace; then nothing was touched."""
    try:
        with nofollow.open_directory(workspace) as folder:
            if _is_noted(workspace, folder):
                with suppress(OSError):  # whatever else has the name is its user's
                    nofollow.create_file(folder, MARKER, mode=_MODE)
                return
            nofollow.read_file(folder, MARKER, limit=0)
            _note(workspace, folder)
    except FileNotFoundError as fault:
        raise WorkspaceFault(
            f"cannot use the workspace {workspace}: its marker {MARKER} is missing",
            hint="if the workspace's disk is mounted elsewhere, mount it here; if the notebook removed it, make an "
            "empty file of that name there again, as an admin; nothing was touched",
        ) from fault
    except nofollow.UnexpectedKind as fault:
        raise WorkspaceFault(
            f"cannot use the workspace {workspace}: its marker {MARKER} is not a regular file",
            hint="as an admin, put an empty file in its place; nothing was touched",
        ) from fault


def forget_marker(workspace: Path) -> None:
    """Remove what lies beside a workspace."""
    _beside(workspace).unlink(missing_ok=True)


def _beside(workspace: Path) -> Path:
    return workspace.with_name(f".{workspace.name}.initialized")


def _is_noted(workspace: Path, folder: int) -> bool:
    try:
        return _beside(workspace).read_text(encoding="ascii") == str(os.fstat(folder).st_ino)
    except (OSError, ValueError):
        return False


def _note(workspace: Path, folder: int) -> None:
    with suppress(OSError), nofollow.open_directory(workspace.parent) as parent:
        nofollow.replace_file(parent, _beside(workspace).name, str(os.fstat(folder).st_ino).encode(), mode=_MODE)
