# SPDX-License-Identifier: Apache-2.0
"""``python apart.py FOLDER``: a daemon in a process of its own, for those who load it from another one.

Real are the API, the services, the reconciler, SQLite with its syncs and the routes; machine and engine are in memory.
It serves on FOLDER/api.sock, says READY, and ends at the end of its input. Run as a script, it takes notebookd and this
package from the working directory's checkout, so that two versions can be loaded in turn.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path.cwd())

from aiohttp import web

from notebookd.adapters.clock import SystemClock
from notebookd.api.app import make_app
from notebookd.api.call import Services
from notebookd.api.peers import PeerPolicy
from tests.bench import scale


async def _main(folder: Path) -> None:
    far = SystemClock().now() + timedelta(days=7)
    crowd = await scale.make_crowd(folder, notebooks=0, running=0, deadline=lambda _: far)
    async with scale.serving(crowd) as (_, assembly, _), serve(assembly.services, folder / "api.sock"):
        print("READY", flush=True)
        await asyncio.to_thread(sys.stdin.read)


@asynccontextmanager
async def serve(services: Services, path: Path) -> AsyncIterator[str]:
    """The API on a Unix socket, for the account that runs this."""
    policy = PeerPolicy(member_group="root", admin_group="root", nobodies=frozenset())
    runner = web.AppRunner(make_app(services, policy), access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.UnixSite(runner, str(path), backlog=1024).start()
    try:
        yield str(path)
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(_main(Path(sys.argv[1])))
