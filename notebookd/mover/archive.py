# SPDX-License-Identifier: Apache-2.0
"""Files out of and into a workspace as a tar stream over ``stream.sock``; either end of it is hostile.

No component of a path is ever followed if it is a link. A file that comes in is whole or not there: it is written under
a name of its own and renamed. A volume whose files are read stands in the workspace's place.
"""

from __future__ import annotations

import json
import os
import socket
import stat
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, cast

from notebookd.mover.job import Job
from notebookd.mover.report import Code, Fault, Reporter, Result, named, shown
from notebookd.mover.tasks import fault_of
from notebookd.mover.unpack import Unpacker, parts_of
from notebookd.mover.visit import FOLDER, visit

PEER_WITHIN_S = 60.0
"""So long a mover waits for whoever asked for it."""

ANSWER_WITHIN_S = 5.0
DRAINED_BYTES = 64 * 1024 * 1024
"""Of what is still sent after a refusal, so much is read and dropped, that the sender hears the refusal."""

BUFFER = 256 * 1024
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read(job: Job, reporter: Reporter) -> Result:
    """Send what lies at ``path`` below the workspace, which the notebook knows as ``root``: a file or link by its own
    name, a folder with all below its name. Facts: ``files``.

    What cannot be read is left out and counted as failed; what is no file, folder or link, as skipped. Of a folder that
    is not sent whole a last entry, its own once more, says so as its comment. Raises Fault when ``path`` itself is none
    of the three, or cannot be read.
    """
    with _peer(job.places.job) as peer:
        try:
            root, parts = job.text("root", "/workspace"), parts_of(job.text("path"))
            folder = _parent(job.places.workspace, parts, root)
            _require_readable(folder, parts, root)
        except Fault as fault:
            peer.sendall(b"\1" + json.dumps({"code": fault.code, "message": fault.message}).encode())
            raise
        try:
            peer.sendall(b"\0")
            with peer.makefile("wb", buffering=BUFFER) as stream:
                packer = _Packer(cast(IO[bytes], stream), reporter, root)
                packer.pack(folder, parts[-1] if parts else "")
        except ConnectionError as error:
            raise Fault(Code.ERROR, "cannot send the archive: whoever asked for it is gone") from error
        finally:
            os.close(folder)
    return Result(message=packer.complaint(), facts={"files": reporter.progress.completed})


def write(job: Job, reporter: Reporter) -> Result:
    """Unpack what is received into the folder ``path``, which is made if need be. Facts: ``files``.

    Raises Fault at the first entry that would lead out of it; what came before stays.
    """
    with _peer(job.places.job) as peer:
        try:
            limit, closed = job.limit("max_bytes"), job.texts("closed")
            with (
                Unpacker(job.places.workspace, job.text("path"), reporter, limit, closed=closed) as unpacker,
                peer.makefile("rb", buffering=BUFFER) as stream,
            ):
                unpacker.unpack(cast(IO[bytes], stream))
        except (Fault, OSError) as error:
            fault = error if isinstance(error, Fault) else fault_of(error)
            _answer(peer, ok=False, files=reporter.progress.completed, code=fault.code, message=fault.message)
            raise fault from error
        message = unpacker.complaint()
        _answer(peer, ok=True, files=reporter.progress.completed, code=Code.DONE, message=message)
    return Result(message=message, facts={"files": reporter.progress.completed})


