# SPDX-License-Identifier: Apache-2.0
"""Checks of the container engine: that it answers, is recent, and has what notebooks are made of."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

from notebookd.doctor.finding import Finding, fail, ok, warn, why
from notebookd.doctor.machine import NotSeen, Patient, dig

OLDEST_PODMAN = (4, 3)
CONTROLLERS = ("cpu", "cpuset", "io", "memory", "pids")
FIRST_PERSONS_UID = 1000
_OURS = re.compile(r"localhost/notebookd/([a-z]+):1")
"""What the recipe of that name makes."""


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
            yield warn(program, f"{program} --version failed: {why(error)}", f"sudo {program} --version")
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
    uid = patient.machine.account_uid
    if not patient.machine.has_systemd:
        cure = "boot with systemd and cgroup v2 alone: systemd.unified_cgroup_hierarchy=1 on the kernel's command line"
    else:
        unit = f"user@{uid}.service" if uid is not None else "user@.service"
        file = f"/etc/systemd/system/{unit}.d/notebookd.conf"
        cure = (
            f"mkdir -p {file.rpartition('/')[0]} && printf '[Service]\\nDelegate={' '.join(CONTROLLERS)}\\n' > {file} "
            f"&& systemctl daemon-reload && systemctl restart {unit} (which ends what runs: stop all notebooks first)"
        )
    yield warn("cgroups", f"no controller {', '.join(missing)}: notebooks run without those limits", cure)


def check_engine_settings(patient: Patient) -> Iterator[Finding]:
    """What was seen to go wrong with some settings and accounts."""
    info = patient.engine
    if isinstance(info, NotSeen):
        return
    uid = patient.machine.account_uid
    journal = [
        (key, cure)
        for key, where, cure in (
            ("log_driver", "logDriver", 'log_driver = "k8s-file" under [containers]'),
            ("events_logger", "eventLogger", 'events_logger = "file" under [engine]'),
        )
        if dig(info, "host", where) == "journald"
    ]
    for key, setting in journal if uid is not None and uid < FIRST_PERSONS_UID else ():
        seen = f"{key} is journald, which gives an account with a uid below {FIRST_PERSONS_UID} nothing back"
        cure = f"write {setting} in the account's .config/containers/containers.conf, then restart notebookd-engine"
        yield fail("engine settings", seen, cure)
    network = [name for name in ("pasta", "slirp4netns") if dig(info, "host", name, "executable")]
    if not network and any(name in info.get("host", {}) for name in ("pasta", "slirp4netns")):
        yield fail(
            "engine settings", "no pasta and no slirp4netns: containers have no network", "apt-get install passt"
        )
    elif not journal or uid is None or uid >= FIRST_PERSONS_UID:
        drivers = ", ".join(str(dig(info, "host", each) or "unknown") for each in ("logDriver", "eventLogger"))
        yield ok("engine settings", f"logs and events: {drivers}; network: {', '.join(network) or 'unknown'}")


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
    records = _image_records(patient)
    for image in present:
        yield _preparation(image, records)
    for image in absent:
        cure = _obtain(patient, image)
        report = warn if present else fail
        yield report("images", f"{image} is absent: no notebook can start from it", cure)


def _obtain(patient: Patient, image: str) -> str:
    """How to come by an image."""
    if (ours := _OURS.fullmatch(image)) is not None:
        if patient.machine.has_package:
            return patient.machine.as_engine(f"{patient.config.recipes}/build {ours[1]}")
        return f"contrib/quickstart --image {ours[1]} builds it"
    if image.startswith("localhost/"):
        return "build it under that name with the engine's podman, or take it out of the catalogue"
    return f"notebookctl image pull {image}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Record:
    """What a store of images notes of one. ``shared``: the engine only reads that store, and notes nothing in it."""

    prepared: bool
    store: Path
    shared: bool


def _preparation(image: str, records: Mapping[str, _Record] | None) -> Finding:
    """Whether the layers of an image that is there are prepared."""
    if records is None:
        return ok("images", f"{image} is there; whether its layers are prepared, only root can see")
    record = records.get(image)
    if record is not None and record.prepared:
        return ok("images", f"{image} is there, its layers are prepared")
    seen = f"{image} is there, its layers are not prepared"
    if record is not None and record.shared:
        cure = f"prepare it with the engine that writes {record.store}, which this one only reads"
        return warn("images", f"{seen}: every start takes some seconds more", cure)
    return warn("images", f"{seen}: its first start takes some seconds more", f"notebookctl image prepare {image}")


def _image_records(patient: Patient) -> dict[str, _Record] | None:
    """The images of the engine by name, as its storage notes them: the prepared ones have layers that are mapped to the
    ids of a user namespace. None where that cannot be seen."""
    info = patient.engine
    root = None if isinstance(info, NotSeen) else dig(info, "store", "graphRoot")
    if isinstance(info, NotSeen) or not root:
        return None
    records: dict[str, _Record] = {}
    try:
        for store in dict.fromkeys([str(root), *_shared_stores(info)]):
            for image in _read_images(Path(store)):
                prepared = bool(image.get("mapped-layers"))
                record = _Record(prepared=prepared, store=Path(store), shared=store != root)
                for name in map(str, image.get("names") or []):
                    records.setdefault(name, record)
    except (OSError, ValueError):
        return None
    return records


def _shared_stores(info: dict[str, Any]) -> list[str]:
    """The stores that the engine reads beside its own. Of several it tells the last alone; its settings have them all.
    Raises OSError and ValueError."""
    try:
        settings = tomllib.loads(Path(str(dig(info, "store", "configFile") or "")).read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        settings = {}
    several = dig(settings, "storage", "options", "additionalimagestores")
    last = dig(info, "store", "graphOptions", "overlay.imagestore")
    return [each for each in (*(several if isinstance(several, list) else ()), last) if isinstance(each, str) and each]


def _read_images(store: Path) -> list[dict[str, Any]]:
    """Raises OSError and ValueError."""
    try:
        images = json.loads((store / "overlay-images/images.json").read_bytes())
    except FileNotFoundError:
        return []
    return [each for each in images if isinstance(each, dict)] if isinstance(images, list) else []
