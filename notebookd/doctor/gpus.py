# SPDX-License-Identifier: Apache-2.0
"""Checks of the GPUs: that the driver answers and that each can be handed to a container."""

from __future__ import annotations

from collections.abc import Iterator

from notebookd.doctor.finding import Finding, fail, ok, warn, why
from notebookd.doctor.machine import NotSeen, Patient

CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")
CDI_CURE = "nvidia-ctk cdi generate --device-name-strategy=uuid --output=/etc/cdi/nvidia.yaml"


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
    yield from _check_cdi(patient, uuids)


def _nvml_cure(reason: str) -> str:
    if "mismatch" in reason.lower():
        return "the driver was upgraded under the running kernel module: reboot"
    if "not loaded" in reason.lower():
        return "modprobe nvidia && nvidia-modprobe -u -c0"
    return 'install the NVIDIA driver (apt-get install nvidia-driver), or write driver = "simulated" under [gpus]'


def _check_cdi(patient: Patient, uuids: list[str]) -> Iterator[Finding]:
    found: dict[str, str] = {}
    for folder in CDI_FOLDERS:
        place = patient.machine.root / folder.lstrip("/")
        try:
            files = sorted(file for file in place.iterdir() if file.suffix in {".json", ".yaml"})
            texts = [file.read_text(encoding="utf-8", errors="replace") for file in files]
        except FileNotFoundError:
            continue
        except OSError as error:
            yield warn("cdi", f"{folder}: {why(error)}", "sudo notebookd doctor")
            continue
        if text := "\n".join(text for text in texts if "nvidia.com/gpu" in text):
            found[folder] = text
    if not found:
        yield fail("cdi", f"no spec for nvidia.com/gpu in {' or '.join(CDI_FOLDERS)}", CDI_CURE)
    elif absent := [uuid for uuid in uuids or ["GPU-"] if not any(uuid in text for text in found.values())]:
        what = ", ".join(absent) if uuids else "any GPU by its UUID"
        yield fail("cdi", f"the spec in {', '.join(found)} does not name {what}", CDI_CURE)
    elif CDI_FOLDERS[0] not in found:
        yield warn("cdi", f"the spec is in {CDI_FOLDERS[1]} only, which podman 5.5 does not read", CDI_CURE)
    else:
        yield ok("cdi", f"spec in {', '.join(found)}")
