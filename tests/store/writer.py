# SPDX-License-Identifier: Apache-2.0
"""A process of its own over a store. ``half PATH``: opens a transaction, writes, says so and waits to be killed.
``whole PATH``: the same and commits. ``open PATH``: opens and closes."""

from __future__ import annotations

import asyncio
import sys
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
        async with store.transaction() as tx:
            await tx.put_notebook(notebook())
            await tx.put_run(granted(run(RunState.PENDING)))
            await tx.append(Event(type="notebook.state", at=NOW))
            if what == "half":
                await said("half")
        await said("whole")


async def said(word: str) -> None:
    """Tell, and wait for ever."""
    print(word, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
    except StoreUnavailable as fault:
        sys.exit(f"{fault.message} | {fault.hint}")
