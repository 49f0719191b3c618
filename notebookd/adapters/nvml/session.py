# SPDX-License-Identifier: Apache-2.0
"""NVML initialised, and the GPUs that it listed then."""

from __future__ import annotations

import logging
import os
from typing import Any

import pynvml

from notebookd.adapters.nvml import library
from notebookd.adapters.nvml.listener import Listener, Reports
from notebookd.adapters.nvml.readings import read_sample
from notebookd.adapters.nvml.trouble import Trouble, name_of, trouble_of, unavailable
from notebookd.ports.gpus import Gpu, GpuSample

log = logging.getLogger(__name__)


class Session:
    """The driver held. Every method blocks; all are the worker's, bar none."""

    def __init__(self, reports: Reports) -> None:
        """Take the driver. Raises GpusUnavailable."""
        try:
            library.load()
        except pynvml.NVMLError as error:
            raise trouble_of(error) from error
        try:
            version = pynvml.nvmlSystemGetDriverVersion()
            self.gpus, self._handles, self._listed = _list_gpus()
        except pynvml.NVMLError as error:
            _let_go()
            raise trouble_of(error) from error
        if self._listed == 0:
            _let_go()
            raise unavailable(Trouble.NO_GPUS)
        self._listener = Listener(self._handles, reports)
        log.info("the NVIDIA driver %s lists %d GPUs", version, self._listed)

    def is_current(self) -> bool:
        """Whether the driver answers and lists as many GPUs as it did. NVML lists them when it is initialised."""
        try:
            return bool(pynvml.nvmlDeviceGetCount() == self._listed)
        except pynvml.NVMLError:
            return False

    def samples(self) -> dict[str, GpuSample]:
        """By UUID. Raises GpusUnavailable."""
        try:
            return {uuid: read_sample(uuid, handle) for uuid, handle in self._handles.items()}
        except pynvml.NVMLError as error:
            raise trouble_of(error) from error

    def close(self) -> None:
        """Let go of the driver. Raises GpusUnavailable when a wait that hangs keeps it."""
        if not self._listener.end():
            raise unavailable(Trouble.HUNG, ": a wait for events does not return")
        _let_go()


def _let_go() -> None:
    try:
        pynvml.nvmlShutdown()
    except pynvml.NVMLError as error:
        log.info("NVML could not be shut down: %s", name_of(error))
    library.unload()


def _list_gpus() -> tuple[tuple[Gpu, ...], dict[str, Any], int]:
    """The GPUs, their handles by UUID, and how many there are with those that cannot be told apart."""
    count = pynvml.nvmlDeviceGetCount()
    gpus, handles = [], {}
    for index in range(count):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            gpu = _describe(handle, index)
        except pynvml.NVMLError as error:
            if error.value not in {pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED}:
                raise
            log.warning("the GPU with index %d does not say who it is: %s", index, name_of(error))
            continue
        gpus.append(gpu)
        handles[gpu.uuid] = handle
    return tuple(gpus), handles, count


def _describe(handle: Any, index: int) -> Gpu:
    bus = pynvml.nvmlDeviceGetPciInfo_v3(handle).busId
    return Gpu(
        uuid=str(pynvml.nvmlDeviceGetUUID(handle)),
        index=index,
        pci_bus_id=bus.decode() if isinstance(bus, bytes) else str(bus),
        name=str(pynvml.nvmlDeviceGetName(handle)),
        memory_total_bytes=_memory_total(handle),
    )


def _memory_total(handle: Any) -> int:
    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).total)
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_NOT_SUPPORTED:
            raise
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # an integrated GPU has the host's
