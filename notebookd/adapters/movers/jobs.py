# SPDX-License-Identifier: Apache-2.0
"""What each kind of work comes to: the job that the program inside is told, and what its container sees."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import assert_never

from notebookd import nofollow
from notebookd.adapters.datastores import find_folder, find_store, volume_faults
from notebookd.adapters.movers.remotes import cut_remote
from notebookd.adapters.volumes import DATA, ask_for
from notebookd.config import Config, RcloneDatastore
from notebookd.domain.attached import Attached
from notebookd.domain.ids import NotebookId
from notebookd.domain.volumes import WORKSPACE, GitSource, Source, StoreSource
from notebookd.errors import VolumeFault
from notebookd.ports.engine import Mount, Network
from notebookd.ports.movers import Pull, Push, RestoreSnapshot, TakeSnapshot, Work

PASSWORD_FILE = "restic-password"  # noqa: S105 - its name
_FOLDER_MODE = 0o700
_PASSWORD_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job: ``told`` is what ``job.json`` says, ``secrets`` are files by name."""

    told: Mapping[str, object]
    notebook_id: str = ""
    mounts: tuple[Mount, ...] = ()
    network: Network = Network.NONE
    secrets: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Repository:
    """Where a notebook's snapshots are, and what it takes to get there."""

    place: str
    mounts: tuple[Mount, ...]
    network: Network
    secrets: Mapping[str, bytes]


