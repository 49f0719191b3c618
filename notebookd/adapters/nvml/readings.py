# SPDX-License-Identifier: Apache-2.0
"""One GPU, asked everything: which errors mean "it does not tell", which "it is sick", which "the driver is gone"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pynvml

from notebookd.adapters.nvml.trouble import name_of
from notebookd.domain.xids import NO_RECOVERY
from notebookd.ports.gpus import GpuFault, GpuHealth, GpuProcess, GpuSample, ProcessKind

PERCENT = 100
MILLI = 1000

_OF_THE_DRIVER = frozenset(
    {
        pynvml.NVML_ERROR_UNINITIALIZED,
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
    }
)
_SICK: dict[int, tuple[GpuFault, str]] = {
    pynvml.NVML_ERROR_GPU_IS_LOST: ("lost", "it has fallen off the bus"),
    pynvml.NVML_ERROR_GPU_NOT_FOUND: ("lost", "the driver does not find it"),
    pynvml.NVML_ERROR_RESET_REQUIRED: ("reset-required", "it must be reset"),
}
_ABSENT = frozenset({pynvml.NVML_ERROR_FUNCTION_NOT_FOUND, pynvml.NVML_ERROR_DEPRECATED})
_NO_SUCH_THING = _ABSENT | {pynvml.NVML_ERROR_NOT_SUPPORTED}

# The second of a pair is for libraries that have dropped the first, as they announce for CUDA 14.
_TEMPERATURE = ("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV")
_CLOCKS_HELD = ("nvmlDeviceGetCurrentClocksThrottleReasons", "nvmlDeviceGetCurrentClocksEventReasons")

# An MPS client is in the third list only. A GPU without graphics or MPS has no list of them; one without a list of
# compute processes cannot be seen into.
_PROCESSES: tuple[tuple[str, ProcessKind], ...] = (
    ("nvmlDeviceGetComputeRunningProcesses_v3", "compute"),
    ("nvmlDeviceGetMPSComputeRunningProcesses_v3", "compute"),
    ("nvmlDeviceGetGraphicsRunningProcesses_v3", "graphics"),
)

# An idle GPU, and clocks that somebody chose, are not held down.
_THROTTLE = (
    (pynvml.nvmlClocksEventReasonSwPowerCap, "power-cap"),
    (pynvml.nvmlClocksEventReasonHwSlowdown, "hardware-slowdown"),
    (pynvml.nvmlClocksEventReasonSwThermalSlowdown, "thermal"),
    (pynvml.nvmlClocksEventReasonHwThermalSlowdown, "thermal-hardware"),
    (pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown, "power-brake"),
)


_RECOVERY = {
    pynvml.NVML_GPU_RECOVERY_ACTION_NONE: NO_RECOVERY,
    pynvml.NVML_GPU_RECOVERY_ACTION_GPU_RESET: "gpu-reset",
    pynvml.NVML_GPU_RECOVERY_ACTION_NODE_REBOOT: "node-reboot",
    pynvml.NVML_GPU_RECOVERY_ACTION_DRAIN_P2P: "drain-p2p",
    pynvml.NVML_GPU_RECOVERY_ACTION_DRAIN_AND_RESET: "drain-and-reset",
    pynvml.NVML_GPU_RECOVERY_ACTION_RECOVER_IMEX_DOMAIN: "recover-imex-domain",
    pynvml.NVML_GPU_RECOVERY_ACTION_BUS_RESET: "bus-reset",
    pynvml.NVML_GPU_RECOVERY_ACTION_SYSTEM_REBOOT: "system-reboot",
}


class _Sick(Exception):
    def __init__(self, fault: GpuFault, reason: str) -> None:
        super().__init__(reason)
        self.health = GpuHealth(ok=False, fault=fault, reason=reason)


def read_sample(uuid: str, handle: Any, *, for_people: bool = True) -> GpuSample:
    """What the GPU is doing. Raises NVMLError when it is the driver that cannot be asked."""
    try:
        return _read(uuid, handle, for_people=for_people)
    except _Sick as sick:
        return sick_sample(uuid, sick.health)


def sick_sample(uuid: str, health: GpuHealth) -> GpuSample:
    """A GPU of which nothing can be read."""
    return GpuSample(uuid=uuid, memory_used_bytes=0, processes_seen=False, health=health)


def _read(uuid: str, handle: Any, *, for_people: bool) -> GpuSample:
    mig = _ask(pynvml.nvmlDeviceGetMigMode, handle)
    busy = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
    power_mw = _ask(pynvml.nvmlDeviceGetPowerUsage, handle) if for_people else None
    energy_mj = _ask(pynvml.nvmlDeviceGetTotalEnergyConsumption, handle)
    temperature = _first(_TEMPERATURE, handle, pynvml.NVML_TEMPERATURE_GPU) if for_people else None
    processes, unseen = _processes(handle)
    sample = GpuSample(
        uuid=uuid,
        memory_used_bytes=_memory_used(handle, processes),
        utilisation=None if busy is None else min(busy.gpu / PERCENT, 1.0),
        temperature_c=None if temperature is None else float(temperature),
        power_w=None if power_mw is None else power_mw / MILLI,
        energy_j=None if energy_mj is None else energy_mj / MILLI,
        processes=processes,
        processes_seen=unseen is None,
        health=_health(handle, for_people=for_people),
    )
    if mig is not None and mig[0] == pynvml.NVML_DEVICE_MIG_ENABLE:
        health = replace(sample.health, ok=False, mig=True, fault="mig", reason="MIG mode is on: unsupported")
        return replace(sample, health=health)
    if unseen is not None and sample.health.ok:
        reason = f"the processes on it cannot be listed: {unseen}"
        return replace(sample, health=replace(sample.health, ok=False, fault="unreadable", reason=reason))
    return sample


def _health(handle: Any, *, for_people: bool) -> GpuHealth:
    recovery = _recovery(handle)
    health = replace(_errors(handle, for_people=for_people), recovery=recovery)
    if recovery == NO_RECOVERY:
        return replace(health, ok=True, fault=None, reason=None)
    if recovery is not None:
        reason = f"the driver asks for the recovery action {recovery}"
        return replace(health, ok=False, fault="reset-required", reason=reason)
    return health


def _recovery(handle: Any) -> str | None:
    """What is to be done about the GPU, by drivers of 2024 and later."""
    values = _ask(pynvml.nvmlDeviceGetFieldValues, handle, [pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION])
    if values is None or values[0].nvmlReturn != pynvml.NVML_SUCCESS:
        return None
    number = int(values[0].value.uiVal)
    return _RECOVERY.get(number, f"number {number}")


def _errors(handle: Any, *, for_people: bool) -> GpuHealth:
    held = _first(_CLOCKS_HELD, handle) or 0 if for_people else 0
    throttle = tuple(word for bit, word in _THROTTLE if held & bit)
    errors = _ask(
        pynvml.nvmlDeviceGetTotalEccErrors, handle, pynvml.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, pynvml.NVML_VOLATILE_ECC
    )
    if errors:
        reason = f"uncorrected memory errors since the driver was loaded: {errors}"
        return GpuHealth(ok=False, fault="ecc", reason=reason, ecc_errors=errors, throttle=throttle)
    return GpuHealth(ecc_errors=errors, throttle=throttle)


def _memory_used(handle: Any, processes: tuple[GpuProcess, ...]) -> int:
    """Version 2 of the call keeps what the driver reserved for itself apart."""
    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).used)
    except pynvml.NVMLError as error:
        _raise_if_grave(error)
        if error.value == pynvml.NVML_ERROR_NOT_SUPPORTED:  # it has the host's memory and none of its own
            return sum(process.memory_used_bytes or 0 for process in processes)
        raise _Sick("unreadable", f"its memory cannot be read: {name_of(error)}") from error


def _processes(handle: Any) -> tuple[tuple[GpuProcess, ...], str | None]:
    """The lists made one: a process in two of them is named once, as ``compute`` if it is that, with the larger of
    the figures, which count the same memory. Also why they could not be listed, if so."""
    found: dict[int, GpuProcess] = {}
    for function, kind in _PROCESSES:
        try:
            listed = _listed(getattr(pynvml, function), handle)
        except pynvml.NVMLError as error:
            _raise_if_grave(error)
            if error.value in _NO_SUCH_THING and function != _PROCESSES[0][0]:
                continue
            return tuple(found.values()), name_of(error)
        for each in listed:
            pid, used = int(each.pid), each.usedGpuMemory
            known = found.get(pid)
            if known is None:
                found[pid] = GpuProcess(pid=pid, memory_used_bytes=used, kind=kind)
            elif used is not None and used > (known.memory_used_bytes or 0):
                found[pid] = replace(known, memory_used_bytes=used)
    return tuple(found.values()), None


def _listed(function: Callable[[Any], list[Any]], handle: Any) -> list[Any]:
    try:
        return function(handle)
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_INSUFFICIENT_SIZE:
            raise
    return function(handle)  # many began between its two questions; once more


def _ask(function: Callable[..., Any], *arguments: Any) -> Any:
    """The reading, None when this GPU does not give it."""
    try:
        return function(*arguments)
    except pynvml.NVMLError as error:
        _raise_if_grave(error)
        return None


def _first(names: tuple[str, ...], *arguments: Any) -> Any:
    for name in names:
        function = getattr(pynvml, name, None)
        try:
            if function is not None:
                return function(*arguments)
        except pynvml.NVMLError as error:
            _raise_if_grave(error)
            if error.value not in _ABSENT:
                return None
    return None


def _raise_if_grave(error: pynvml.NVMLError) -> None:
    if error.value in _OF_THE_DRIVER:
        raise error
    if error.value in _SICK:
        raise _Sick(*_SICK[error.value]) from error
