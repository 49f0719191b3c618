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

from notebookd.doctor.finding import Finding, fail, ok, warn, why
from notebookd.doctor.machine import Machine, NotSeen, Patient, dig, get_over_socket
from notebookd.units import format_size, readable_size

SUBORDINATE_IDS = 65_536
# Setting, the least, what the package sets, why. All containers run under one account, which the kernel counts by.
LIMITS = (
    ("fs.inotify.max_user_instances", 1024, 8192, "instances for all notebooks together: one can take them all"),
    ("fs.inotify.max_user_watches", 65_536, 1_048_576, "files to be watched by all notebooks together"),
    ("kernel.keys.maxkeys", 1000, 20_000, "keys for all containers together, each takes one"),
)


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
        yield from _subordinate(patient.machine, names, ranges, name, option)


def _subordinate(
    machine: Machine, names: set[str], ranges: list[tuple[str, int, int]], name: str, option: str
) -> Iterator[Finding]:
    account = machine.account
    mine = [(start, size) for owner, start, size in ranges if owner in names]
    count = sum(size for _start, size in mine)
    free = max([100_000, *(first + size for _owner, first, size in ranges)])
    grant = f"{option} {free}-{free + SUBORDINATE_IDS - 1} {account}"
    if count < SUBORDINATE_IDS:
        seen = f"{account} has {count} subordinate ids, {SUBORDINATE_IDS} are needed"
        yield fail(name, seen, f"usermod {grant}")
        return
    for owner, first, size in ranges:
        for start, length in mine:
            if owner not in names and first < start + length and start < first + size:
                take = option.replace("add", "del")
                cure = (
                    f"stop all notebooks, usermod {take} {start}-{start + length - 1} {grant}, "
                    f"then {machine.as_engine('podman system migrate')}"
                )
                seen = f"{account} shares {start}-{start + length - 1} with {owner}: each can touch the other's files"
                yield fail(name, seen, cure)
                return
    yield ok(name, f"{account} has {count} subordinate ids")


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
    low = []
    for setting, least, proposed, what in LIMITS:
        is_now = (patient.machine.read(f"/proc/sys/{setting.replace('.', '/')}") or "").strip()
        if is_now.isdigit() and int(is_now) < least:
            low.append(setting)
            cure = f"echo '{setting} = {proposed}' >> /etc/sysctl.d/61-notebookd-local.conf && sysctl --system"
            yield warn("limits", f"{setting} = {is_now}: {what}", cure)
    if not low:
        yield ok("limits", f"{', '.join(setting for setting, *_ in LIMITS)} suffice")


def check_linger(patient: Patient) -> Iterator[Finding]:
    """The account's user units, the engine's among them, run without anybody logged in."""
    machine = patient.machine
    if not machine.has_systemd:
        return
    if (machine.root / "var/lib/systemd/linger" / machine.account).exists():
        yield ok("linger", f"{machine.account} lingers")
    else:
        yield fail("linger", f"{machine.account} does not linger", f"loginctl enable-linger {machine.account}")


