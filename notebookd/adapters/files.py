# SPDX-License-Identifier: Apache-2.0
"""A notebook's folders on the local disk.

What lies inside a workspace or an editor's folder was put there by a container: it is only ever touched relative to a
directory descriptor, never followed, and never trusted.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
import logging
import os
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar

from notebookd import nofollow
from notebookd.adapters.trust import lay_bundle
from notebookd.adapters.workspace_marker import forget_marker, leave_marker, require_marker
from notebookd.config import Paths
from notebookd.domain.deadlines import Reason
from notebookd.domain.ids import NotebookId, RunId
from notebookd.domain.volumes import mount_path_fault, workspace_links
from notebookd.errors import Conflict, WorkspaceFault
from notebookd.ports.engine import LogLine, Mount
from notebookd.ports.files import NotebookFolders, Usage

log = logging.getLogger(__name__)

T = TypeVar("T")

NOTICES = {reason: f"NOTICE.notebookd.{reason}.txt" for reason in (Reason.TIMEOUT, Reason.IDLE_STOP)}
_OWN_LINK = re.compile(r"/.*/\.", re.DOTALL)
_LINES_AT_ONCE = 1000
"""Of a log, that are written or read in one piece."""
_EDITOR_MODE = 0o2770  # setgid: what the editor makes belongs to the gateway's group


class LocalFiles:
    """See :class:`~notebookd.ports.files.Files`. ``give_up_reserve`` makes room for a file that has to be made, where
    it can."""

    def __init__(
        self,
        paths: Paths,
        *,
        keep_workspaces: bool,
        give_up_reserve: Callable[[], bool] = lambda: False,
        ca_file: Path | None = None,
    ) -> None:
        self._paths = paths
        self._give_up_reserve = give_up_reserve
        self.keep_workspaces = keep_workspaces
        self.ca_file = ca_file

    def folders(self, notebook_id: NotebookId) -> NotebookFolders:
        """Where the folders are."""
        return NotebookFolders(workspace=self._paths.workspaces / notebook_id, editor=self._paths.editors / notebook_id)

    async def prepare(self, notebook_id: NotebookId, *, made: bool) -> NotebookFolders:
        """Make or find the folders."""
        folders = self.folders(notebook_id)
        await _in_thread(f"prepare the workspace {folders.workspace}", _prepare, folders, made)
        return folders

    async def clear_editor(self, notebook_id: NotebookId) -> None:
        """Remove the editor's folder."""
        editor = self.folders(notebook_id).editor
        await _in_thread(f"remove {editor}", _remove_tree, editor)

    async def remove(self, notebook_id: NotebookId) -> None:
        """Remove everything; the workspace goes by way of the trash."""
        folders = self.folders(notebook_id)
        await _in_thread(f"remove the files of notebook {notebook_id}", self._remove, folders, notebook_id)

    def _remove(self, folders: NotebookFolders, notebook_id: NotebookId) -> None:
        (self._paths.trust / notebook_id).unlink(missing_ok=True)
        if not self.keep_workspaces:
            self._throw_away(folders.workspace, self._paths.trash / notebook_id)
            forget_marker(folders.workspace)
        _remove_tree(folders.editor)
        _remove_tree(self._paths.logs / notebook_id)

    def _throw_away(self, workspace: Path, doomed: Path) -> None:
        """Remove a workspace by way of the trash; in its place where no trash can be made, for want of the very inode
        that this frees."""
        if workspace.exists():
            _remove_tree(doomed)
            with suppress(OSError):
                doomed.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                workspace.rename(doomed)
        _remove_tree(doomed)
        _remove_tree(workspace)

    async def sweep(self) -> None:
        """Empty the trash that an earlier life left. Its folder stays: to make one takes an inode."""
        await _in_thread("empty the trash", _empty, self._paths.trash)

    async def remove_path(self, notebook_id: NotebookId, path: str) -> bool:
        """Remove a part of the workspace."""
        workspace = self.folders(notebook_id).workspace
        return await asyncio.to_thread(_remove_path, workspace, path)

    async def lay_trust(self, notebook_id: NotebookId, usual: bytes | None) -> Mount | None:
        """See :meth:`~notebookd.ports.files.Files.lay_trust`."""
        if self.ca_file is None:
            return None
        try:
            return await asyncio.to_thread(lay_bundle, self._paths.trust, notebook_id, self.ca_file, usual)
        except OSError as error:
            raise WorkspaceFault(f"cannot write what notebook {notebook_id} trusts: {error.strerror}") from error

    async def leave_notice(self, notebook_id: NotebookId, reason: str, text: str | None) -> None:
        """Replace or remove the notice, whatever stands in its place now."""
        workspace = self.folders(notebook_id).workspace
        await _in_thread(f"leave a notice in {workspace}", _leave_notice, workspace, NOTICES[Reason(reason)], text)

    async def link_volumes(self, notebook_id: NotebookId, mount_paths: Sequence[str]) -> None:
        """Make and remove links; see :func:`_link`."""
        workspace = self.folders(notebook_id).workspace
        await _in_thread(f"link volumes in {workspace}", _link, workspace, workspace_links(mount_paths))

    async def keep_log(self, notebook_id: NotebookId, run_id: RunId, lines: AsyncIterator[LogLine]) -> None:
        """Keep a container's output; a log kept already stays. Little of it is in memory at once."""
        path = self._log_path(notebook_id, run_id)
        if path.exists():
            return
        what, half, size, piece = f"keep the log {path}", path.with_suffix(".part"), 0, list[str]()
        try:
            async for line in lines:
                piece.append(f"{line.at.isoformat()} {line.stream} {line.content}\n")
                if len(piece) == _LINES_AT_ONCE:
                    size += await _in_thread(what, self._write, half, size, piece)
                    piece.clear()
            await _in_thread(what, self._write, half, size, piece)
            await _in_thread(what, half.rename, path)
        finally:
            with suppress(OSError):
                half.unlink(missing_ok=True)

    def _write(self, half: Path, size: int, lines: list[str]) -> int:
        """Write lines behind the first ``size`` bytes; how many bytes they are."""
        text = "".join(lines).encode("utf-8", errors="replace")
        try:
            _write_at(half, size, text)
        except OSError as fault:
            if fault.errno != errno.ENOSPC or not self._give_up_reserve():
                raise
            _write_at(half, size, text)
        return len(text)

    async def read_log(self, notebook_id: NotebookId, run_id: RunId) -> AsyncGenerator[LogLine, None]:
        """The kept output."""
        try:
            file = await asyncio.to_thread(self._log_path(notebook_id, run_id).open, "rb")
        except FileNotFoundError:
            return
        except OSError as fault:
            raise WorkspaceFault(f"cannot read the log of run {run_id}: {fault.strerror}") from fault
        with file:
            while rows := await asyncio.to_thread(lambda: list(itertools.islice(file, _LINES_AT_ONCE))):
                for row in rows:
                    at, stream, content = row.decode("utf-8", errors="replace").removesuffix("\n").split(" ", 2)
                    yield LogLine(at=datetime.fromisoformat(at), stream=stream, content=content)

    def _log_path(self, notebook_id: NotebookId, run_id: RunId) -> Path:
        return self._paths.logs / notebook_id / f"{run_id}.log"

    async def usage(self, notebooks: Collection[NotebookId]) -> Mapping[NotebookId, Usage]:
        """Free space; what is used would take a walk, which is not for here."""
        return await asyncio.to_thread(lambda: dict(self._usages(notebooks)))

    def _usages(self, notebooks: Collection[NotebookId]) -> Iterator[tuple[NotebookId, Usage]]:
        for notebook_id in notebooks:
            try:
                space = os.statvfs(self.folders(notebook_id).workspace)
            except OSError:
                continue
            yield notebook_id, Usage(used_bytes=None, free_bytes=space.f_bavail * space.f_frsize)