@contextmanager
def _peer(folder: Path) -> Iterator[socket.socket]:
    """The one connection to ``stream.sock``, which appears when it can be connected to."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        at = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            draft = folder / ".stream.sock.draft"
            draft.unlink(missing_ok=True)
            listener.bind(f"/proc/self/fd/{at}/{draft.name}")
            listener.listen(1)
            draft.rename(folder / "stream.sock")
        finally:
            os.close(at)
        listener.settimeout(PEER_WITHIN_S)
        try:
            peer, _ = listener.accept()
        except TimeoutError as error:
            raise Fault(Code.TIMEOUT, "nobody came for the archive") from error
        finally:
            (folder / "stream.sock").unlink(missing_ok=True)
    with peer:
        peer.settimeout(None)
        yield peer


def _answer(peer: socket.socket, **said: object) -> None:
    with suppress(OSError):
        peer.settimeout(ANSWER_WITHIN_S)
        peer.sendall(json.dumps(said).encode())
        peer.shutdown(socket.SHUT_WR)
        left = DRAINED_BYTES
        while left > 0 and (data := peer.recv(BUFFER)):
            left -= len(data)


def _parent(workspace: Path, parts: list[str], root: str) -> int:
    """A descriptor of the folder that holds the last of ``parts``, or of the workspace itself when there are none.

    Raises Fault when there is nothing of that name.
    """
    fd = os.open(workspace, FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, FOLDER, dir_fd=fd)
            os.close(fd)
            fd = inner
        if parts:
            os.stat(parts[-1], dir_fd=fd, follow_symlinks=False)
    except OSError as error:
        os.close(fd)
        path = shown("/".join(parts))
        cause = "there is nothing of that name"
        if isinstance(error, NotADirectoryError):
            cause = "a part of it is a link or no folder, and links are not followed"
        elif isinstance(error, PermissionError):
            cause = "a folder of it may not be looked into"
        raise Fault(Code.SOURCE_NOT_FOUND, f"cannot read {path} of {root}: {cause}") from error
    return fd


def _require_readable(folder: int, parts: list[str], root: str) -> None:
    """Raise Fault when the last of ``parts``, which is in ``folder``, cannot be sent; ``folder`` is closed then."""
    name = parts[-1] if parts else "."
    cause = ""
    try:
        kind = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
        if stat.S_ISREG(kind) or stat.S_ISDIR(kind):
            os.close(os.open(name, _READ, dir_fd=folder))
        elif not stat.S_ISLNK(kind):
            cause = "it is neither a file nor a folder nor a link"
    except OSError as error:
        cause = f"it cannot be opened ({error.strerror})"
    if cause:
        os.close(folder)
        raise Fault(Code.ACCESS_DENIED, f"cannot read {shown('/'.join(parts))} of {root}: {cause}")


class _Packer:
    """Writes a tar stream. Owners are nobody's business; a file of several names is sent once."""

    def __init__(self, stream: IO[bytes], reporter: Reporter, root: str) -> None:
        self._tar = tarfile.open(  # noqa: SIM115  closed by pack, when all was well alone
            fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT, encoding="utf-8", errors="surrogateescape"
        )
        self._reporter = reporter
        self._whole = root.rpartition("/")[2]
        self._several: dict[tuple[int, int], str] = {}
        self._left_out: list[str] = []

    def pack(self, folder: int, name: str) -> None:
        """Send ``name`` of the folder, or the folder itself when it is empty, by the last part of ``root``."""
        try:
            top = self._add_all(folder, name)
            if self._left_out and top is not None:
                top.pax_headers = {"comment": self.complaint()}
                self._tar.addfile(top)
            self._tar.close()
        finally:
            with suppress(OSError):  # nobody to send the rest to
                cast(IO[bytes], self._tar.fileobj).close()
        self._reporter.progress.failed = len(self._left_out)

    def complaint(self) -> str:
        """What is not in the stream, or not as it should be."""
        if not self._left_out:
            return ""
        return f"{len(self._left_out)} could not be read whole: {named(self._left_out)}"

    def _add_all(self, folder: int, name: str) -> tarfile.TarInfo | None:
        """Returns the entry of what was sent, if it is a folder."""
        status = os.stat(name or ".", dir_fd=folder, follow_symlinks=False)
        if not stat.S_ISDIR(status.st_mode):
            self._add(name, name, folder, status)
            return None
        own = _entry(name or self._whole, status, tarfile.DIRTYPE)
        self._tar.addfile(own)
        self._reporter.progress.processed += bool(name)
        top = os.open(name or ".", FOLDER, dir_fd=folder)
        try:
            for each in visit(top, f"{name or self._whole}/", unseen=self._left_out.append):
                self._add(each.path, each.name, each.folder, each.status)
        finally:
            os.close(top)
        return own

    def _add(self, path: str, name: str, folder: int, status: os.stat_result) -> None:
        progress = self._reporter.progress
        progress.processed += 1
        self._reporter.tick()
        try:
            if stat.S_ISREG(status.st_mode):
                self._add_file(path, name, folder)
            elif stat.S_ISDIR(status.st_mode):
                self._tar.addfile(_entry(path, status, tarfile.DIRTYPE))
            elif stat.S_ISLNK(status.st_mode):
                entry = _entry(path, status, tarfile.SYMTYPE)
                entry.linkname = os.readlink(name, dir_fd=folder)
                self._tar.addfile(entry)
            else:
                progress.skipped += 1
        except ConnectionError:
            raise
        except OSError:
            self._left_out.append(path)

    def _add_file(self, path: str, name: str, folder: int) -> None:
        with os.fdopen(os.open(name, _READ, dir_fd=folder), "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                self._left_out.append(path)
                return
            entry = _entry(path, status, tarfile.REGTYPE)
            known = self._several.get((status.st_dev, status.st_ino)) if status.st_nlink > 1 else None
            if known is not None:
                entry.type, entry.linkname, entry.size = tarfile.LNKTYPE, known, 0
                self._tar.addfile(entry)
            else:
                content = _Exactly(file, status.st_size)
                self._tar.addfile(entry, cast(IO[bytes], content))
                if content.missing:
                    self._left_out.append(path)
                self._several[status.st_dev, status.st_ino] = path
        self._reporter.progress.completed += 1
        self._reporter.progress.transferred_bytes += entry.size


def _entry(path: str, status: os.stat_result, kind: bytes) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.type = kind
    entry.mode = stat.S_IMODE(status.st_mode) & 0o777
    entry.mtime = status.st_mtime_ns // 10**9
    entry.size = status.st_size if kind == tarfile.REGTYPE else 0
    return entry


class _Exactly:
    """As many bytes of a file as its header says, whatever becomes of it meanwhile: cut, or filled up with zeros."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size
        self.missing = False

    def read(self, size: int) -> bytes:
        """The next bytes; as many as asked for as long as there shall be any."""
        size = min(size, self._left)
        parts = bytearray()
        while len(parts) < size and not self.missing:
            try:
                part = self._file.read(size - len(parts))
            except OSError:
                part = b""
            self.missing = not part
            parts += part
        self._left -= size
        return bytes(parts) + bytes(size - len(parts))
