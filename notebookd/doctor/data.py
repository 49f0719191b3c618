# SPDX-License-Identifier: Apache-2.0
"""Checks of what data is carried by, and of the places that it comes from and goes to."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from notebookd.config import Config, DirectoryDatastore, RcloneDatastore
from notebookd.doctor.finding import Finding, fail, ok, warn, why
from notebookd.doctor.machine import Patient
from notebookd.doctor.system import group_name, user_name

MOVERS = {"rclone": "datastores beyond this machine", "git": "Git volumes", "restic": "snapshots"}
"""Each program that movers run, and what there is not without."""

_DEFAULT_ACL = "system.posix_acl_default"
_SANDBOX = {"/home": "ProtectHome=tmpfs", "/root": "ProtectHome=tmpfs", "/run/user": "ProtectHome=tmpfs"}
_PRIVATE = ("/tmp", "/var/tmp")  # noqa: S108 - where the service has folders of its own


def check_movers(patient: Patient) -> Iterator[Finding]:
    """Movers see the host's /usr: what they run has to be there."""
    absent = [name for name in MOVERS if not (patient.machine.find_program(name) or "").endswith(f"/usr/bin/{name}")]
    for name in absent:
        yield warn("movers", f"there is no /usr/bin/{name}: no {MOVERS[name]}", f"apt-get install {name}")
    if not absent:
        yield ok("movers", f"{', '.join(MOVERS)} are there")


def check_datastores(patient: Patient) -> Iterator[Finding]:
    """What the configuration names as datastores is there, and for the account to use."""
    config = patient.config
    for file in sorted(_rclone_files(config)):
        yield _rclone_file(patient, file)
    for store in config.datastores:
        if isinstance(store, DirectoryDatastore):
            yield _folder(patient, store)


def _rclone_files(config: Config) -> set[Path]:
    files = {each.config for each in config.datastores if isinstance(each, RcloneDatastore)}
    return files if config.snapshots.folder is not None else files | {config.snapshots.config}


def _rclone_file(patient: Patient, file: Path) -> Finding:
    """The credentials of remotes: for root and the service, and nobody else."""
    machine = patient.machine
    cure = f"chown root:{machine.account_group} {file} && chmod 0640 {file}"
    try:
        seen = file.stat()
    except FileNotFoundError:
        return fail("datastores", f"{file} is absent", f"rclone config --config {file} && {cure}")
    except OSError as error:
        return warn("datastores", f"{file}: {why(error)}", "sudo notebookd doctor")
    owner, group, mode = user_name(seen.st_uid), group_name(seen.st_gid), stat.S_IMODE(seen.st_mode)
    said = f"{file} is {mode:04o} {owner}:{group}"
    if mode & 0o007 or (mode & 0o070 and group not in {"root", machine.account_group}):
        return fail("datastores", f"{said}: people may read the credentials in it", cure)
    if not ((owner == machine.account and mode & 0o400) or (group == machine.account_group and mode & 0o040)):
        return fail("datastores", f"{said}: {machine.account} may not read it", cure)
    return ok("datastores", said)


def _folder(patient: Patient, store: DirectoryDatastore) -> Finding:
    machine, path = patient.machine, store.path
    if not (machine.root / str(path).lstrip("/")).is_dir():
        return fail("datastores", f"{store.alias}: there is no folder {path}", f"mkdir -p {path}")
    hidden = _hidden(path)
    if hidden is not None and machine.has_package:
        lines = f"[Service] {hidden}BindReadOnlyPaths={path}"
        cure = f"systemctl edit notebookd: {lines}; systemctl restart notebookd"
        return warn("datastores", f"{store.alias}: {path} is hidden from the service by its sandbox", cure)
    if store.write and not _has_default_acl(machine.root / str(path).lstrip("/")):
        cure = f"setfacl -R -m u:{machine.account}:rwX,d:u:{machine.account}:rwX,g:GROUP:rwX,d:g:GROUP:rwX {path}"
        said = f"{store.alias}: {path} has no default ACL: what notebooks make there is theirs alone to change"
        return warn("datastores", said, cure)
    return ok("datastores", f"{store.alias} is {path}")


def _hidden(path: Path) -> str | None:
    """What the unit needs beside the path, where its sandbox hides it."""
    for folder, setting in _SANDBOX.items():
        if path.is_relative_to(folder):
            return f"{setting} "
    return "" if any(path.is_relative_to(folder) for folder in _PRIVATE) else None


def _has_default_acl(path: Path) -> bool:
    try:
        return bool(os.getxattr(path, _DEFAULT_ACL))
    except OSError as error:
        return error.errno in {errno.ENOTSUP, errno.EACCES, errno.EPERM}
