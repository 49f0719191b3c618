# SPDX-License-Identifier: Apache-2.0
"""A process of its own over a store. ``half PATH``: begins to write a transaction, and says so in the middle, where it
waits to be killed. ``whole PATH``: the same to its end. ``open PATH``: opens and closes."""

from __future__ import annotations

import asyncio
import sys
import threading
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
        if what == "half":
            await store._writes.create_function("halt", 0, halt)
            await store._writes.execute("CREATE TEMP TRIGGER halting BEFORE INSERT ON event BEGIN SELECT halt(); END")
        async with store.transaction() as tx:
            await tx.put_notebook(notebook())
            await tx.put_run(granted(run(RunState.PENDING)))
            await tx.append(Event(type="notebook.state", at=NOW))
        print("whole", flush=True)
        await asyncio.Event().wait()


def halt() -> None:
    """Tell, in the writer's thread and between two statements, and wait for ever."""
    print("half", flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
    except StoreUnavailable as fault:
        sys.exit(f"{fault.message} | {fault.hint}")
