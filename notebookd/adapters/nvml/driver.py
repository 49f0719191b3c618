# SPDX-License-Identifier: Apache-2.0
"""The driver over time: taken, lost, taken again, and which GPUs it has ever shown."""

from __future__ import annotations

import itertools
from dataclasses import replace

from notebookd.adapters.nvml.listener import Reports
from notebookd.adapters.nvml.readings import sick_sample
from notebookd.adapters.nvml.session import Session
from notebookd.adapters.nvml.trouble import Trouble, unavailable
from notebookd.errors import GpusUnavailable
from notebookd.ports.gpus import Gpu, GpuHealth, GpuSample

_UNLISTED = GpuHealth(ok=False, fault="lost", reason="the driver no longer lists it")


class Driver:
    """What the port does, blocking; one thread's only.

    Each question begins with a session that is current: one whose driver stopped answering, or lists another number of
    GPUs, is closed and a new one opened, which is all there is to a driver that was unloaded, upgraded or brought back.
    """

    def __init__(self, reports: Reports) -> None:
        self._reports = reports
        self._session: Session | None = None
        self._known: dict[str, Gpu] = {}
        self._released = False

    @property
    def is_open(self) -> bool:
        """Whether the driver is held."""
        return self._session is not None

    def inventory(self) -> tuple[Gpu, ...]:
        """Every GPU that was ever listed, by index; one listed no longer comes after those that are, unless its
        place is free."""
        session = self._current()
        listed = {gpu.uuid for gpu in session.gpus}
        board = {gpu.index: gpu for gpu in session.gpus}
        for gpu in self._known.values():
            if gpu.uuid not in listed:
                index = gpu.index if gpu.index not in board else next(i for i in itertools.count() if i not in board)
                board[index] = replace(gpu, index=index)
        return tuple(board[index] for index in sorted(board))

    def sample(self, *, for_people: bool = True) -> tuple[GpuSample, ...]:
        """One sample per GPU of the inventory."""
        board = self.inventory()
        session = self._current()
        try:
            seen = session.samples(for_people=for_people)
        except GpusUnavailable:
            self.close()
            raise
        if seen and all(sample.health.fault == "unreadable" for sample in seen.values()):
            self.close()  # handles go stale over a suspend: the next question begins anew
        return tuple(seen.get(gpu.uuid) or sick_sample(gpu.uuid, _UNLISTED) for gpu in board)

    def refuse(self) -> None:
        """Hold the driver no longer than it takes to close it, until told to. The one method for any thread."""
        self._released = True

    def acquire(self) -> None:
        """Hold it again; when it cannot be taken, what was released stays so."""
        was, self._released = self._released, False
        try:
            self._current()
        except GpusUnavailable:
            self._released = was
            raise

    def close(self) -> None:
        """Let go of the driver if it is held; the next question takes it again."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _current(self) -> Session:
        if self._released:
            self.close()
            raise unavailable(Trouble.RELEASED)
        if self._session is not None and not self._session.is_current():
            self.close()
        if self._session is None:
            self._session = Session(self._reports)
            self._known |= {gpu.uuid: gpu for gpu in self._session.gpus}
        return self._session
