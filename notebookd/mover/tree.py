# SPDX-License-Identifier: Apache-2.0
"""Touching a tree that a notebook may be rewriting: by descriptor, never through a link, never waiting.

:class:`Tree` stands on one folder. Paths are relative to it, with bytes that are no UTF-8 as surrogates. Whatever turns
out to be of another kind than it was a moment ago raises OSError, and the caller leaves that name alone.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from notebookd.mover.manifest import Stamp
from notebookd.mover.names import folders_of, is_temporary, matches_any

DEEPEST = 256
"""Folders in folders. Below, a tree is not looked at: each level holds a descriptor."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIN = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHUNK = 1024 * 1024
_MAY_RUN = 0o111
_BLOCK = 4096


@dataclass(slots=True)
class Walk:
    """What a walk saw. ``others`` are names of what is no file and no folder (links, FIFOs, ...); ``opaque`` are
    folders that could not be looked into, ``executable`` files that somebody may run."""

    files: dict[str, Stamp] = field(default_factory=dict)
    others: set[str] = field(default_factory=set)
    opaque: set[str] = field(default_factory=set)
    folders: set[str] = field(default_factory=set)
    executable: set[str] = field(default_factory=set)

    def empty_folders(self) -> list[str]:
        """The topmost folders in which no file is."""
        empty = self.folders - {folder for path in self.files for folder in folders_of(path)}
        return sorted(path for path in empty if path.rpartition("/")[0] not in empty)

    def leave_out(self, patterns: Sequence[str]) -> int:
        """Forget what is named so; returns how many files that were."""
        left_out = {path for path in self.files if matches_any(path, patterns)}
        if patterns:
            self.files = {path: stamp for path, stamp in self.files.items() if path not in left_out}
            self.folders -= {folder for path in left_out for folder in folders_of(path)}  # they are not empty
            for names in (self.others, self.opaque, self.folders, self.executable):
                names.difference_update([path for path in names if matches_any(path, patterns)])
        return len(left_out)

    def hides(self, path: str) -> bool:
        """Whether something that is not looked through stands at ``path`` or above it: absence was not seen."""
        if not self.others and not self.opaque:
            return False
        while path:
            if path in self.others or path in self.opaque:
                return True
            path = path.rpartition("/")[0]
        return "" in self.opaque


