# SPDX-License-Identifier: Apache-2.0
"""A thread for calls that may never come back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, TypeVar

from notebookd.adapters.nvml.trouble import Trouble, unavailable

T = TypeVar("T")
_Job = tuple["Future[Any]", Callable[[], Any]]


class Worker:
    """Runs calls one after the other, and gives each so long.

    A call into a driver cannot be interrupted: one that overruns goes on alone. Until it is back every further call is
    refused at once, and none piles up behind it. The thread is a daemon thread, unlike an executor's, for which the
    interpreter would wait at exit.
    """

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._overdue: Future[Any] | None = None
        self._thread: threading.Thread | None = None

    async def run(self, call: Callable[[], T], timeout_s: float) -> T:
        """What ``call`` returns or raises; GpusUnavailable (``driver-hung``) when that takes too long."""
        if self._overdue is not None and not self._overdue.done():
            raise unavailable(Trouble.HUNG, ": an earlier call still hangs")
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="nvml", daemon=True)
            self._thread.start()
        future: Future[T] = Future()
        self._jobs.put((future, call))
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.wrap_future(future)
        except TimeoutError:
            # wrap_future has cancelled what had not begun; what runs is what hangs.
            if not future.cancelled():
                self._overdue = future
            raise unavailable(Trouble.HUNG, f" within {timeout_s:g} s") from None

    def end(self, last: Callable[[], Any]) -> None:
        """The thread ends after ``last``, for which nobody waits: it comes when a call that hangs is back."""
        self._jobs.put((Future(), last))
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, call = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:  # noqa: BLE001 - it is the caller's, who is in another thread
                future.set_exception(error)
            else:
                future.set_result(result)