class Jobs:
    """Makes jobs under ``config``, and the folders that they need. Waits for the disk; raises VolumeFault."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._paths = config.paths

    def of(self, work: Work, *, now: datetime) -> Job:
        """The job that does some work."""
        match work:
            case Pull():
                return self._pull(work, now)
            case Push():
                return self._push(work)
            case TakeSnapshot(notebook_id=notebook):
                repository = self._repository(notebook, made=True)
                workspace = self._workspace(notebook, read_only=True)
                rules = {"keep": self._config.snapshots.keep, "exclude_caches": self._config.snapshots.exclude_caches}
                return _on_repository("snapshot", repository, notebook, workspace, notebook=notebook, **rules)
            case RestoreSnapshot(notebook_id=notebook):
                repository = self._repository(work.origin)
                workspace = self._workspace(notebook, made=True)
                return _on_repository("restore", repository, notebook, workspace, snapshot=work.snapshot)
            case _:
                assert_never(work)

    def measure(self, notebook_id: NotebookId) -> Job:
        """Measures a workspace."""
        workspace = self._workspace(notebook_id, read_only=True)
        return Job(told={"task": "measure"}, notebook_id=notebook_id, mounts=(workspace,))

    def read_archive(self, notebook_id: NotebookId, path: str, volume: Attached | None) -> Job:
        """Reads a part of a workspace that is there, or of a volume's own copy in its stead."""
        seen = self._workspace(notebook_id, read_only=True) if volume is None else self._copy(notebook_id, volume)
        told = {"task": "archive-read", "path": path, "root": WORKSPACE if volume is None else volume.volume.mount_path}
        return Job(told=told, notebook_id=notebook_id, mounts=(seen,))

    def write_archive(self, notebook_id: NotebookId, path: str, closed: Sequence[str]) -> Job:
        """Writes a part of a workspace that is there."""
        told = {"task": "archive-write", "path": path, "closed": list(closed)}
        return Job(told=told, notebook_id=notebook_id, mounts=(self._workspace(notebook_id),))

    def listing(self, store: RcloneDatastore, container: str, prefix: str) -> Job:
        """Lists what lies in a datastore."""
        told = {"task": "list", "remote": store.remote, "path": _joined(container, prefix)}
        return Job(told=told, network=Network.HOST, secrets=cut_remote(store.config, store.remote))

    def check(self, notebook_id: NotebookId) -> Job:
        """Checks a notebook's snapshots."""
        return _on_repository("check", self._repository(notebook_id), notebook_id)

    def purge(self, notebook_id: NotebookId) -> Job:
        """Removes a notebook's snapshots from where rclone brings them."""
        remote, path = self._remote_repository(notebook_id)
        told = {"task": "purge", "remote": remote, "path": path}
        snapshots = cut_remote(self._config.snapshots.config, remote)
        return Job(told=told, notebook_id=notebook_id, network=Network.HOST, secrets=snapshots)

    def _pull(self, work: Pull, now: datetime) -> Job:
        volume, transfers = work.volume, self._config.transfers
        with volume_faults(f"cannot pull {volume.source}"):
            told: dict[str, object] = {"notebook": work.notebook_id, "cache": volume.cache, "reset": work.reset}
            told |= {"writable": volume.permission.writable}
            if isinstance(volume.source, GitSource):
                told |= {"task": "git-pull", "url": volume.source.git_url, "schemes": list(transfers.git_schemes)}
                told |= {"max_bytes": transfers.git_max_bytes, "timeout_s": int(transfers.git_timeout_s)}
                network, known = Network.PRIVATE, dict[str, bytes]()
            else:
                store, path = self._store(volume.source)
                told |= {"task": "pull", "remote": store.remote, "path": path}
                told |= {"bandwidth": transfers.bandwidth_bytes_s, "max_bytes": None, "max_files": transfers.max_files}
                network, known = Network.HOST, cut_remote(store.config, store.remote)
            if volume.cache:
                folder = ask_for(self._paths, volume.source, now=now)
            else:
                folder = _made(self._paths.copy(work.notebook_id, work.volume_id))
        mounts = (Mount(source=str(folder), target="/volume"),)
        return Job(told=told, notebook_id=work.notebook_id, mounts=mounts, network=network, secrets=known)

    def _push(self, work: Push) -> Job:
        volume = work.volume
        with volume_faults(f"cannot push {volume.source}"):
            store, path = self._store(volume.source)
            folder = self._paths.copy(work.notebook_id, work.volume_id)
            nofollow.identity_of(folder)
            known = cut_remote(store.config, store.remote)
        told = {
            "task": "push",
            "remote": store.remote,
            "path": path,
            "permission": str(volume.permission),
            "exclude": list(self._config.transfers.push_exclude),
            "bandwidth": self._config.transfers.bandwidth_bytes_s,
            "max_files": self._config.transfers.max_files,
            "notebook": work.notebook_id,
        }
        mounts = (Mount(source=str(folder), target="/volume"),)
        return Job(told=told, notebook_id=work.notebook_id, mounts=mounts, network=Network.HOST, secrets=known)

    def _store(self, source: Source) -> tuple[RcloneDatastore, str]:
        """The datastore of a source, and where in it that is."""
        if not isinstance(source, StoreSource):
            raise VolumeFault("nothing is carried there", info_code="DATASYNC_INVALID_SOURCE")
        store = find_store(self._config, source.alias)
        if not isinstance(store, RcloneDatastore):
            cause = f"the datastore {source.alias} is a folder of this machine: it is mounted as it is, without a copy"
            raise VolumeFault(cause, info_code="DATASYNC_INVALID_SOURCE")
        return store, _joined(source.container, source.prefix)

    def _workspace(self, notebook_id: NotebookId, *, read_only: bool = False, made: bool = False) -> Mount:
        folder = self._paths.workspaces / notebook_id
        with volume_faults(f"cannot find the workspace of notebook {notebook_id}"):
            if made:
                _made(folder)
            nofollow.identity_of(folder)
        return Mount(source=str(folder), target="/workspace", read_only=read_only)

    def _copy(self, notebook_id: NotebookId, volume: Attached) -> Mount:
        """What a container sees of a volume, and nothing of what movers keep beside it."""
        with volume_faults(f"cannot find the local copy of {volume.volume.source}"):
            found = find_folder(self._paths.copy(notebook_id, volume.id), (DATA,), writable=False)
        return Mount(source=str(found.path), target=WORKSPACE, read_only=True)

    def _repository(self, notebook_id: NotebookId, *, made: bool = False) -> _Repository:
        snapshots = self._config.snapshots
        password = self._password()
        if snapshots.folder is None:
            remote, path = self._remote_repository(notebook_id)
            known = cut_remote(snapshots.config, remote) | {PASSWORD_FILE: password}
            return _Repository(place=f"rclone:{remote}:{path}", mounts=(), network=Network.HOST, secrets=known)
        folder = snapshots.folder / notebook_id
        with volume_faults(f"cannot use the repository {folder}"):
            if snapshots.folder == self._paths.snapshots:
                _made(snapshots.folder)
            if made:
                folder.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            nofollow.identity_of(folder)
        mounts = (Mount(source=str(folder), target="/repository"),)
        return _Repository(place="/repository", mounts=mounts, network=Network.NONE, secrets={PASSWORD_FILE: password})

    def _remote_repository(self, notebook_id: NotebookId) -> tuple[str, str]:
        remote, _, path = self._config.snapshots.repository.partition(":")
        return remote, _joined(path.rstrip("/"), notebook_id)

    def _password(self) -> bytes:
        """The password of all repositories; made once, and never anywhere but in its file."""
        with volume_faults("cannot keep the password of snapshots"):
            folder = _made(self._paths.secrets)
            with nofollow.open_directory(folder) as fd:
                try:
                    return nofollow.read_file(fd, PASSWORD_FILE)
                except FileNotFoundError:
                    _keep_for_ever(fd, PASSWORD_FILE, secrets.token_hex(_PASSWORD_BYTES).encode())
                    return nofollow.read_file(fd, PASSWORD_FILE)


def _keep_for_ever(dir_fd: int, name: str, content: bytes) -> None:
    """Make a file that is there after a power failure, too; one that is there already stays."""
    draft = f".{secrets.token_hex(8)}"
    nofollow.create_file(dir_fd, draft, content, mode=0o600)
    try:
        written = os.open(draft, os.O_RDONLY | os.O_CLOEXEC, dir_fd=dir_fd)
        try:
            os.fsync(written)
        finally:
            os.close(written)
        with suppress(FileExistsError):
            os.link(draft, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        os.fsync(dir_fd)
    finally:
        nofollow.remove_file(dir_fd, draft)


def _on_repository(task: str, repository: _Repository, notebook_id: str, *mounts: Mount, **more: object) -> Job:
    return Job(
        told={"task": task, "repository": repository.place, **more},
        notebook_id=notebook_id,
        mounts=(*repository.mounts, *mounts),
        network=repository.network,
        secrets=repository.secrets,
    )


def _made(folder: Path) -> Path:
    folder.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
    return folder


def _joined(*parts: str) -> str:
    return "/".join(filter(None, parts))
