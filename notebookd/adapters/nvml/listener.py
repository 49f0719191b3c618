# SPDX-License-Identifier: Apache-2.0
"""Xids and ECC errors, which the driver tells to whoever waits for them."""

from __future__ import annotations

import ctypes
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import pynvml

from notebookd.adapters.nvml.trouble import name_of
from notebookd.ports.gpus import GpuEvent

log = logging.getLogger(__name__)

WAIT_MS = 200
"""How long one wait lasts: also how long letting go of the driver may take."""
END_S = 3.0
RETRY_S = 1.0
MOST_KEPT = 1024
_WANTED = pynvml.nvmlEventTypeXidCriticalError | pynvml.nvmlEventTypeDoubleBitEccError


class Reports:
    """What was heard and not yet taken. The listener's thread puts, the daemon's takes."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._kept: deque[GpuEvent] = deque(maxlen=MOST_KEPT)

    def put(self, uuid: str, xid: int | None) -> None:
        """Note it with the time."""
        log.warning("the driver reports %s on %s", "a double-bit ECC error" if xid is None else f"Xid {xid}", uuid)
        self._kept.append(GpuEvent(uuid=uuid, kind="ecc" if xid is None else "xid", xid=xid, at=self._now()))

    def take(self) -> tuple[GpuEvent, ...]:
        """Everything noted, oldest first; it is noted no longer."""
        taken = []
        while self._kept:
            taken.append(self._kept.popleft())
        return tuple(taken)


class Listener:
    """A thread that waits for the events of a session's GPUs, in short waits, since a wait cannot be interrupted."""

    def __init__(self, handles: Mapping[str, Any], reports: Reports) -> None:
        self._reports = reports
        self._uuids = {_address(handle): uuid for uuid, handle in handles.items()}
        self._ending = threading.Event()
        self._thread: threading.Thread | None = None
        self._set: Any = None
        try:
            self._set = pynvml.nvmlEventSetCreate()
        except pynvml.NVMLError as error:
            log.warning("the driver reports no events: %s", name_of(error))
            return
        if sum(_register(handle, self._set) for handle in handles.values()):
            self._thread = threading.Thread(target=self._listen, name="nvml-events", daemon=True)
            self._thread.start()

    def end(self) -> bool:
        """End the thread; false when it hangs in the driver."""
        self._ending.set()
        if self._thread is not None:
            self._thread.join(END_S)
            if self._thread.is_alive():
                return False
        try:
            if self._set is not None:
                pynvml.nvmlEventSetFree(self._set)
        except pynvml.NVMLError:
            log.debug("the event set went with its driver")
        self._set = None
        return True

    def _listen(self) -> None:
        while not self._ending.is_set():
            try:
                heard = pynvml.nvmlEventSetWait_v2(self._set, WAIT_MS)
            except pynvml.NVMLError as error:
                if error.value != pynvml.NVML_ERROR_TIMEOUT:
                    self._ending.wait(RETRY_S)  # what is wrong the next poll finds out
                continue
            uuid = self._uuids.get(_address(heard.device))
            if uuid is not None:
                is_xid = heard.eventType & pynvml.nvmlEventTypeXidCriticalError
                self._reports.put(uuid, int(heard.eventData) if is_xid else None)


def _address(handle: Any) -> int | None:
    return ctypes.cast(handle, ctypes.c_void_p).value


def _register(handle: Any, event_set: Any) -> bool:
    """Whether this GPU reports anything. Consumer GPUs know no ECC events, and to ask for one is an error."""
    try:
        types = pynvml.nvmlDeviceGetSupportedEventTypes(handle) & _WANTED
        if types:
            pynvml.nvmlDeviceRegisterEvents(handle, types, event_set)
    except pynvml.NVMLError:
        return False
    return bool(types)
