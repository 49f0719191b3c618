# SPDX-License-Identifier: Apache-2.0
"""Checks of what stands beside the engine when a container starts: its init, hooks, and what it is to trust."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from notebookd.doctor.finding import Finding, fail, ok, warn
from notebookd.doctor.machine import NotSeen, Patient

INITS = ("catatonit", "/usr/libexec/podman/catatonit")
HOOK_FOLDERS = ("usr/share/containers/oci/hooks.d", "etc/containers/oci/hooks.d")
_BEGIN = b"-----BEGIN CERTIFICATE-----"


def check_init(patient: Patient) -> Iterator[Finding]:
    """There is a program to be the first process of a container, which collects those whose parents are gone."""
    found = next((place for each in INITS if (place := patient.machine.find_program(each)) is not None), None)
    if found is not None:
        yield ok("init", f"{found} is the first process of every container")
    else:
        seen = "no catatonit: nobody collects orphans in a notebook, and at a stop all end with the editor"
        yield warn("init", seen, "apt-get install catatonit; notebooks have it from their next start on")


def check_hooks(patient: Patient) -> Iterator[Finding]:
    """No hook of NVIDIA's gives GPUs to containers that did not lease them. They come by CDI."""
    hooks = [each for folder in HOOK_FOLDERS for each in _hooks(patient, folder)]
    for hook in hooks:
        seen = f"{hook} gives every GPU to a container that asks for it by a variable; notebookd sets that to void"
        yield warn("hooks", seen, f"mv {hook} {hook}.off (notebookd's GPUs come by CDI and do not need it)")
    if not hooks:
        yield ok("hooks", "no hook of NVIDIA's beside CDI")


def _hooks(patient: Patient, folder: str) -> Iterator[str]:
    try:
        names = sorted(each.name for each in (patient.machine.root / folder).glob("*.json"))
    except OSError:
        return
    for name in names:
        path = f"/{folder}/{name}"
        try:
            text = patient.machine.read(path) or ""
        except NotSeen:
            text = name
        if "nvidia" in f"{name} {text}".lower():
            yield path


def check_ca_file(patient: Patient) -> Iterator[Finding]:
    """The certificates that notebooks shall trust can be read."""
    ca_file = patient.config.surroundings.ca_file
    if ca_file is None:
        return
    fault = _fault_of(ca_file)
    if fault is None:
        yield ok("ca_file", f"notebooks, transfers and image builds trust {ca_file}")
    else:
        cure = f"put certificates in PEM there that {patient.machine.account} may read; or take ca_file out"
        yield fail("ca_file", f"{ca_file}: {fault}: no notebook can start", cure)


def _fault_of(file: Path) -> str | None:
    try:
        return None if _BEGIN in file.read_bytes() else "no certificate in PEM"
    except OSError as error:
        return error.strerror or str(error)
