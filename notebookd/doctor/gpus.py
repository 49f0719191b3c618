# SPDX-License-Identifier: Apache-2.0
"""Checks of the GPUs: that the driver answers and that each can be handed to a container."""

from __future__ import annotations

from collections.abc import Iterator

from notebookd.doctor.cdi import check_cdi
from notebookd.doctor.finding import Finding, fail, ok, warn
from notebookd.doctor.machine import NotSeen, Patient


def check_gpus(patient: Patient) -> Iterator[Finding]:
    """The driver answers and every GPU can be handed to a container."""
    if patient.config.gpus.driver == "simulated":
        yield ok("gpus", f"{patient.config.gpus.simulated} simulated")
        return
    uuids = patient.gpu_uuids
    if isinstance(uuids, NotSeen):
        yield fail("gpus", f"NVML does not answer: {uuids}", _nvml_cure(str(uuids)))
        uuids = []
    elif not uuids:
        cure = 'look at `dmesg | grep -i nvrm`; for a host without GPUs write driver = "simulated", simulated = 0'
        yield warn("gpus", "the driver works and knows no GPU", cure)
    damaged = [uuid for uuid in uuids if not _is_text(uuid)]
    for uuid in damaged:
        seen = f"GPU {uuids.index(uuid)} has a UUID that is not text: {uuid}; it is given to nobody"
        yield warn("gpus", seen, "compare `nvidia-smi -L`: the board or the driver is damaged")
    whole = [uuid for uuid in uuids if uuid not in damaged]
    if whole:
        yield ok("gpus", f"{len(whole)}: {', '.join(whole)}")
    yield from check_cdi(patient, whole)
    yield from _check_proc(patient)


def _is_text(uuid: str) -> bool:
    r"""Whether the driver gave text. What is not UTF-8 comes as ``\xf8``, and no UUID has a backslash."""
    return uuid.isascii() and uuid.isprintable() and "\\" not in uuid


def _nvml_cure(reason: str) -> str:
    if "hangs" in reason:
        return "dmesg | grep -iE 'nvrm|xid' says why; where nvidia-smi hangs as well, reboot"
    if "mismatch" in reason.lower():
        return "the driver was upgraded under the running kernel module: reboot"
    if "not loaded" in reason.lower():
        return "modprobe nvidia && nvidia-modprobe -u -c0"
    return 'install the NVIDIA driver (apt-get install nvidia-driver), or write driver = "simulated" under [gpus]'


def _check_proc(patient: Patient) -> Iterator[Finding]:
    """Where /proc hides other people's processes, a stranger on a GPU has no name."""
    for line in (patient.machine.read("/proc/mounts") or "").splitlines():
        _device, place, kind, options = (*line.split(" "), "", "", "", "")[:4]
        hidden = next((option for option in options.split(",") if option.startswith("hidepid=")), "hidepid=0")
        if (place, kind) == ("/proc", "proc") and hidden not in {"hidepid=0", "hidepid=off"}:
            cure = "mount -o remount,hidepid=0 /proc, and the same in /etc/fstab"
            yield warn("processes", f"/proc is mounted with {hidden}: strangers on a GPU cannot be named", cure)
