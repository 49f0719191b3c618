# SPDX-License-Identifier: Apache-2.0
"""Lays the entries of a hostile tar stream out in a hostile tree."""

from __future__ import annotations

import errno
import os
import secrets
import stat
import tarfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from tarfile import EOFHeaderError  # type: ignore[attr-defined]  # the stubs forget it
from typing import IO, Self

from notebookd.mover.names import MARKER
from notebookd.mover.report import Code, Fault, Reporter, named, shown
from notebookd.mover.visit import FOLDER, stays_below, sync_disk

LONGEST_HEADER = 128 * 1024
"""Of one extended header, which is read into memory before it means anything."""
MAX_ENTRIES = 5_000_000
MAX_COMMON_HEADERS = 1000
CHUNK = 64 * 1024
"""Larger pieces come in memory that the kernel hands out anew each time, page by page: that is four times the CPU."""
STREAM_CHUNK = 16 * 1024
"""tarfile copies all of one for every header that it takes out of it."""

_FAULTS_OF_A_NAME = {errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.EINVAL, errno.EILSEQ}
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIN = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_EXTENDED = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip


def parts_of(path: str) -> list[str]:
    """The parts of a path below the workspace. Raises Fault when it leads, or might lead, anywhere else."""
    parts = [part for part in path.split("/") if part not in {"", "."}]
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise Fault(Code.INVALID_SOURCE, f"cannot take {shown(path)}: it must be a path below the folder, without ..")
    return parts


class Unpacker:
    """Unpacks into the folder ``path`` of a workspace, and into none of its folders ``closed``. A context: it holds a
    descriptor of it."""

    def __init__(
        self,
        workspace: Path,
        path: str,
        reporter: Reporter,
        max_bytes: int | None = None,
        *,
        closed: Sequence[str] = (),
    ) -> None:
        self._above = parts_of(path)
        self._closed = [parts_of(each) for each in closed]
        self._workspace = workspace
        self._left_bytes = max_bytes
        self._progress = reporter.progress
        self._tick = reporter.tick
        self._left_out: list[str] = []

    def __enter__(self) -> Self:
        root = os.open(self._workspace, FOLDER)
        try:
            self._root = self._enter(root, self._above)
        finally:
            os.close(root)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._root)

    def unpack(self, stream: IO[bytes]) -> None:
        """Unpack all of ``stream``, which must be a whole tar. Raises Fault, also with the first entry that is not
        meant for this folder; OSError when the disk does not take it."""
        try:
            with _Archive.open(fileobj=stream, mode="r|", bufsize=STREAM_CHUNK, errors="surrogateescape") as archive:
                while (entry := archive.next()) is not None:
                    archive.members.clear()  # type: ignore[attr-defined]  # it would keep them all
                    self._place(archive, entry)
                if not archive.ended:
                    raise Fault(Code.INVALID_SOURCE, "cannot unpack the archive: it is cut short")
        except (tarfile.TarError, ValueError, IndexError, OverflowError, RecursionError, EOFError) as error:
            raise Fault(Code.INVALID_SOURCE, "cannot unpack the archive: it is no tar, or cut short") from error
        sync_disk(self._workspace)

    def complaint(self) -> str:
        """What was left out."""
        if not self._left_out:
            return ""
        why = "links that lead elsewhere, or nothing to copy"
        return f"{len(self._left_out)} left out ({why}): {named(self._left_out)}"

    def _place(self, archive: _Archive, entry: tarfile.TarInfo) -> None:
        progress = self._progress
        progress.processed += 1
        self._tick()
        if progress.processed > MAX_ENTRIES:
            raise Fault(Code.TOO_LARGE, f"cannot unpack the archive: it has more than {MAX_ENTRIES} entries")
        *above, name = parts_of(entry.name) or [""]
        if not name or (name == MARKER and not above and not self._above):
            return
        self._require_open([*self._above, *above, name], entry)
        try:
            folder = self._enter(self._root, above)
            try:
                self._place_in(folder, name, len(above), archive, entry)
            finally:
                os.close(folder)
        except (IsADirectoryError, NotADirectoryError, FileExistsError) as error:
            cause = "a file, folder or link of another kind is in its way"
            raise Fault(Code.INVALID_SOURCE, f"cannot unpack {shown(entry.name)}: {cause}") from error
        except OSError as error:
            if error.errno not in _FAULTS_OF_A_NAME:
                raise
            raise Fault(Code.INVALID_SOURCE, f"cannot unpack {shown(entry.name)}: {error.strerror}") from error

    def _require_open(self, whole: list[str], entry: tarfile.TarInfo) -> None:
        for closed in self._closed:
            if whole[: len(closed)] == closed and (whole != closed or not entry.isdir()):
                cause = "a volume is mounted there, which would hide it"
                raise Fault(Code.INVALID_SOURCE, f"cannot unpack {shown(entry.name)}: {cause}")

    def _place_in(self, folder: int, name: str, depth: int, archive: _Archive, entry: tarfile.TarInfo) -> None:
        if entry.isreg():
            self._write(folder, name, archive, entry)
        elif entry.isdir():
            os.close(self._enter(folder, [name], (entry.mode & 0o777) | stat.S_IRWXU))
        elif entry.issym() and stays_below(entry.linkname, depth + len(self._above)):
            draft = _draft()
            os.symlink(entry.linkname, draft, dir_fd=folder)
            _rename(folder, draft, name)
        elif entry.islnk() and self._link(folder, name, entry.linkname):
            pass
        else:
            self._left_out.append(entry.name)
            self._progress.skipped += 1
            return
        self._progress.completed += not entry.isdir()

    def _write(self, folder: int, name: str, archive: _Archive, entry: tarfile.TarInfo) -> None:
        self._make_room(entry.size)
        content = archive.extractfile(entry)
        assert content is not None
        draft = _draft()
        with os.fdopen(os.open(draft, _CREATE, 0o600, dir_fd=folder), "wb", buffering=0) as file:
            try:
                while data := memoryview(content.read(CHUNK)):
                    while data:
                        written = file.write(data)
                        self._progress.transferred_bytes += written
                        data = data[written:]
                    self._tick()
                os.fchmod(file.fileno(), entry.mode & 0o777)
                with suppress(OSError, OverflowError, ValueError):
                    os.utime(file.fileno(), (entry.mtime, entry.mtime))
            except BaseException:
                os.unlink(draft, dir_fd=folder)
                raise
        _rename(folder, draft, name)

    def _make_room(self, size: int) -> None:
        """Refuse what cannot fit before any of it is written."""
        disk = os.fstatvfs(self._root)
        if size > disk.f_bavail * disk.f_frsize:
            raise Fault(Code.DISK_FULL, "cannot unpack the archive: there is not enough room on the disk")
        if self._left_bytes is not None:
            self._left_bytes -= size
            if self._left_bytes < 0:
                raise Fault(Code.TOO_LARGE, "cannot unpack the archive: it is larger than allowed")

    def _link(self, folder: int, name: str, target: str) -> bool:
        """Give a file that is there already a second name; False when there is none."""
        *above, last = parts_of(target) or [""]
        try:
            there = os.dup(self._root)
            for part in above:
                inner = os.open(part, FOLDER, dir_fd=there)
                os.close(there)
                there = inner
        except OSError:
            os.close(there)
            return False
        try:
            pinned = os.open(last, _PIN, dir_fd=there)
        except OSError:
            return False
        finally:
            os.close(there)
        try:
            if not stat.S_ISREG(os.fstat(pinned).st_mode):
                return False
            draft = _draft()
            os.link(f"/proc/self/fd/{pinned}", draft, dst_dir_fd=folder, follow_symlinks=True)
            _rename(folder, draft, name)
        finally:
            os.close(pinned)
        return True

    def _enter(self, folder: int, parts: list[str], mode: int = 0o755) -> int:
        """A descriptor of the folder that ``parts`` lead to; folders that are missing are made, the last with ``mode``.

        ``folder`` stays open. Raises Fault when one of them is a link or no folder.
        """
        fd = os.dup(folder)
        try:
            for at, part in enumerate(parts):
                last = at == len(parts) - 1
                inner = _step(fd, part, mode if last else 0o755)
                os.close(fd)
                fd = inner
        except BaseException as error:
            os.close(fd)
            if isinstance(error, NotADirectoryError):
                cause = "that is a link or no folder, and links are not followed"
                raise Fault(Code.INVALID_SOURCE, f"cannot unpack into {shown('/'.join(parts))}: {cause}") from error
            raise
        return fd


