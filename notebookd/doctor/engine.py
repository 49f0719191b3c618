# SPDX-License-Identifier: Apache-2.0
"""Checks of the container engine: that it answers, is recent, and has what notebooks are made of."""

from __future__ import annotations

import pwd
import re
from collections.abc import Iterator
from subprocess import SubprocessError

from notebookd.doctor.finding import Finding, fail, ok, warn, why
from notebookd.doctor.machine import NotSeen, Patient, dig

OLDEST_PODMAN = (4, 3)
CONTROLLERS = ("cpu", "memory", "pids")


def check_engine(patient: Patient) -> Iterator[Finding]:
    """The engine answers, is recent, rootless, and stores images the quick way."""
    info = patient.engine
    path = patient.config.engine.socket
    if isinstance(info, NotSeen):
        if "permission denied" in str(info):
            yield warn("engine", f"{path}: {info}", "sudo notebookd doctor")
        else:
            cure = f"systemctl --user -M {patient.machine.account}@ start notebookd-engine.service"
            yield fail("engine", f"{path} does not answer: {info}", cure)
        return
    version = str(dig(info, "version", "Version") or "of unknown version")
    seen = f"podman {version} answers on {path}"
    numbers = tuple(int(part) for part in re.findall(r"[0-9]+", version)[:2])
    if numbers and numbers < OLDEST_PODMAN:
        yield fail("engine", seen, "install podman 4.3 or later (Debian 12, Ubuntu 24.04 have it)")
    elif dig(info, "host", "security", "rootless") is False:
        yield fail("engine", f"{seen} as root", f"run the engine as the account {patient.machine.account}")
    else:
        yield ok("engine", seen)
    driver = str(dig(info, "store", "graphDriverName") or "unknown")
    if driver == "vfs":
        cure = 'write driver = "overlay" under [storage] in the account\'s containers/storage.conf'
        yield warn("engine storage", "driver vfs copies every image whole: slow and huge", cure)
    else:
        yield ok("engine storage", f"driver {driver}")


def check_runtime_program(patient: Patient) -> Iterator[Finding]:
    """The program under podman that makes containers, asked of the engine or, failing that, of the program."""
    info = patient.engine
    if not isinstance(info, NotSeen):
        named = str(dig(info, "host", "ociRuntime", "name") or "unknown")
        version = str(dig(info, "host", "ociRuntime", "version") or named).splitlines()[0]
        if "crun" in named:
            yield ok("runtime", version)
        else:
            yield warn("runtime", f"the engine uses {named}", "apt-get install crun")
        return
    for program in ("podman", "crun"):
        if patient.machine.find_program(program) is None:
            yield fail(program, f"{program} is not installed", f"apt-get install {program}")
            continue
        try:
            version = patient.machine.program_output([program, "--version"]).splitlines()[0]
        except (OSError, SubprocessError, IndexError) as error:
            yield warn(program, f"{program} --version failed: {why(error)}", f"apt-get install --reinstall {program}")
        else:
            yield ok(program, version)


def check_cgroups(patient: Patient) -> Iterator[Finding]:
    """The engine can limit what a container takes."""
    info = patient.engine
    if isinstance(info, NotSeen):
        return
    if dig(info, "host", "cgroupVersion") != "v2":
        cure = "boot with systemd.unified_cgroup_hierarchy=1 on the kernel's command line"
        yield fail("cgroups", "the engine sees cgroup v1", cure)
        return
    has = dig(info, "host", "cgroupControllers") or []
    missing = [controller for controller in CONTROLLERS if controller not in has]
    if not missing:
        yield ok("cgroups", f"v2 with {', '.join(CONTROLLERS)}")
        return
    try:
        unit = f"user@{pwd.getpwnam(patient.machine.account).pw_uid}.service"
    except KeyError:
        unit = "user@.service"
    cure = f"systemctl edit {unit}: [Service] Delegate=cpu cpuset io memory pids; then systemctl restart {unit}"
    yield warn("cgroups", f"no controller {', '.join(missing)}: notebooks run without those limits", cure)


def check_images(patient: Patient) -> Iterator[Finding]:
    """The engine has the images of the catalogue."""
    if isinstance(patient.engine, NotSeen):
        return
    present: list[str] = []
    absent: list[str] = []
    for image in patient.catalogue.image_names():
        try:
            (present if patient.engine_has_image(image) else absent).append(image)
        except NotSeen as error:
            yield warn("images", f"{image}: {error}", "run it again")
    for image in present:
        yield ok("images", f"{image} is there")
    for image in absent:
        named = "contrib/quickstart builds it" if image.startswith("localhost/") else f"podman pull {image}"
        cure = f"{named} (as {patient.machine.account})"
        report = warn if present else fail
        yield report("images", f"{image} is absent: no notebook can start from it", cure)