def _remove_path(workspace: Path, path: str) -> bool:
    *folders, name = path.split("/")
    try:
        with nofollow.open_directory(workspace, *folders) as folder:
            return nofollow.remove_tree(folder, name)
    except FileNotFoundError:
        return False
    except OSError as fault:
        cause, hint = _UNREMOVED.get(fault.errno or 0, (f"{fault.strerror or fault}", None))
        raise Conflict(f"cannot remove {path!r}: {cause}", hint=hint) from fault


_UNREMOVED: dict[int, tuple[str, str | None]] = {
    errno.EINVAL: (
        "a part of it is a link or no folder, and links are not followed",
        "remove the link by its own name",
    ),
    errno.EACCES: ("the folder that it is in may not be changed", "remove that folder, or change its mode with `exec`"),
    errno.ENOTEMPTY: ("something is written there meanwhile", "stop what writes there, or the notebook, and try again"),
    errno.EBUSY: ("something is mounted there", None),
}


async def _in_thread(what: str, work: Callable[..., T], *args: Any) -> T:
    try:
        return await asyncio.to_thread(work, *args)
    except OSError as fault:
        raise WorkspaceFault(f"cannot {what}: {fault.strerror or fault}") from fault


def _prepare(folders: NotebookFolders, made: bool) -> None:
    if made:
        require_marker(folders.workspace)
        for name in NOTICES.values():
            with suppress(OSError):  # of an earlier run; whatever else has that name is its user's
                _leave_notice(folders.workspace, name, None)
    else:
        folders.workspace.mkdir(mode=0o700, parents=True, exist_ok=True)
        leave_marker(folders.workspace)
    _remove_tree(folders.editor)
    folders.editor.mkdir(mode=0o770)
    folders.editor.chmod(_EDITOR_MODE)


