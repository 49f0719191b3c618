# SPDX-License-Identifier: Apache-2.0
"""A process that dies at a chosen step: between any two calls of ports, or around any commit.

A :class:`Turnstile` numbers the steps. Each call of a port is two of them, before it and after it: at the first
nothing was done, at the second everything was and nobody heard of it. Reads of the store and of the clock change
nothing and are asked between any two others; they are no steps of their own.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar, cast

from notebookd.adapters.sqlite import SqliteStore
from notebookd.adapters.sqlite.writes import SqliteTransaction

P = TypeVar("P")


class Crash(BaseException):
    """The process dies here. Not an Exception: nobody survives it by catching."""


class Turnstile:
    """Counts steps once armed, and crashes at the chosen one. Dead is dead: every later step crashes as well.

    ``idle`` is set while no call is out with a thread, which a test's clock knows nothing of. ``on_step`` is called
    with the name of each step that is counted."""

    def __init__(self, on_step: Callable[[str], None] = lambda _: None) -> None:
        self.steps: list[str] = []
        self.idle = asyncio.Event()
        self.idle.set()
        self._on_step = on_step
        self._crash_at: int | None = None
        self._armed = False
        self._dead = False
        self._out = 0

    def arm(self, crash_at: int | None = None) -> None:
        """Count from here on, from 1; crash at that step, or never."""
        self._armed, self._crash_at = True, crash_at
        self.steps.clear()

    def disarm(self) -> None:
        """Let everybody pass, unless dead."""
        self._armed = False

    def step(self, name: str) -> None:
        """Go on, or die."""
        if self._dead:
            raise Crash(name)
        if not self._armed:
            return
        self.steps.append(name)
        self._on_step(name)
        if len(self.steps) == self._crash_at:
            self._dead = True
            raise Crash(name)

    @contextmanager
    def out(self) -> Iterator[None]:
        """Something is with a thread."""
        self._out += 1
        self.idle.clear()
        try:
            yield
        finally:
            self._out -= 1
            if self._out == 0:
                self.idle.set()


class CrashingStore(SqliteStore):
    """The real store with steps after each decision and around each commit. Set ``turnstile`` before it is used."""

    turnstile: Turnstile

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[SqliteTransaction]:
        """See :meth:`SqliteStore.transaction`; a crash before the commit leaves nothing of it."""
        with self.turnstile.out():
            async with super().transaction() as opened:
                yield opened
                self.turnstile.step("before release")
        self.turnstile.step("after commit")

    async def _write(self) -> None:
        """A crash here finds all members of the group decided, and leaves nothing of them."""
        self.turnstile.step("before commit")
        await super()._write()


def stepped(port: P, name: str, turnstile: Turnstile, *, threaded: bool = False) -> P:
    """``port`` with steps around every call of it, named ``name.method``. ``threaded`` is for a port whose calls go to
    threads."""
    return cast(P, _Stepped(port, name, turnstile, threaded=threaded))


class _Stepped:
    """Stands for a port. It knows no method by name, so it can forget none."""

    def __init__(self, port: object, name: str, turnstile: Turnstile, *, threaded: bool) -> None:
        self._port = port
        self._name = name
        self._turnstile = turnstile
        self._threaded = threaded

    def __getattr__(self, method: str) -> Any:
        found = getattr(self._port, method)
        if not callable(found):
            return found
        name = f"{self._name}.{method}"
        if inspect.isasyncgenfunction(found):
            return lambda *args, **kwargs: self._stream(name, found(*args, **kwargs))
        if inspect.iscoroutinefunction(found):
            return lambda *args, **kwargs: self._call(name, found, *args, **kwargs)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._turnstile.step(f"before {name}")
            answer = found(*args, **kwargs)
            self._turnstile.step(f"after {name}")
            return answer

        return call

    async def _call(self, name: str, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._turnstile.step(f"before {name}")
        if self._threaded:
            with self._turnstile.out():
                answer = await method(*args, **kwargs)
        else:
            answer = await method(*args, **kwargs)
        self._turnstile.step(f"after {name}")
        return answer

    async def _stream(self, name: str, items: Any) -> AsyncIterator[Any]:
        self._turnstile.step(f"before {name}")
        try:
            async for item in items:
                self._turnstile.step(f"after {name}")
                yield item
        finally:
            await items.aclose()
