# SPDX-License-Identifier: Apache-2.0
"""Snapshots of a workspace, one restic repository a notebook: taken, restored, checked, and all of them given up."""

from __future__ import annotations

import os
import re
import shutil
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path

from notebookd.mover.child import run_child
from notebookd.mover.holes import dig, left_out, too_large, write_patterns
from notebookd.mover.job import Job
from notebookd.mover.measure import Room, is_cache, room_of
from notebookd.mover.names import MARKER
from notebookd.mover.report import Code, Fault, Reporter, Result, named, readable_size
from notebookd.mover.restic import Repository, RepositoryMissing, fault_of, number
from notebookd.mover.visit import FOLDER, sync_disk

HOST = "notebookd"
"""Of every snapshot: a mover's host name is another each time, and restic looks for the previous one by it."""

NOTICE = "NOTICE.notebookd."
PARTIAL, WHOLE = ".notebookd-restore.partial", ".notebookd-restore.whole"
"""A restoration grows under the first name and is moved into place from under the second."""

HOLES = "holes"
"""The tag of a snapshot with files that have holes, which are to be holes again when it is restored."""

CHECKED_DATA = "4G"
"""So much of a repository's data is read at a check, chosen by chance, where reading costs nothing but time."""


def take(job: Job, reporter: Reporter) -> Result:
    """Take a snapshot of the workspace, then let go of the oldest beyond ``keep``.

    A file that cannot be read or vanishes meanwhile is counted as skipped. Files that are mostly holes are left out and
    named; with ``exclude_caches`` what lies in folders that a ``CACHEDIR.TAG`` marks is left out, too. Facts:
    ``snapshot``, ``bytes`` (on the disk) and ``files`` of what is in it, ``used`` (bytes that the whole workspace
    takes on the disk), ``added`` (bytes that the snapshot costs), ``kept``.
    """
    repository = Repository.of(job)
    keep = job.limit("keep")
    _ensure(repository)
    backup = _Backup(reporter)
    workspace = job.places.workspace
    caches_apart = job.flag("exclude_caches") and not _is_marked(workspace)
    room = room_of(workspace, each=reporter.tick, caches_apart=caches_apart, find_holes=True)
    out = too_large(room.holes)
    words = ["backup", "--json", "--one-file-system", "--host", HOST, "--tag", job.text("notebook")]
    words += [f"--exclude={workspace}/{name}" for name in (PARTIAL, WHOLE)]
    words += ["--exclude-caches"] if caches_apart else []
    words += ["--tag", HOLES] if len(room.holes) > len(out) else []
    if out:
        patterns = job.places.job / "left-out"
        write_patterns(patterns, workspace, [each.path for each in out])
        words.append(f"--exclude-file={patterns}")
    _, complaints = repository.run(*words, "--", str(workspace), on_said=backup.said, accepted=(0, 3), what="add to")
    if backup.snapshot is None:
        raise Fault(Code.ERROR, f"cannot take a snapshot: restic did not name it: {' '.join(complaints)[-300:]}")
    said = [backup.complaint(), left_out(out)]
    try:
        kept = _forget(repository, keep)
    except Fault as fault:
        kept = []
        said.append(f"older snapshots were not let go: {fault.message}")
    whole = next((each for each in kept if each.startswith(backup.snapshot)), backup.snapshot)
    facts: dict[str, str | int] = {"snapshot": whole, **backup.facts, **_room_facts(room)}
    return Result(message="; ".join(filter(None, said)), facts=facts | ({"kept": " ".join(kept)} if kept else {}))


def _is_marked(folder: Path) -> bool:
    """Whether a folder bears the mark of a cache. A workspace that does is no cache: all of it would be left out."""
    fd = os.open(folder, FOLDER)
    try:
        return is_cache(fd)
    finally:
        os.close(fd)


def _room_facts(room: Room) -> dict[str, str | int]:
    return {"bytes": room.used_bytes - room.cache_bytes, "used": room.used_bytes}


def restore(job: Job, reporter: Reporter) -> Result:
    """Fill a workspace that no container has seen yet. What was made for the origin alone (its marker, its notices)
    stays behind; what is there already stays. Killed at any point, the next run goes on."""
    repository = Repository.of(job)
    snapshot = job.text("snapshot")
    if not re.fullmatch(r"[0-9a-f]{8,64}", snapshot):
        raise Fault(Code.SOURCE_NOT_FOUND, "cannot restore the snapshot: that is no id of one")
    workspace = job.places.workspace
    partial, whole = workspace / PARTIAL, workspace / WHOLE
    message = ""
    if not whole.exists():
        _remove(partial)
        root, has_holes = _weigh(repository, snapshot, workspace, reporter)
        message = _extract(repository, snapshot, partial, reporter)
        if has_holes:
            dig(partial / root)
        (partial / root).rename(whole)
    _move_in(whole, workspace, reporter)
    sync_disk(workspace)
    _remove(partial)
    progress = reporter.progress
    progress.processed = progress.completed = progress.total
    progress.transferred_bytes = progress.total_bytes
    return Result(message=message, facts={"bytes": progress.total_bytes, "files": progress.total})