def _leave_notice(workspace: Path, name: str, text: str | None) -> None:
    with nofollow.open_directory(workspace) as folder:
        if text is not None:
            nofollow.replace_file(folder, name, text.encode())
        else:
            nofollow.remove_file(folder, name)


def _link(workspace: Path, links: Mapping[str, Sequence[str]]) -> None:
    """A link of ours is known by where it leads: to an absolute path with ``/.`` at its end, which hardly
    anybody else writes, under a name that such a link gets. So it is found again in a workspace that was copied or came
    back from a snapshot, too."""
    missing = dict(links)
    with nofollow.open_directory(workspace) as folder:
        for name, path in _own_links(folder):
            if name in missing.get(path, ()):
                del missing[path]
            else:
                _let_be(os.unlink, name, dir_fd=folder)
        for path, names in missing.items():
            next((name for name in names if _let_be(os.symlink, f"{path}/.", name, dir_fd=folder)), None)


def _own_links(folder: int) -> list[tuple[str, str]]:
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_symlink()]
    found = [(name, os.readlink(name, dir_fd=folder)) for name in names]
    leading = [(name, target.removesuffix("/.")) for name, target in found if _OWN_LINK.fullmatch(target)]
    return [(name, path) for name, path in leading if name in _link_names(path)]


def _link_names(path: str) -> Sequence[str]:
    return () if mount_path_fault(path) else workspace_links([path]).get(path, ())


def _let_be(work: Callable[..., None], *args: Any, dir_fd: int) -> bool:
    try:
        work(*args, dir_fd=dir_fd)
    except OSError:
        return False
    return True


def _write_at(path: Path, size: int, text: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb") as sink:
        sink.truncate(size)
        sink.seek(size)
        sink.write(text)


def _empty(folder: Path) -> None:
    for name in os.listdir(folder) if folder.is_dir() else ():  # noqa: PTH208 - names alone
        nofollow.remove_tree(folder, name)


def _remove_tree(path: Path) -> None:
    """Remove a tree of a container's making, if it is there."""
    with suppress(FileNotFoundError):
        nofollow.remove_tree(path.parent, path.name)
