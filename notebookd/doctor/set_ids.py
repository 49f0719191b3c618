# SPDX-License-Identifier: Apache-2.0
"""Checks that nobody becomes the service's account by a program that lies about.

A file with the set-user-ID bit runs as its owner, whoever starts it. What a notebook writes into a folder of the
machine is the account's. A seccomp profile keeps containers from setting the bit; older files are looked for here.
"""

from __future__ import annotations

import json
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from notebookd.config import DirectoryDatastore
from notebookd.doctor.finding import Finding, fail, ok, warn, why
from notebookd.doctor.machine import NotSeen, Patient, dig

LOOK_FOR_S = 10.0
"""Large folders are not walked to their end."""
_BITS = stat.S_ISUID | stat.S_ISGID


def check_seccomp(patient: Patient) -> Iterator[Finding]:
    """The engine has the profile that the containers' own is made of."""
    info = patient.engine
    if isinstance(info, NotSeen):
        return
    cure = "apt-get install --reinstall golang-github-containers-common; then restart notebookd-engine and notebookd"
    path = dig(info, "host", "security", "seccompProfilePath")
    if not dig(info, "host", "security", "seccompEnabled") or not path:
        yield fail("seccomp", "the engine has no seccomp profile: no notebook starts", cure)
        return
    try:
        json.loads(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        yield fail("seccomp", f"{path}: {why(error)}: no notebook starts", cure)
    else:
        yield ok("seccomp", f"notebooks are held by {path}, and make no set-user-ID file")


def check_set_ids(patient: Patient) -> Iterator[Finding]:
    """No file makes whoever runs it the account, and folders that people see could not let one."""
    machine, paths = patient.machine, patient.config.paths
    stores = [each for each in patient.config.datastores if isinstance(each, DirectoryDatastore)]
    places = {each.path: machine.root / str(each.path).lstrip("/") for each in stores}
    for store in stores:
        if store.write and places[store.path].is_dir() and not machine.is_nosuid(places[store.path]):
            yield _wants_nosuid(store)
    places |= {folder: folder for folder in (paths.workspaces, paths.volumes, paths.cache)}
    uid = machine.account_uid
    if uid is None or not os.access(paths.state, os.R_OK | os.X_OK):
        return
    search = _Search(uid=uid, deadline=time.monotonic() + LOOK_FOR_S)
    bad = [finding for folder, place in places.items() for finding in _files(machine.account, folder, place, search)]
    yield from bad or [ok("set-id files", f"no file makes whoever runs it {machine.account}")]


def _wants_nosuid(store: DirectoryDatastore) -> Finding:
    said = f"{store.alias}: {store.path} is not mounted nosuid: a set-user-ID file in it would work"
    line = f"{store.path} {store.path} none bind,nosuid,nodev 0 0"
    return warn("set-id files", said, f"add to /etc/fstab: {line}; then mount {store.path}; then restart its notebooks")


@dataclass(slots=True, kw_only=True)
class _Search:
    """A walk that ends in time."""

    uid: int
    deadline: float
    over: bool = field(default=False, init=False)

    def files(self, folder: Path) -> Iterator[Path]:
        """The account's files with one of the bits; links are not followed."""
        for at, _, names in os.walk(folder):
            if time.monotonic() > self.deadline:
                self.over = True
                return
            for name in names:
                file = Path(at) / name
                try:
                    seen = file.lstat()
                except OSError:
                    continue
                if seen.st_uid == self.uid and stat.S_ISREG(seen.st_mode) and seen.st_mode & _BITS:
                    yield file


def _files(account: str, folder: Path, place: Path, search: _Search) -> Iterator[Finding]:
    cure = f"find {folder} -xdev -user {account} -type f -perm /6000 -exec chmod ug-s {{}} +"
    found = list(search.files(place))
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        said = f"{folder / found[0].relative_to(place)}{more}: whoever runs it is {account}, or of its group"
        yield fail("set-id files", said, cure)
    elif search.over:
        yield warn("set-id files", f"{folder} is too large to be looked through in {LOOK_FOR_S:g} s", cure)
