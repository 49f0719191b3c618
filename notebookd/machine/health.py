# SPDX-License-Identifier: Apache-2.0
"""Whether store, engine and GPU driver answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from notebookd.domain.observed import Unknown
from notebookd.errors import EngineError, StoreUnavailable
from notebookd.machine.gpu_watch import GpuWatch
from notebookd.ports.clock import Clock
from notebookd.ports.engine import Engine
from notebookd.ports.store import Store

State = tuple[str, str | None]
"""ok, degraded or failed; and, where it is not ok, a sentence."""
HEALTH_LIFE_S = 1.0


class Health:
    """What everything depends on, and how it does."""

    def __init__(self, store: Store, engine: Engine, watch: GpuWatch, clock: Clock) -> None:
        self._store = store
        self._engine = engine
        self._watch = watch
        self._clock = clock
        self._asking = asyncio.Lock()
        self._answers: tuple[float, Mapping[str, State]] | None = None
        self.engine_answers = False
        """Whether the engine answered the last survey."""

    def surveyed(self, *, answered: bool) -> None:
        """The engine was asked for all of its containers."""
        self.engine_answers = answered

    async def now(self) -> Mapping[str, State]:
        """Every dependency with its state. The answers of engine and driver, which take time, are those of a second ago
        at the most; who asks meanwhile waits for them."""
        async with self._asking:
            if self._answers is None or self._clock.awake() - self._answers[0] >= HEALTH_LIFE_S:
                engine = await self._engine_state()
                seen = await self._watch.look()
                gpus: State = ("failed", seen.reason) if isinstance(seen, Unknown) else ("ok", None)
                self._answers = (self._clock.awake(), {"engine": engine, "gpus": gpus})
            return {"store": self._store_state(), **self._answers[1]}

    def _store_state(self) -> State:
        try:
            self._store.last_event_id()
        except StoreUnavailable as fault:
            return "failed", fault.message
        return "ok", None

    async def _engine_state(self) -> State:
        try:
            info = await self._engine.info()
        except EngineError as fault:
            return "failed", fault.message
        if not info.storage_known:
            return "degraded", "the engine's storage bears no mark of this instance"
        if info.missing_controllers:
            missing = ", ".join(sorted(info.missing_controllers))
            return "degraded", f"the engine lacks cgroup controllers ({missing}): those limits are not set"
        return "ok", None