def check(job: Job, reporter: Reporter) -> Result:
    """Check a repository's structure, and in a folder of this host its data, too. Facts: ``said``."""
    repository = Repository.of(job)
    reporter.tick()
    data = [] if repository.remote is not None else [f"--read-data-subset={CHECKED_DATA}"]
    ended, complaints = repository.run("--no-lock", "check", *data, what="check")
    said = [line for line in ended.output.decode("utf-8", "replace").splitlines() if line and not line.startswith("[")]
    return Result(facts={"said": "\n".join([*complaints, *said])[-2000:]})


def purge(job: Job, reporter: Reporter) -> Result:
    """Remove a deleted notebook's repository from a remote, if there is one. ``path`` must name a folder of its own."""
    remote, path = job.text("remote"), job.text("path")
    parts = path.strip("/").split("/")
    if not re.fullmatch(r"[A-Za-z0-9._-]+", remote) or not parts[-1] or {"", ".", ".."} & set(parts):
        raise Fault(Code.INVALID_SOURCE, "cannot remove the repository of snapshots: no folder of its own is named")
    reporter.tick()
    _purge_remote(Repository(location=f"rclone:{remote}:{path}", places=job.places))
    return Result()


def _ensure(repository: Repository) -> None:
    """Have a repository there, without locks of the dead. Restic takes half a second to open one: a folder is looked at
    without."""
    if repository.remote is None and (repository.folder / "config").exists() and not _has(repository, "locks"):
        _clear_drafts(repository.folder)
        return
    try:
        repository.run("unlock", "--remove-all", what="open")
        if repository.remote is None:
            _clear_drafts(repository.folder)
    except RepositoryMissing:
        _clear_unfinished(repository)
        repository.run("init", what="make")


def _clear_unfinished(repository: Repository) -> None:
    """Remove what a killed ``init`` left: a key without a configuration would pass for the key of the next one.

    Where there is data and no configuration, nothing is removed: that is a repository that lost something.
    """
    names = list(_remote_files(repository) if repository.remote is not None else _local_files(repository.folder))
    if any(name.startswith(("data/", "snapshots/", "index/")) for name in names):
        raise Fault(Code.DAMAGED, "cannot open the repository of snapshots: it is damaged: its configuration is gone")
    if repository.remote is not None:
        if names:
            _purge_remote(repository)
        return
    for name in names:
        (repository.folder / name).unlink(missing_ok=True)


def _clear_drafts(folder: Path) -> None:
    """Remove the files that a killed restic was about to write: it never looks for them again."""
    for name in _local_files(folder):
        if re.search(r"-tmp-\d+$", name):
            (folder / name).unlink(missing_ok=True)


def _has(repository: Repository, kind: str) -> list[str]:
    """The names of what a folder's repository has of a kind: of snapshots they are the ids."""
    try:
        return sorted(each.name for each in (repository.folder / kind).iterdir())
    except FileNotFoundError:
        return []


def _remote_files(repository: Repository) -> list[str]:
    """Names of the files below a remote's folder, two levels deep; none when it is not there."""
    names = _rclone(repository, "lsf", "--files-only", "--recursive", "--max-depth", "2").decode("utf-8", "replace")
    return names.splitlines()


def _purge_remote(repository: Repository) -> None:
    """Remove a remote's folder, if it is there."""
    _rclone(repository, "purge")


DIRECTORY_NOT_FOUND = 3
"""Of rclone's exit statuses: https://rclone.org/docs/#list-of-exit-codes."""


def _rclone(repository: Repository, *words: str) -> bytes:
    assert repository.remote is not None
    config = ["--config", str(repository.rclone_config), "--ask-password=false"]
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(repository.places.scratch), "LANG": "C.UTF-8"}
    ended = run_child(["rclone", *words, *config, "--", repository.remote], env=env)
    if ended.status == DIRECTORY_NOT_FOUND:
        return b""
    if ended.status != 0:
        complaints = ended.errors.decode("utf-8", "replace").splitlines()
        raise fault_of(complaints, status=ended.status, is_remote=True, what="reach")
    return ended.output


def _local_files(folder: Path) -> Iterator[str]:
    for at, _, names in os.walk(folder):
        yield from (str((Path(at) / name).relative_to(folder)) for name in names)


