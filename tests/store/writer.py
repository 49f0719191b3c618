# SPDX-License-Identifier: Apache-2.0
"""A process of its own over a store. ``half PATH``: decides a transaction, and says so before the commit, where it
waits to be killed. ``whole PATH``: the same to its end. ``many PATH``: forty tasks write at once, and each number that
is committed is said, until killed. ``count PATH``: 500 tasks write at once, once each. ``open PATH``: opens and
closes."""

from __future__ import annotations

import asyncio
import itertools
import sys
import threading
import time
from pathlib import Path

from notebookd.adapters.sqlite import SqliteStore
from notebookd.domain.event import Event
from notebookd.domain.run import RunState
from notebookd.errors import StoreUnavailable
from tests.values import NOW, granted, notebook, run


async def main(what: str, path: Path) -> None:
    async with SqliteStore.open(path, NOW, ballast_bytes=4096) as store:
        if what == "open":
            return
        if what in {"many", "count"}:
            tasks = 40 if what == "many" else 500
            await asyncio.gather(*(write(store, task, for_ever=what == "many") for task in range(tasks)))
            return
        if what == "half":
            store._writes._tx.put_nowait((None, halt))
        async with store.transaction() as tx:
            await tx.put_notebook(notebook())
            await tx.put_run(granted(run(RunState.PENDING)))
            await tx.append(Event(type="notebook.state", at=NOW))
        print("whole", flush=True)
        await asyncio.Event().wait()


async def write(store: SqliteStore, task: int, *, for_ever: bool) -> None:
    """Two facts at a time, which belong together; each third one fails after the first."""
    for number in itertools.count(1):
        try:
            async with store.transaction() as tx:
                await tx.put_meta(f"a{task}", str(number))
                if number % 3 == 0:
                    raise ZeroDivisionError  # noqa: TRY301 - the transaction has to see it
                await tx.put_meta(f"b{task}", str(number))
        except ZeroDivisionError:
            continue
        print(task, number, flush=True)
        if not for_ever:
            return


def halt() -> None:
    """Tell, in the writer's thread and before it commits, and wait for ever."""
    time.sleep(0.3)  # by then all is decided
    print("half", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
    except StoreUnavailable as fault:
        sys.exit(f"{fault.message} | {fault.hint}")