class Tree:
    """A folder and all below it. A context: it holds descriptors."""

    def __init__(self, root: Path) -> None:
        self._root = os.open(root, _FOLDER)
        self._parent = ""
        self._parent_fd = self._root

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._forget_parent()
        os.close(self._root)

    def walk(self) -> Walk:
        """Every file, as it is now."""
        walk = Walk()
        root = os.open(".", _FOLDER, dir_fd=self._root)
        below = [("", root, self._look(walk, "", root))]
        try:
            while below:
                path, fd, folders = below[-1]
                name = next(folders, None)
                if name is None:
                    os.close(below.pop()[1])
                    continue
                if len(below) >= DEEPEST:
                    walk.opaque.add(path + name)
                    continue
                try:
                    inner = os.open(name, _FOLDER, dir_fd=fd)
                except FileNotFoundError:
                    continue
                except OSError:
                    walk.opaque.add(path + name)
                    continue
                below.append((f"{path}{name}/", inner, self._look(walk, f"{path}{name}/", inner)))
        finally:
            for _, fd, _ in below:
                os.close(fd)
        return walk

    @staticmethod
    def _look(walk: Walk, prefix: str, fd: int) -> Iterator[str]:
        """Note the files of one folder; its folders are returned."""
        folders: list[str] = []
        try:
            with os.scandir(fd) as entries:
                for entry in entries:
                    path = prefix + entry.name
                    with suppress(FileNotFoundError):
                        if is_temporary(entry.name):
                            walk.others.add(path)
                        elif entry.is_dir(follow_symlinks=False):
                            folders.append(entry.name)
                            walk.folders.add(path)
                        elif entry.is_file(follow_symlinks=False):
                            status = entry.stat(follow_symlinks=False)
                            walk.files[path] = Stamp.of(status)
                            if status.st_mode & _MAY_RUN:
                                walk.executable.add(path)
                        else:
                            walk.others.add(path)
        except OSError:
            walk.opaque.add(prefix.rstrip("/"))
        return iter(folders)

    def look(self, path: str) -> Stamp | None:
        """A file as it is now; None when there is no file of that name (but perhaps something else)."""
        try:
            folder, name = self._folder(path)
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except OSError:
            return None
        return Stamp.of(status) if stat.S_ISREG(status.st_mode) else None

    def link_out(self, path: str, into: Tree, target: str) -> Stamp:
        """Give the file that is at ``path`` now a second name in another tree; OSError when it is no file. The inode is
        pinned before it is looked at, so that nothing else can be linked in its place."""
        folder, name = self._folder(path)
        fd = os.open(name, _PIN, dir_fd=folder)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise OSError(errno.EINVAL, "not a file", path)
            there, as_name = into._folder(target, create=True)
            os.link(f"/proc/self/fd/{fd}", as_name, dst_dir_fd=there, follow_symlinks=True)
            return Stamp.of(os.fstat(fd))
        finally:
            os.close(fd)

    def digest(self, path: str, kind: str) -> tuple[str, Stamp]:
        """The digest of a file's content and the file as it was then; OSError when it is none, or changes meanwhile."""
        folder, name = self._folder(path)
        fd = os.open(name, _READ, dir_fd=folder)
        with os.fdopen(fd, "rb", buffering=0) as file:
            before = os.fstat(fd)
            if not stat.S_ISREG(before.st_mode):
                raise OSError(errno.EINVAL, "not a file", path)
            made = hashlib.new(kind, usedforsecurity=False)
            while chunk := file.read(_CHUNK):
                made.update(chunk)
            if not Stamp.of(os.fstat(fd)).same_content(Stamp.of(before)):
                raise OSError(errno.EBUSY, "changed while read", path)
            return made.hexdigest(), Stamp.of(before)

    def looks_cut(self, path: str) -> bool:
        """Whether a file is what a machine that went down leaves of one that was being written: empty, or with zeros in
        place of its last block."""
        try:
            folder, name = self._folder(path)
            fd = os.open(name, _READ, dir_fd=folder)
        except OSError:
            return False
        try:
            status = os.fstat(fd)
            tail = os.pread(fd, _BLOCK, max(0, status.st_size - _BLOCK)) if stat.S_ISREG(status.st_mode) else b"x"
            return not tail.strip(b"\0")
        finally:
            os.close(fd)

    def take_in(self, source: Tree, path: str, expected: Stamp | None, *, may_run_as_before: bool = False) -> Stamp:
        """Rename the private ``source``'s file of that path to the same path here, where there must be what
        ``expected`` says (None: nothing), whose executable bits it may be given. Raises FileExistsError when something
        else is there."""
        from_folder, from_name = source._folder(path)
        folder, name = self._folder(path, create=True)
        if expected is None:
            os.link(from_name, name, src_dir_fd=from_folder, dst_dir_fd=folder, follow_symlinks=False)
            os.unlink(from_name, dir_fd=from_folder)
        else:
            if self.look(path) != expected:
                raise FileExistsError(errno.EEXIST, "changed meanwhile", path)
            if may_run_as_before and (bits := _mode(name, folder) & _MAY_RUN):
                os.chmod(from_name, _mode(from_name, from_folder) | bits, dir_fd=from_folder)
            os.rename(from_name, name, src_dir_fd=from_folder, dst_dir_fd=folder)
        return Stamp.of(os.stat(name, dir_fd=folder, follow_symlinks=False))

    def remove(self, path: str) -> None:
        """Unlink a name; one that is gone is none."""
        with suppress(FileNotFoundError):
            folder, name = self._folder(path)
            os.unlink(name, dir_fd=folder)

    def prune(self, path: str) -> None:
        """Remove the folders above ``path`` that are empty."""
        self._forget_parent()
        while path := path.rpartition("/")[0]:
            try:
                folder, name = self._folder(path)
                os.rmdir(name, dir_fd=folder)
            except OSError:
                return
            finally:
                self._forget_parent()

    def clear(self) -> None:
        """Remove everything below, and nothing that is not below."""
        self._forget_parent()
        _clear(os.open(".", _FOLDER, dir_fd=self._root))

    def free_bytes(self) -> int:
        """Room on the disk."""
        disk = os.fstatvfs(self._root)
        return disk.f_bavail * disk.f_frsize

    def _folder(self, path: str, *, create: bool = False) -> tuple[int, str]:
        """A descriptor of the folder that ``path`` is in, and the name in it. The last one is kept open, because what
        follows is mostly in the same."""
        parent, _, name = path.rpartition("/")
        if parent != self._parent:
            self._forget_parent()
            fd = os.open(".", _FOLDER, dir_fd=self._root)
            try:
                for part in filter(None, parent.split("/")):  # none of a path at the top
                    fd = _step(fd, part, create=create)
            except BaseException:
                os.close(fd)
                raise
            self._parent, self._parent_fd = parent, fd
        return self._parent_fd, name

    def _forget_parent(self) -> None:
        if self._parent_fd != self._root:
            os.close(self._parent_fd)
        self._parent, self._parent_fd = "", self._root


def _mode(name: str, folder: int) -> int:
    return stat.S_IMODE(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _step(fd: int, name: str, *, create: bool) -> int:
    """One folder down; ``fd`` is closed when that succeeds."""
    try:
        below = os.open(name, _FOLDER, dir_fd=fd)
    except FileNotFoundError:
        if not create:
            raise
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=fd)
        below = os.open(name, _FOLDER, dir_fd=fd)
    os.close(fd)
    return below


def _clear(fd: int) -> None:
    """Remove what is in a folder, however deep; ``fd`` is closed."""
    stack = [fd]
    lifted = 0
    try:
        while stack:
            inner = _unlink_files(stack[-1])
            if inner is None:
                os.close(stack.pop())
            elif len(stack) >= DEEPEST:  # no tree is too deep to be removed: what is below goes up
                lifted += 1
                os.rename(inner, f".notebookd-lifted-{lifted}", src_dir_fd=stack[-1], dst_dir_fd=stack[0])
            else:
                try:
                    os.rmdir(inner, dir_fd=stack[-1])
                except OSError:
                    stack.append(_open_writable(stack[-1], inner))
    finally:
        for each in stack:
            os.close(each)


def _open_writable(parent: int, name: str) -> int:
    """A folder's descriptor, after its owner's rights were given back to it."""
    pin = os.open(name, _PIN | os.O_DIRECTORY, dir_fd=parent)
    try:
        Path(f"/proc/self/fd/{pin}").chmod(0o700)
        return os.open(".", _FOLDER, dir_fd=pin)
    finally:
        os.close(pin)


def _unlink_files(fd: int) -> str | None:
    """Unlink all but folders; returns the name of one of these."""
    inner = None
    with os.scandir(fd) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                inner = entry.name
            else:
                with suppress(FileNotFoundError):
                    os.unlink(entry.name, dir_fd=fd)
    return inner
