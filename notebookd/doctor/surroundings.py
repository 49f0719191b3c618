# SPDX-License-Identifier: Apache-2.0
"""Checks of what stands around the service: units, groups, mandatory access control, devices, the clock."""

from __future__ import annotations

import shlex
import stat
from collections.abc import Iterator
from subprocess import SubprocessError

from notebookd.doctor.finding import Finding, fail, ok, warn, why
from notebookd.doctor.machine import NotSeen, Patient, dig

UNITS = (
    "notebookd.socket",
    "notebookd.service",
    "notebookd-containers.service",
    "notebookd-gateway.socket",
    "notebookd-gateway-peers.socket",
    "notebookd-gateway.service",
)
CLOCK_OFF_S = 16.0  # what systemd takes for unsynchronised (time-util.c, ntp_synced)


def check_units(patient: Patient) -> Iterator[Finding]:
    """Where the package is installed, its units are active and come back at boot."""
    machine = patient.machine
    if not machine.has_systemd:
        return
    uid = machine.account_uid
    names = [*UNITS, *([f"user@{uid}.service"] if uid is not None else [])]
    command = ["systemctl", "show", "--property=Id,LoadState,ActiveState,SubState,Result,UnitFileState", *names]
    try:
        said = machine.program_output(command)
    except (OSError, SubprocessError) as error:
        yield warn("units", f"systemctl does not answer: {why(error)}", "systemctl status; sudo notebookd doctor")
        return
    units = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in said.split("\n\n")]
    known = {unit["Id"]: unit for unit in units if unit.get("LoadState") == "loaded" and "Id" in unit}
    if "notebookd.service" not in known:
        yield ok("units", "none is installed: notebookd is not run by systemd here")
        return
    well = True
    for name in names:
        trouble = _unit_trouble(name, known.get(name))
        if trouble is not None:
            well = False
            yield trouble
    if well:
        yield ok("units", f"{', '.join(names)} are active")


def _unit_trouble(name: str, unit: dict[str, str] | None) -> Finding | None:
    if unit is None:
        return fail("units", f"{name} is not there or masked", f"systemctl unmask {name}; or install the package again")
    state, result = unit.get("ActiveState", "unknown"), unit.get("Result", "success")
    if state not in {"active", "reloading", "activating"}:
        more = "" if result == "success" else f" ({result})"
        cure = f"systemctl reset-failed {name}; systemctl start {name}; journalctl -u {name} -n 50 says why it is not"
        return fail("units", f"{name} is {state}{more}", cure)
    if unit.get("SubState") == "auto-restart":
        again = f"journalctl -u {name} -n 50 says why; systemctl restart {name} once that is cured"
        return fail("units", f"{name} ends as often as it is started ({result})", again)
    if unit.get("UnitFileState") == "disabled":
        return warn("units", f"{name} is active, but does not come back at boot", f"systemctl enable {name}")
    return None


def check_groups(patient: Patient) -> Iterator[Finding]:
    """The groups that say who may what are there, and the account can hand things to them."""
    machine, api = patient.machine, patient.config.api
    absent = [name for name in (api.group, api.admin_group) if machine.group_members(name) is None]
    for name in absent:
        yield fail("groups", f"there is no group {name}", f"groupadd --system {shlex.quote(name)}")
    needed = {api.group, machine.gateway_group} - {machine.account_group}
    lacking = [
        name
        for name in sorted(needed)
        if (members := machine.group_members(name)) is not None and machine.account not in members
    ]
    for name in lacking:
        cure = f"usermod --append --groups {shlex.quote(name)} {machine.account}; systemctl restart notebookd.service"
        yield fail("groups", f"{machine.account} is not in {name}, and cannot give it a socket or a folder", cure)
    if not absent and not lacking:
        yield ok("groups", f"{api.group} are members, {api.admin_group} are admins")


def check_confinement(patient: Patient) -> Iterator[Finding]:
    """What SELinux and AppArmor would forbid."""
    read, paths = patient.machine.read, patient.config.paths
    if (read("/sys/fs/selinux/enforce") or "").strip() == "1":
        kind = "-t container_file_t"
        cure = " && ".join(
            f"semanage fcontext -a {kind} '{folder}(/.*)?' && restorecon -R {folder}"
            for folder in (paths.workspaces, paths.editors)
        )
        seen = "SELinux enforces: containers reach workspaces only where they are labelled for containers"
        yield warn("selinux", seen, cure)
    if (read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") or "").strip() != "1":
        return
    profile = "/etc/apparmor.d/podman"
    if (patient.machine.root / profile.lstrip("/")).exists():
        yield ok("apparmor", f"unprivileged user namespaces need a profile, and {profile} is one")
    else:
        cure = (
            "apt-get install --reinstall apparmor (it has the profile podman), or: "
            "echo 'kernel.apparmor_restrict_unprivileged_userns = 0' > /etc/sysctl.d/61-userns.conf && sysctl --system"
        )
        yield fail("apparmor", "it forbids unprivileged user namespaces, and there is no profile for podman", cure)


def check_devices(patient: Patient) -> Iterator[Finding]:
    """The devices that rootless networks and, where it is in use, fuse-overlayfs are made of: those that the engine
    sees, which may have some of its own."""
    info, machine = patient.engine, patient.machine
    root = machine.root_of_server(patient.config.engine.socket) or machine.root
    wants_fuse = not isinstance(info, NotSeen) and "fuse" in str(dig(info, "store", "graphOptions"))
    for path, module, what in (
        ("/dev/net/tun", "tun", "notebooks have no network"),
        *((("/dev/fuse", "fuse", "the engine cannot mount its images"),) if wants_fuse else ()),
    ):
        try:
            seen = (root / path.lstrip("/")).stat()
        except FileNotFoundError:
            yield fail("devices", f"{path} is absent: {what}", f"modprobe {module}; echo {module} >> /etc/modules")
            continue
        mode = stat.S_IMODE(seen.st_mode)
        owned = seen.st_uid == machine.account_uid and mode & 0o600 == 0o600
        if owned or mode & 0o006 == 0o006:
            yield ok("devices", f"{path} may be used")
        else:
            yield fail("devices", f"{path} is {mode:04o}: {what}", f"chmod 0666 {path}")


def check_clock(patient: Patient) -> Iterator[Finding]:
    """The clock is right: deadlines, bills over a reboot and certificates go by it."""
    try:
        off_s = patient.machine.clock_error_s()
    except (OSError, AttributeError) as error:
        yield warn("clock", f"whether it is synchronised cannot be seen: {why(error)}", "timedatectl")
        return
    if off_s < CLOCK_OFF_S:
        yield ok("clock", "synchronised")
        return
    cure = "apt-get install systemd-timesyncd && timedatectl set-ntp true (or use chrony); then timedatectl"
    yield warn("clock", "it is not synchronised: deadlines and bills drift with it", cure)
