# SPDX-License-Identifier: Apache-2.0
"""The port itself: each question goes to the worker's thread and comes back in time, or as an error."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Self, TypeVar

from notebookd.adapters.nvml.driver import Driver
from notebookd.adapters.nvml.listener import Reports
from notebookd.adapters.nvml.worker import Worker
from notebookd.errors import GpusUnavailable
from notebookd.ports.clock import Clock
from notebookd.ports.gpus import Gpu, GpuEvent, GpuSample

log = logging.getLogger(__name__)

T = TypeVar("T")
ANSWER_TIMEOUT_S = 5.0
OPEN_TIMEOUT_S = 30.0
"""Without persistence mode the driver sets up every GPU when it is taken, some seconds each."""


class NvmlGpus:
    """The GPUs that NVML lists. Make it with :meth:`open`, which asks nothing yet: a driver that is absent is an error
    of the first question, and of no question once it is there. One to a process: pynvml has one library."""

    def __init__(self, clock: Clock, *, answer_timeout_s: float, open_timeout_s: float) -> None:
        self._answer_timeout_s = answer_timeout_s
        self._open_timeout_s = open_timeout_s
        self._reports = Reports(clock.now)
        self._driver = Driver(self._reports)
        self._worker = Worker()
        self._trouble: str | None = None

    @classmethod
    @asynccontextmanager
    async def open(
        cls, clock: Clock, *, answer_timeout_s: float = ANSWER_TIMEOUT_S, open_timeout_s: float = OPEN_TIMEOUT_S
    ) -> AsyncIterator[Self]:
        """The port for as long as the block lasts; then the driver is let go, if it answers."""
        gpus = cls(clock, answer_timeout_s=answer_timeout_s, open_timeout_s=open_timeout_s)
        try:
            yield gpus
        finally:
            gpus._driver.refuse()
            with contextlib.suppress(GpusUnavailable):
                await gpus._worker.run(gpus._driver.close, answer_timeout_s)
            gpus._worker.end(gpus._driver.close)

    @property
    def cdi(self) -> bool:
        """True: a lease reaches the container as a CDI device."""
        return True

    async def inventory(self) -> tuple[Gpu, ...]:
        """Every GPU, by index."""
        return await self._ask(self._driver.inventory)

    async def sample(self, *, for_people: bool = True) -> tuple[GpuSample, ...]:
        """One sample per GPU of the inventory."""
        return await self._ask(lambda: self._driver.sample(for_people=for_people))

    def take_events(self) -> tuple[GpuEvent, ...]:
        """What the driver reported since the last call."""
        return self._reports.take()

    async def release(self) -> None:
        """Let go of the driver and of its library."""
        self._driver.refuse()  # at once: a call that hangs may keep the worker from it
        await self._ask(self._driver.close)

    async def acquire(self) -> None:
        """Take them again."""
        await self._ask(self._driver.acquire)

    async def _ask(self, question: Callable[[], T]) -> T:
        timeout_s = self._answer_timeout_s if self._driver.is_open else self._open_timeout_s
        try:
            answer = await self._worker.run(question, timeout_s)
        except GpusUnavailable as fault:
            self._note(fault.message)
            raise
        self._note(None)
        return answer

    def _note(self, trouble: str | None) -> None:
        """Log a trouble when it begins, changes and ends, not at every poll."""
        if trouble != self._trouble:
            if trouble is None:
                log.info("the GPU driver answers")
            else:
                log.warning("%s", trouble)
            self._trouble = trouble
