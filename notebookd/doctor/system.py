# SPDX-License-Identifier: Apache-2.0
"""Checks of the system: the account, the kernel, folders, room on the disk, and whether the daemon answers."""

from __future__ import annotations

import grp
import http.client
import os
import pwd
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from notebookd.config import format_size
from notebookd.doctor.finding import Finding, fail, ok, warn, why
from notebookd.doctor.machine import NotSeen, Patient, dig, get_over_socket

SUBORDINATE_IDS = 65_536
INOTIFY_INSTANCES = 1024


def check_subordinate_ids(patient: Patient) -> Iterator[Finding]:
    """The account has ids of its own to run containers' users under."""
    account = patient.machine.account
    names = {account}
    try:
        names.add(str(pwd.getpwnam(account).pw_uid))
    except KeyError:
        yield fail("account", f"there is no account {account}", f"useradd --system --user-group {account}")
    for file, option in (("/etc/subuid", "--add-subuids"), ("/etc/subgid", "--add-subgids")):
        name = Path(file).name
        try:
            ranges = _id_ranges(patient.machine.read(file) or "")
        except NotSeen as error:
            yield warn(name, str(error), "sudo notebookd doctor")
            continue
        count = sum(size for owner, _start, size in ranges if owner in names)
        if count >= SUBORDINATE_IDS:
            yield ok(name, f"{account} has {count} subordinate ids")
        else:
            start = max([100_000, *(first + size for _owner, first, size in ranges)])
            cure = f"usermod {option} {start}-{start + SUBORDINATE_IDS - 1} {account}"
            yield fail(name, f"{account} has {count} subordinate ids, {SUBORDINATE_IDS} are needed", cure)


def check_id_mappers(patient: Patient) -> Iterator[Finding]:
    """newuidmap and newgidmap may do what the account may not."""
    for program in ("newuidmap", "newgidmap"):
        place = patient.machine.find_program(program)
        if place is None:
            yield fail(program, "is not installed", "apt-get install uidmap")
        elif _is_privileged(place):
            yield ok(program, place)
        else:
            yield fail(program, f"{place} is neither setuid nor has capabilities", f"chmod u+s {place}")


def check_kernel(patient: Patient) -> Iterator[Finding]:
    """Kernel settings that rootless containers need, or that one container could use up."""
    switches = (("/proc/sys/user/max_user_namespaces", "15000"), ("/proc/sys/kernel/unprivileged_userns_clone", "1"))
    off = [(file, good) for file, good in switches if (patient.machine.read(file) or good).strip() == "0"]
    for file, good in off:
        setting = file.removeprefix("/proc/sys/").replace("/", ".")
        yield fail("user namespaces", f"{setting} = 0 forbids them", f"sysctl -w {setting}={good}")
    if not off:
        yield ok("user namespaces", "allowed")
    instances = (patient.machine.read("/proc/sys/fs/inotify/max_user_instances") or "").strip()
    if instances.isdigit() and int(instances) < INOTIFY_INSTANCES:
        cure = f"sysctl -w fs.inotify.max_user_instances={INOTIFY_INSTANCES}"
        yield warn("inotify", f"{instances} instances for all notebooks together: one can take them all", cure)


def check_linger(patient: Patient) -> Iterator[Finding]:
    """The account's user units, the engine's among them, run without anybody logged in."""
    machine = patient.machine
    if not (machine.root / "run/systemd/system").is_dir():
        return
    if (machine.root / "var/lib/systemd/linger" / machine.account).exists():
        yield ok("linger", f"{machine.account} lingers")
    else:
        yield fail("linger", f"{machine.account} does not linger", f"loginctl enable-linger {machine.account}")


