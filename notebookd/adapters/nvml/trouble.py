# SPDX-License-Identifier: Apache-2.0
"""What can be wrong with the driver as a whole: a word, a sentence and a cure for each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pynvml

from notebookd.errors import GpusUnavailable


class Trouble(StrEnum):
    """The values of ``details["trouble"]``. Clients may branch on them."""

    LIBRARY_MISSING = "library-missing"
    LIBRARY_TOO_OLD = "library-too-old"
    DRIVER_NOT_LOADED = "driver-not-loaded"
    VERSION_MISMATCH = "version-mismatch"
    NO_PERMISSION = "no-permission"
    GPU_LOST = "gpu-lost"
    RESET_REQUIRED = "reset-required"
    NO_GPUS = "no-gpus"
    HUNG = "driver-hung"
    RELEASED = "released"
    FAULT = "driver-fault"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Words:
    cause: str
    cure: str


_NVRM = "look at `dmesg | grep -i nvrm`"
_WORDS = {
    Trouble.LIBRARY_MISSING: _Words(
        cause="libnvidia-ml.so.1 is not installed",
        cure='install the NVIDIA driver (apt-get install nvidia-driver), or set driver = "simulated" under [gpus]',
    ),
    Trouble.LIBRARY_TOO_OLD: _Words(
        cause="its library lacks a call that is needed", cure="install a driver of version 510 or later"
    ),
    Trouble.DRIVER_NOT_LOADED: _Words(
        cause="the kernel module is not loaded", cure=f"`modprobe nvidia && nvidia-modprobe -u -c0`; else {_NVRM}"
    ),
    Trouble.VERSION_MISMATCH: _Words(
        cause="library and kernel module are of different versions",
        cure="the driver was upgraded under the running kernel module: reboot, or unload and load the module",
    ),
    Trouble.NO_PERMISSION: _Words(
        cause="this account may not use it", cure="check the mode of /dev/nvidia* and DeviceAllow= of the unit"
    ),
    Trouble.GPU_LOST: _Words(cause="a GPU has fallen off the bus", cure=f"{_NVRM}; most often only a reboot helps"),
    Trouble.RESET_REQUIRED: _Words(
        cause="a GPU must be reset",
        cure="`notebookctl gpu release`, `nvidia-smi --gpu-reset`, `notebookctl gpu acquire`; or reboot",
    ),
    Trouble.NO_GPUS: _Words(
        cause="it lists no GPU at all",
        cure=f'{_NVRM}; for a host without GPUs set driver = "simulated", simulated = 0 under [gpus]',
    ),
    Trouble.HUNG: _Words(cause="it does not answer", cure=f"{_NVRM}; if it stays so, reboot"),
    Trouble.RELEASED: _Words(cause="it was released", cure="run `notebookctl gpu acquire`"),
    Trouble.FAULT: _Words(cause="it failed", cure=_NVRM),
}

_BY_CODE = {
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: Trouble.LIBRARY_MISSING,
    pynvml.NVML_ERROR_FUNCTION_NOT_FOUND: Trouble.LIBRARY_TOO_OLD,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED: Trouble.DRIVER_NOT_LOADED,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: Trouble.VERSION_MISMATCH,
    pynvml.NVML_ERROR_NO_PERMISSION: Trouble.NO_PERMISSION,
    pynvml.NVML_ERROR_GPU_IS_LOST: Trouble.GPU_LOST,
    pynvml.NVML_ERROR_RESET_REQUIRED: Trouble.RESET_REQUIRED,
    pynvml.NVML_ERROR_GPU_NOT_FOUND: Trouble.NO_GPUS,
}

_NAMES: dict[int, str] = {
    value: name.removeprefix("NVML_ERROR_") for name, value in vars(pynvml).items() if name.startswith("NVML_ERROR_")
}


def unavailable(trouble: Trouble, more: str = "") -> GpusUnavailable:
    """The port's error for a trouble; ``more`` goes behind the sentence."""
    words = _WORDS[trouble]
    return GpusUnavailable(
        f"cannot ask the GPU driver: {words.cause}{more}", hint=words.cure, details={"trouble": str(trouble)}
    )


def trouble_of(error: pynvml.NVMLError) -> GpusUnavailable:
    """What an NVML error means when it is about the driver and not about one GPU."""
    trouble = _BY_CODE.get(error.value, Trouble.FAULT)
    return unavailable(trouble, f" (NVML says {name_of(error)})")


def name_of(error: pynvml.NVMLError) -> str:
    """NVML's name of an error, such as ``GPU_IS_LOST``, asking no library (it may be gone)."""
    return _NAMES.get(error.value, f"error {error.value}")