class _Backup:
    """What a backup said."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter = reporter
        self._unread: dict[str, None] = {}
        self.snapshot: str | None = None
        self.facts: dict[str, str | int] = {}

    def said(self, said: object) -> None:
        """Take one of its messages."""
        if not isinstance(said, dict):
            return
        progress = self._reporter.progress
        match said.get("message_type"):
            case "status":
                progress.total, progress.total_bytes = number(said, "total_files"), number(said, "total_bytes")
                progress.processed = progress.completed = number(said, "files_done")
                progress.transferred_bytes = number(said, "bytes_done")
            case "error":
                self._unread[str(said.get("item"))] = None  # of a folder it complains twice
                progress.skipped = len(self._unread)
            case "summary":
                files, size = number(said, "total_files_processed"), number(said, "total_bytes_processed")
                progress.total = files + progress.skipped
                progress.processed, progress.completed = progress.total, files
                progress.total_bytes = progress.transferred_bytes = size
                self.snapshot = str(said.get("snapshot_id"))
                self.facts = {"bytes": size, "files": files, "added": number(said, "data_added")}
        self._reporter.tick()

    def complaint(self) -> str:
        """What could not be read."""
        if not self._unread:
            return ""
        return f"{len(self._unread)} files could not be read and are not in it: {named(self._unread)}"


def _forget(repository: Repository, keep: int | None) -> list[str]:
    """Let go of all but the latest ``keep`` snapshots; the ids of those that are left, oldest first."""
    if repository.remote is None and len(there := _has(repository, "snapshots")) <= (keep or len(there)):
        return sorted(there, key=lambda name: (repository.folder / "snapshots" / name).stat().st_mtime_ns)
    if keep is None:
        return [str(each["id"]) for each in _objects(repository.ask("--no-lock", "snapshots"))]
    groups = _objects(repository.ask("forget", "--group-by", "", "--keep-last", str(keep), what="thin out"))
    kept = [each for group in groups for each in _objects(group.get("keep"))]
    if any(_objects(group.get("remove")) for group in groups):
        repository.run("prune", what="thin out")
    return [str(each["id"]) for each in sorted(kept, key=lambda each: str(each["time"]))]


def _objects(said: object) -> list[Mapping[str, object]]:
    return [each for each in said if isinstance(each, dict)] if isinstance(said, list) else []


def _weigh(repository: Repository, snapshot: str, workspace: Path, reporter: Reporter) -> tuple[str, bool]:
    """Say how much a restoration is, have enough room for it; returns where in the snapshot the workspace is, and
    whether there are holes in its files."""
    found = _objects(repository.ask("--no-lock", "snapshots", snapshot))
    paths = found[-1].get("paths") if found else None
    if not isinstance(paths, list) or len(paths) != 1:
        raise Fault(Code.SOURCE_NOT_FOUND, "cannot restore the snapshot: there is no such snapshot of a workspace")
    stats = repository.ask("--no-lock", "stats", "--mode", "restore-size", snapshot)
    progress = reporter.progress
    progress.total, progress.total_bytes = number(stats, "total_file_count"), number(stats, "total_size")
    reporter.tick()
    space = os.statvfs(workspace)
    if progress.total_bytes > (room := space.f_bavail * space.f_frsize):
        size = readable_size(progress.total_bytes)
        raise Fault(Code.DISK_FULL, f"cannot restore the snapshot: it takes {size}, more than the "
                    f"{readable_size(room)} that the disk has left")  # fmt: skip
    tags = found[-1].get("tags")
    return str(paths[0]).lstrip("/"), isinstance(tags, list) and HOLES in tags


_OF_NO_CONTENT = re.compile(r"(?i)xattr|lchown|chown|operation not (?:permitted|supported)")
"""What a file is without and still is the same file: an owner, an attribute that this disk does not know."""


def _extract(repository: Repository, snapshot: str, target: Path, reporter: Reporter) -> str:
    """Have restic lay the snapshot out; returns what there is to say of it. Raises Fault when files are missing."""
    words = ["--no-lock", "restore", snapshot, "--target", str(target)]
    ended, complaints = repository.run(*words, accepted=(0, 1), what="restore from")
    lost = [line for line in complaints if not _OF_NO_CONTENT.search(line)]
    if ended.status and [line for line in lost if not line.startswith("Fatal: There were")]:
        raise fault_of(lost, status=ended.status, is_remote=repository.remote is not None, what="restore from")
    reporter.progress.skipped = len(complaints) - len(lost)
    return f"{len(complaints) - len(lost)} owners or attributes were not restored" if complaints else ""


def _move_in(source: Path, workspace: Path, reporter: Reporter) -> None:
    """Move what was restored into place, less what was the origin's alone, and be rid of the rest."""
    for entry in sorted(source.iterdir()):
        if entry.name == MARKER or entry.name.startswith(NOTICE):
            continue
        if os.path.lexists(workspace / entry.name):
            reporter.progress.skipped += 1
            continue
        _rename(entry, workspace / entry.name)
    _remove(source)


def _remove(folder: Path) -> None:
    """Remove a tree that no container has seen; folders in it may be such as not even their owner may change."""
    if not folder.exists():
        return
    for at, _, _ in os.walk(folder):
        Path(at).chmod(stat.S_IRWXU)
    shutil.rmtree(folder)


def _rename(source: Path, target: Path) -> None:
    """Rename; a folder that may not be written to may not be moved either, as its ``..`` would change."""
    mode = source.lstat().st_mode
    if stat.S_ISDIR(mode) and not mode & stat.S_IWUSR:
        source.chmod(stat.S_IMODE(mode) | stat.S_IRWXU)
        source.rename(target)
        target.chmod(stat.S_IMODE(mode))
    else:
        source.rename(target)