def check_folders(patient: Patient) -> Iterator[Finding]:
    """State and runtime folders are there, and no wider open than they have to be."""
    machine, paths = patient.machine, patient.config.paths
    service, gateway = machine.account, machine.gateway_account
    for path, mode, owner, group in (
        (paths.state, 0o700, service, machine.account_group),
        (paths.runtime, 0o755, service, machine.account_group),
        (paths.editors, 0o2750, service, gateway),
        (paths.routes, 0o2750, service, gateway),
        (paths.activity, 0o2770, gateway, gateway),
    ):
        cure = f"install -d -m {mode:04o} -o {owner} -g {group} {path}"
        try:
            status = path.stat(follow_symlinks=False)
        except FileNotFoundError:
            yield fail("folders", f"{path} is absent", cure)
            continue
        except OSError as error:
            yield warn("folders", f"{path}: {why(error)}", "sudo notebookd doctor")
            continue
        seen_mode = stat.S_IMODE(status.st_mode)
        holders = (_user_name(status.st_uid), _group_name(status.st_gid))
        seen = f"{path} is {seen_mode:04o} {holders[0]}:{holders[1]}"
        if not stat.S_ISDIR(status.st_mode):
            yield fail("folders", f"{path} is not a folder", f"rm {path} && {cure}")
        elif seen_mode & ~mode or holders[0] != owner:
            yield fail("folders", f"{seen}, should be {mode:04o} {owner}:{group}", cure)
        elif seen_mode != mode or holders[1] != group:
            yield warn("folders", f"{seen}, should be {mode:04o} {owner}:{group}", cure)
        else:
            yield ok("folders", seen)


def check_disk(patient: Patient) -> Iterator[Finding]:
    """There is room for what notebooks keep."""
    least = patient.config.store.min_free_bytes
    places = {"disk of state": patient.config.paths.state}
    info = patient.engine
    if not isinstance(info, NotSeen) and (root := dig(info, "store", "graphRoot")):
        places["disk of images"] = Path(str(root))
    for name, place in places.items():
        try:
            numbers = os.statvfs(place)
        except OSError as error:
            yield warn(name, f"{place}: {why(error)}", f"mkdir -p {place}, or sudo notebookd doctor")
            continue
        free = numbers.f_bavail * numbers.f_frsize
        seen = f"{_readable(free)} free at {place}"
        if free < least:
            cure = f"free some: podman image prune as {patient.machine.account}, or move the folder to a larger disk"
            yield fail(name, f"{seen}: nothing starts below {format_size(least)}", cure)
        else:
            yield ok(name, seen)


def check_api(patient: Patient) -> Iterator[Finding]:
    """The daemon answers. It need not run for the rest of this to be of use."""
    path = patient.config.api.socket
    cure = "systemctl start notebookd.service; journalctl -u notebookd.service says why it does not"
    try:
        mode = stat.S_IMODE(path.stat(follow_symlinks=False).st_mode)
        status, _body = get_over_socket(path, "/v1/health")
    except PermissionError:
        group = patient.config.api.group
        yield warn("api", f"{path}: permission denied", f"usermod --append --groups {group} $USER, and log in again")
    except (OSError, http.client.HTTPException) as error:
        yield warn("api", f"{path} does not answer: {why(error)}", cure)
    else:
        if mode & 0o007:
            yield fail("api", f"{path} is {mode:04o}: open to everybody", f"chmod 0660 {path}")
        elif status == 200:
            yield ok("api", f"{path} answers")
        else:
            yield warn("api", f"{path} answers that it is not healthy ({status})", "notebookctl doctor; GET /v1/health")


def _id_ranges(text: str) -> list[tuple[str, int, int]]:
    lines = re.findall(r"^([^:#\s]+):([0-9]+):([0-9]+)\s*$", text, flags=re.MULTILINE)
    return [(owner, int(start), int(count)) for owner, start, count in lines]


def _is_privileged(place: str) -> bool:
    if Path(place).stat().st_mode & stat.S_ISUID:
        return True
    try:
        return bool(os.getxattr(place, "security.capability"))
    except OSError:
        return False


def _readable(size_bytes: int) -> str:
    return f"{size_bytes / 1024**3:.1f}GiB"


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
