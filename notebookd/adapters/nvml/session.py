# SPDX-License-Identifier: Apache-2.0
"""NVML initialised, and the GPUs that it listed then."""

from __future__ import annotations

import logging
import os
from typing import Any

import pynvml

from notebookd.adapters.nvml import library
from notebookd.adapters.nvml.listener import Listener, Reports
from notebookd.adapters.nvml.readings import read_sample, sick_sample
from notebookd.adapters.nvml.texts import identity, text
from notebookd.adapters.nvml.trouble import Trouble, name_of, trouble_of, unavailable
from notebookd.ports.gpus import Gpu, GpuHealth, GpuSample

log = logging.getLogger(__name__)

_NAMELESS = GpuHealth(ok=False, fault="unreadable", reason="its UUID is not text, so no container can be given it")


class Session:
    """The driver held. Every method blocks; all are the worker's, bar none."""

    def __init__(self, reports: Reports) -> None:
        """Take the driver. Raises GpusUnavailable."""
        try:
            library.load()
        except pynvml.NVMLError as error:
            raise trouble_of(error) from error
        try:
            version = text(pynvml.nvmlSystemGetDriverVersion)
            self.gpus, self._handles, self._nameless, self._listed = _list_gpus()
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

    def samples(self, *, for_people: bool = True) -> dict[str, GpuSample]:
        """By UUID. Raises GpusUnavailable."""
        try:
            return {
                uuid: sick_sample(uuid, _NAMELESS)
                if uuid in self._nameless
                else read_sample(uuid, handle, for_people=for_people)
                for uuid, handle in self._handles.items()
            }
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


def _list_gpus() -> tuple[tuple[Gpu, ...], dict[str, Any], frozenset[str], int]:
    """The GPUs, their handles by UUID, which UUIDs are no text, and how many GPUs there are with those that cannot be
    told apart."""
    count = pynvml.nvmlDeviceGetCount()
    gpus: list[Gpu] = []
    handles: dict[str, Any] = {}
    nameless: set[str] = set()
    for index in range(count):
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            gpu, is_text = _describe(handle, index)
        except pynvml.NVMLError as error:
            if error.value not in {pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED}:
                raise
            log.warning("the GPU with index %d does not say who it is: %s", index, name_of(error))
            continue
        gpus.append(gpu)
        handles[gpu.uuid] = handle
        if not is_text:
            log.warning("the GPU with index %d has a UUID that is not text: %s", index, gpu.uuid)
            nameless.add(gpu.uuid)
    return tuple(gpus), handles, frozenset(nameless), count


def _describe(handle: Any, index: int) -> tuple[Gpu, bool]:
    """The GPU, and whether its UUID is text."""
    uuid, is_text = identity(handle)
    gpu = Gpu(
        uuid=uuid,
        index=index,
        pci_bus_id=text(lambda: pynvml.nvmlDeviceGetPciInfo_v3(handle).busId),
        name=text(pynvml.nvmlDeviceGetName, handle),
        memory_total_bytes=_memory_total(handle),
    )
    return gpu, is_text


def _memory_total(handle: Any) -> int:
    try:
        return int(pynvml.nvmlDeviceGetMemoryInfo(handle, version=pynvml.nvmlMemory_v2).total)
    except pynvml.NVMLError as error:
        if error.value != pynvml.NVML_ERROR_NOT_SUPPORTED:
            raise
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # an integrated GPU has the host's
