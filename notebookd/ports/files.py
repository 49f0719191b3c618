# SPDX-License-Identifier: Apache-2.0
"""The files port: what a notebook has on disk. Every method may raise WorkspaceFault."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from notebookd.domain.ids import NotebookId, RunId
from notebookd.ports.engine import LogLine, Mount

BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/var/lib/ca-certificates/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)
"""Where distributions keep all that TLS trusts in one file: Debian and Alpine, Red Hat, SUSE, others."""

MARKER = ".workspace.initialized"
"""The file that says that a workspace is one: see :meth:`Files.prepare`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotebookFolders:
    """Folders of the host that are mounted into the notebook's container."""

    workspace: Path
    editor: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Bytes used by the workspace (None where not known cheaply), and free where it lies."""

    used_bytes: int | None
    free_bytes: int


class Files(Protocol):
    """A notebook's folders and kept logs."""

    async def prepare(self, notebook_id: NotebookId, *, made: bool) -> NotebookFolders:
        """Make the folders, or find them: with ``made`` a folder that is not known for the workspace, and has no
        marker, is a fault, and nothing is touched. The editor's folder is made anew. Idempotent."""
        ...

    def folders(self, notebook_id: NotebookId) -> NotebookFolders:
        """Where the folders are."""
        ...

    async def clear_editor(self, notebook_id: NotebookId) -> None:
        """Remove the editor's folder. Idempotent."""
        ...

    async def remove(self, notebook_id: NotebookId) -> None:
        """Remove workspace (renamed to the trash first), editor folder and logs. Idempotent."""
        ...

    async def remove_path(self, notebook_id: NotebookId, path: str) -> bool:
        """Remove what lies at ``path`` of the workspace, with all that is in it, and never through a link; False when
        there is nothing. Needs no room on the disk. Raises :class:`~notebookd.errors.Conflict` where something on the
        way is no folder or may not be changed, or something is written there meanwhile."""
        ...

    async def lay_trust(self, notebook_id: NotebookId, usual: bytes | None) -> Mount | None:
        """Lay a file of what its container trusts: ``usual``, by default what this machine does, and the certificates
        of the configuration. None where that names none. Raises WorkspaceFault, also for a file that is of no use."""
        ...

    async def leave_notice(self, notebook_id: NotebookId, reason: str, text: str | None) -> None:
        """Leave ``text`` in the workspace for whoever works there, in place of an earlier one of the same ``reason`` (a
        plain word); None takes it away. :meth:`prepare` takes all away."""
        ...

    async def link_volumes(self, notebook_id: NotebookId, mount_paths: Sequence[str]) -> None:
        """Have links in the workspace to the volumes that are mounted outside of it, and none to others. What else
        stands under such a name is its user's, and stays. No container may run. A workspace that takes no link is its
        user's own doing, or full, and no fault. Idempotent."""
        ...

    async def keep_log(self, notebook_id: NotebookId, run_id: RunId, lines: AsyncIterator[LogLine]) -> None:
        """Keep a container's output beyond the container."""
        ...

    def read_log(self, notebook_id: NotebookId, run_id: RunId) -> AsyncGenerator[LogLine, None]:
        """The kept output, oldest first; nothing when none was kept."""
        ...

    async def usage(self, notebooks: Collection[NotebookId]) -> Mapping[NotebookId, Usage]:
        """How full workspaces are; one that was not made is left out. A file system may take its time to say so."""
        ...