def _step(folder: int, name: str, mode: int) -> int:
    with suppress(FileNotFoundError):
        return os.open(name, FOLDER, dir_fd=folder)
    with suppress(FileExistsError):
        os.mkdir(name, mode, dir_fd=folder)
    return os.open(name, FOLDER, dir_fd=folder)


def _draft() -> str:
    return f".notebookd-{secrets.token_hex(4)}.part"


def _rename(folder: int, draft: str, name: str) -> None:
    """Put what was made under a name of its own in the place of whatever has that name, but for a folder."""
    try:
        os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    finally:
        with suppress(FileNotFoundError):  # two names of one file are not renamed, and a refused draft is no file
            os.unlink(draft, dir_fd=folder)


class _Archive(tarfile.TarFile):
    """A stream that nothing is believed of."""

    ended = False
    """Whether the mark at its end was seen: a stream that was cut between two entries looks like a whole one."""


class _Header(tarfile.TarInfo):
    """A header of bounded size. What of :mod:`tarfile` reads without bounds is refused."""

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """The next header."""
        try:
            header = super().fromtarfile(tarfile)
        except EOFHeaderError:
            assert isinstance(tarfile, _Archive)
            tarfile.ended = True
            raise
        if len(tarfile.pax_headers) > MAX_COMMON_HEADERS:
            raise Fault(Code.INVALID_SOURCE, "cannot unpack the archive: it has too many headers")
        return header

    def _proc_member(self, archive: tarfile.TarFile) -> Self:
        if self.type in _EXTENDED and self.size > LONGEST_HEADER:
            raise Fault(Code.INVALID_SOURCE, "cannot unpack the archive: a header of it is too long")
        header: Self = super()._proc_member(archive)  # type: ignore[misc]
        return header

    def _refuse_sparse(self, *_: object) -> Self:
        raise Fault(Code.INVALID_SOURCE, "cannot unpack the archive: it has sparse files; make it without --sparse")

    _proc_sparse = _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse


_Archive.tarinfo = _Header
