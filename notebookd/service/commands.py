# SPDX-License-Identifier: Apache-2.0
"""Commands that people run in their notebooks; each is on record."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from notebookd.domain.actor import Actor
from notebookd.domain.container import ContainerStatus, container_name
from notebookd.domain.entry import Entry
from notebookd.errors import Conflict, EngineError, EngineUnavailable
from notebookd.ports.clock import Clock
from notebookd.ports.engine import Engine, ExecSession
from notebookd.ports.store import Store
from notebookd.service.happenings import happened

_PROGRAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")


class Commands:
    """Runs commands in notebooks."""

    def __init__(self, store: Store, clock: Clock, engine: Engine) -> None:
        self._store = store
        self._clock = clock
        self._engine = engine

    def require_running(self, entry: Entry) -> None:
        """Raise Conflict where nothing can be run in a notebook."""
        if entry.run.container_pid is None or not entry.run.active:
            raise _not_running(entry)

    async def record(self, actor: Actor, entry: Entry, command: Sequence[str]) -> None:
        """Put on record that the actor runs a command: the program's name and nothing else of it, since arguments may
        be secrets. Before it runs, so that none ran that is not on record. Raises StoreUnavailable."""
        program = program_of(command)
        async with self._store.transaction() as tx:
            data = {"program": program} if program else {}
            await tx.append(happened("notebook.command", entry, actor, self._clock.now(), data))

    @asynccontextmanager
    async def run(
        self,
        entry: Entry,
        command: Sequence[str],
        *,
        tty: bool,
        stdin: bool,
        env: Mapping[str, str],
        folder: str,
    ) -> AsyncIterator[ExecSession]:
        """A command that runs, until the block is left. A container that ends before it began is a Conflict, and no
        fault of the engine."""
        name = container_name(entry.run)
        async with AsyncExitStack() as stack:
            begun = self._engine.exec(name, tuple(command), tty=tty, stdin=stdin, env=env, folder=folder)
            try:
                session = await stack.enter_async_context(begun)
            except EngineUnavailable:
                raise
            except EngineError as fault:
                container = await self._engine.find(name)
                if container is not None and container.status is ContainerStatus.RUNNING:
                    raise
                raise _not_running(entry) from fault
            yield session


def _not_running(entry: Entry) -> Conflict:
    return Conflict(f"cannot run a command in notebook {entry.notebook.id}: it does not run")


def program_of(command: Sequence[str]) -> str | None:
    """The name of the program that is run, without its folder; None where that is no plain name, but perhaps a whole
    line of shell."""
    name = command[0].rpartition("/")[2] if command else ""
    return name if _PROGRAM.fullmatch(name) else None
