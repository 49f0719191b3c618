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
    else:
        yield ok("gpus", f"{len(uuids)}: {', '.join(uuids)}")
    yield from check_cdi(patient, uuids)
    yield from _check_proc(patient)


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