def check_folders(patient: Patient) -> Iterator[Finding]:
    """State and runtime folders are there, and no wider open than they have to be."""
    machine, paths = patient.machine, patient.config.paths
    service, gateway, shared = machine.account, machine.gateway_account, machine.gateway_group
    for path, mode, owner, group in (
        (paths.state, 0o700, service, machine.account_group),
        (paths.runtime, 0o755, service, machine.account_group),
        (paths.editors, 0o2750, service, shared),
        (paths.routes, 0o2750, service, shared),
        (paths.activity, 0o2770, gateway, shared),
        *([(paths.bearers.parent, 0o2750, service, shared)] if patient.config.gateway.api else []),
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
        holders = (user_name(status.st_uid), group_name(status.st_gid))
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
    least, inodes = patient.config.store.min_free_bytes, patient.config.store.min_free_inodes
    places = {"disk of state": patient.config.paths.state}
    info = patient.engine
    if isinstance(info, NotSeen):
        yield warn("disk of images", f"only the engine knows where it is: {info}", "sudo notebookd doctor")
    elif root := dig(info, "store", "graphRoot"):
        places["disk of images"] = Path(str(root))
    for name, place in places.items():
        try:
            numbers = os.statvfs(place)
        except OSError as error:
            yield warn(name, f"{place}: {why(error)}", f"mkdir -p {place}, or sudo notebookd doctor")
            continue
        free = numbers.f_bavail * numbers.f_frsize
        seen = f"{readable_size(free)} free at {place}"
        cure = f"free some, or move the folder to a larger disk: {patient.machine.as_engine('podman image prune')}"
        if free < least:
            yield fail(name, f"{seen}: nothing starts below {format_size(least)}", cure)
        elif numbers.f_files and not numbers.f_favail:
            yield fail(name, f"no file more can be made at {place}: its inodes are used up", cure)
        elif numbers.f_files and numbers.f_favail < inodes:
            yield fail(name, f"{numbers.f_favail} inodes free at {place}: nothing starts below {inodes}", cure)
        else:
            yield ok(name, seen)


def check_api(patient: Patient) -> Iterator[Finding]:
    """The daemon answers. It need not run for the rest of this to be of use."""
    path, group = patient.config.api.socket, patient.config.api.group
    cure = "systemctl start notebookd.service; journalctl -u notebookd.service says why it does not"
    try:
        status = path.stat(follow_symlinks=False)
        answered, _body = get_over_socket(path, "/v1/health")
    except PermissionError:
        yield warn("api", f"{path}: permission denied", f"usermod --append --groups {group} $USER, and log in again")
        return
    except (OSError, http.client.HTTPException) as error:
        yield warn("api", f"{path} does not answer: {why(error)}", cure)
        return
    mode, holders = stat.S_IMODE(status.st_mode), (user_name(status.st_uid), group_name(status.st_gid))
    seen = f"{path} is {mode:04o} {holders[0]}:{holders[1]}"
    if mode & 0o007:
        yield fail("api", f"{seen}: open to everybody", f"chmod 0660 {path}")
    elif mode != 0o660 or holders[1] != group or holders[0] not in {patient.machine.account, "root"}:
        should = f"{patient.machine.account}:{group}"
        yield warn("api", f"{seen}, should be 0660 {should}", f"chown {should} {path} && chmod 0660 {path}")
    elif answered == 200:
        yield ok("api", f"{path} answers")
    else:
        yield warn(
            "api", f"{path} answers that it is not healthy ({answered})", "notebookctl bugreport has its reasons"
        )


def check_engine_socket(patient: Patient) -> Iterator[Finding]:
    """Whoever may open the engine's socket has everybody's notebooks."""
    path = patient.config.engine.socket
    try:
        mode = stat.S_IMODE(path.stat(follow_symlinks=False).st_mode)
        doors = [each.stat().st_mode & 0o001 for each in path.parents]
    except (FileNotFoundError, PermissionError):
        return  # check_engine says so, and shut is how it should be
    if mode & 0o006 and all(doors):
        yield fail("engine socket", f"{path} is {mode:04o}: open to everybody", f"chmod 0600 {path}")
    else:
        yield ok("engine socket", f"{path} is {mode:04o}, not open to others")


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


def user_name(uid: int) -> str:
    """An account's name, or its number where it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """A group's name, or its number where it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def account_may_read(machine: Machine, file: Path) -> bool:
    """Whether the mode of a file lets the service's account read it. Raises OSError."""
    seen = file.stat()
    if seen.st_uid == machine.account_uid:
        return bool(seen.st_mode & 0o400)
    if group_name(seen.st_gid) == machine.account_group:
        return bool(seen.st_mode & 0o040)
    return bool(seen.st_mode & 0o004)
