# SPDX-License-Identifier: Apache-2.0
"""Podman's own seccomp profile, narrowed: no container can make a program that runs as its owner or group.

A container runs as the service's account, and what it writes into a shared folder belongs to that account on the
host. A file with the set-user-ID or set-group-ID bit there would give whoever runs it the account or its group. So no
call that takes a mode may name these bits, as with systemd's ``RestrictSUIDSGID=``. ``mkdir`` is left out: the kernel
ignores the two bits there. Calls whose mode a filter cannot see, because it lies in memory, are answered as by a kernel
that does not have them.

Nor may anything be mounted, which takes a user namespace of a container's own: an overlay copies what is below it with
all its bits, and asks no filter. So a program from before would be carried into a shared folder. Docker and Kubernetes
refuse these calls to whoever has no CAP_SYS_ADMIN, too.

All else is as the engine's profile has it: nothing is allowed that it refuses.
"""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from notebookd import nofollow
from notebookd.errors import EngineError, EngineUnavailable

CREATES: Final = (os.O_CREAT, os.O_TMPFILE & ~os.O_DIRECTORY)
"""The flags of open with which its mode counts."""
SET_IDS: Final = (stat.S_ISUID, stat.S_ISGID)
UNSEEN: Final = ("openat2", "io_uring_setup", "io_uring_enter", "io_uring_register")
"""Their modes lie in memory. Programs fall back to the older calls."""
MOUNTS: Final = frozenset(
    ("mount", "umount", "umount2", "pivot_root", "fsopen", "fspick", "fsconfig", "fsmount", "move_mount", "open_tree",
     "open_tree_attr", "mount_setattr")
)  # fmt: skip
_MODE_AT: Final = {"chmod": 1, "fchmod": 1, "fchmodat": 2, "fchmodat2": 2, "creat": 1, "mknod": 1, "mknodat": 2}
_FLAGS_AT: Final = {"open": 1, "openat": 2}
"""Where their flags are; the mode is next."""
_FILE_MODE: Final = 0o644
HINT: Final = (
    "its own is /usr/share/containers/seccomp.json, of the package golang-github-containers-common, "
    "unless containers.conf names another: `sudo notebookd doctor` looks"
)


def narrowed(profile: Mapping[str, Any]) -> dict[str, Any]:
    """The profile without a way to set the bits. Raises ValueError for one that it cannot be sure of."""
    if profile["defaultAction"] != "SCMP_ACT_ERRNO":
        raise ValueError(f"its defaultAction is {profile['defaultAction']} and not SCMP_ACT_ERRNO")
    rules: list[dict[str, Any]] = []
    for rule in profile["syscalls"]:
        rules += _kept(rule) if rule["action"] == "SCMP_ACT_ERRNO" else _split(rule)
    held = {name for rule in rules for name in rule["names"] if name in _MODE_AT or name in _FLAGS_AT}
    refused = [_refusal(name, errno.EPERM, args) for name in sorted(held) for args in _harmful(name)]
    known = {name for rule in rules for name in rule["names"]}
    mounts = sorted({name for rule in profile["syscalls"] for name in rule["names"]} & MOUNTS)
    refused += [_refusal(name, errno.EPERM, []) for name in mounts]
    unseen = [_refusal(name, errno.ENOSYS, []) for name in UNSEEN if name not in known]
    return {**profile, "syscalls": [*refused, *unseen, *rules]}


def _kept(rule: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a rule refuses, less what is refused without a condition."""
    if rest := [name for name in rule["names"] if name not in MOUNTS]:
        yield {**rule, "names": rest}


def _split(rule: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a rule allows, less what could set the bits or carry them along."""
    names = [name for name in rule["names"] if name in _MODE_AT or name in _FLAGS_AT or name in UNSEEN]
    if names and rule.get("args"):
        raise ValueError(f"it allows {names[0]} with some arguments only")
    rest = [name for name in rule["names"] if name not in names and name not in MOUNTS]
    if rest:
        yield {**rule, "names": rest}
    for name in names:
        yield from ({**rule, "names": [name], "args": args} for args in _harmless(name))


def _harmless(name: str) -> Iterator[list[dict[str, Any]]]:
    """The arguments with which a call sets no such bit, each list by itself."""
    if name in _MODE_AT:
        yield [_masked(_MODE_AT[name], sum(SET_IDS), 0)]
    elif name in _FLAGS_AT:
        yield [_masked(_FLAGS_AT[name], sum(CREATES), 0)]
        yield [_masked(_FLAGS_AT[name] + 1, sum(SET_IDS), 0)]


def _harmful(name: str) -> Iterator[list[dict[str, Any]]]:
    for bit in SET_IDS:
        if name in _MODE_AT:
            yield [_masked(_MODE_AT[name], bit, bit)]
        else:
            flags = _FLAGS_AT[name]
            yield from ([_masked(flags, create, create), _masked(flags + 1, bit, bit)] for create in CREATES)


def _masked(index: int, mask: int, wanted: int) -> dict[str, Any]:
    return {"index": index, "value": mask, "valueTwo": wanted, "op": "SCMP_CMP_MASKED_EQ"}


def _refusal(name: str, error: int, args: Iterable[dict[str, Any]]) -> dict[str, Any]:
    named = {"errnoRet": error, "errno": errno.errorcode[error]}
    return {"names": [name], "action": "SCMP_ACT_ERRNO", "args": list(args), **named}


class Profile:
    """The narrowed profile as a file, which the engine reads whenever a container is made. Waits for the disk."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()

    def ready(self, security: Mapping[str, Any], action: str) -> Path:
        """The file, made of what the engine says that its own profile is. Raises EngineError without one: no container
        is made that is not held by it."""
        own = security.get("seccompProfilePath")
        if not security.get("seccompEnabled") or not own:
            raise EngineError(f"cannot {action}: the engine has no seccomp profile", hint=HINT)
        try:
            base = Path(own).read_bytes()
            text = json.dumps(narrowed(json.loads(base)), separators=(",", ":")).encode()
        except OSError as fault:
            said = f"cannot {action}: cannot read the seccomp profile {own}: {fault.strerror}"
            raise EngineError(said, hint=HINT) from fault
        except (ValueError, KeyError, TypeError) as fault:
            said = f"cannot {action}: cannot use the seccomp profile {own}: {fault}"
            raise EngineError(said, hint=HINT) from fault
        self._write(text, action)
        return self.file

    def _write(self, text: bytes, action: str) -> None:
        try:
            with self._lock, nofollow.open_directory(self.file.parent) as folder:
                if _found(folder, self.file.name, len(text) + 1) != text:
                    nofollow.replace_file(folder, self.file.name, text, mode=_FILE_MODE)
        except OSError as fault:
            raise EngineUnavailable(f"cannot {action}: cannot write {self.file}: {fault.strerror}") from fault


def _found(folder: int, name: str, limit: int) -> bytes | None:
    try:
        return nofollow.read_file(folder, name, limit=limit)
    except FileNotFoundError:
        return None
