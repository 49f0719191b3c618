# SPDX-License-Identifier: Apache-2.0
"""``notebookd-gateway``: the one process that listens on TCP."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import pwd
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import sdnotify

from notebookd.config import Config, load_config
from notebookd.errors import NotebookdError
from notebookd.gateway.activity import ActivityBook
from notebookd.gateway.app import Gateway, make_runner
from notebookd.gateway.listeners import BACKLOG, Sockets, listening
from notebookd.gateway.patience import Patience
from notebookd.gateway.peer import counted
from notebookd.gateway.sock_diag import Kernel
from notebookd.gateway.table import RouteTable
from notebookd.http_doors import Doorkeeper
from notebookd.log_lines import LineFormatter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["main", "running"]

DEFAULT_CONFIG: Final = Path("/etc/notebookd/notebookd.toml")

_log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; exit status 1 when it cannot even begin."""
    parser = argparse.ArgumentParser(prog="notebookd-gateway", description="Routes browsers to notebooks.")
    parser.add_argument("--config", type=Path, default=None, metavar="FILE", help=f"default: {DEFAULT_CONFIG}")
    arguments = parser.parse_args(argv)
    lines = logging.StreamHandler(sys.stderr)
    lines.setFormatter(LineFormatter("%(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[lines])
    os.umask(0o027)
    try:
        asyncio.run(_serve(load_config(arguments.config, catalogue=False)))
    except NotebookdError as error:
        hint = f"\n{error.hint}" if error.hint else ""
        sys.stderr.write(f"notebookd-gateway: {error.message}{hint}\n")
        return 1
    return 0


@asynccontextmanager
async def running(
    config: Config, sockets: Sockets, *, now: Callable[[], float], patience: Patience | None = None
) -> AsyncIterator[None]:
    """A gateway that serves on ``sockets`` for as long as the block lasts. ``now`` gives Unix seconds."""
    runtime = config.paths.runtime
    table = RouteTable(runtime / "routes")
    activity = ActivityBook(runtime / "activity", now=now, exists=lambda notebook: table.find(notebook) is not None)
    gateway = Gateway(
        domain=config.gateway.domain,
        editors=runtime / "editors",
        table=table,
        activity=activity,
        now=now,
        peer_of=Kernel(sockets.netlink, proxies=_uids(config.gateway.trusted_proxies)).peer_of,
        api=config.paths.bearers if config.gateway.api else None,
        scheme="https" if config.gateway.url.startswith("https:") else "http",
        patience=patience or Patience(),
    )
    runner = make_runner(gateway)
    activity.open()
    await runner.setup()
    assert runner.server is not None
    doorkeeper = Doorkeeper(
        server=runner.server,
        patience_s=gateway.patience.head_s,
        whose=lambda transport: counted(gateway.whose(transport)),
        most_each=gateway.patience.connections,
    )
    loop = asyncio.get_running_loop()
    doors = [await loop.create_server(doorkeeper, sock=one, backlog=BACKLOG) for one in sockets.ports]
    try:
        yield
    finally:
        for door in doors:
            door.close()
        doorkeeper.close()
        await runner.cleanup()
        activity.close()


def _uids(accounts: Sequence[str]) -> frozenset[int]:
    """The uids of accounts, by name or number. One that does not exist is nobody's, and said in the log."""
    found: set[int] = set()
    for account in accounts:
        try:
            found.add(int(account) if account.isdecimal() else pwd.getpwnam(account).pw_uid)
        except KeyError:
            _log.warning("gateway.trusted_proxies: there is no account %s", account)
    return frozenset(found)


async def _serve(config: Config) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stopped.set)
    notifier = sdnotify.SystemdNotifier()
    with listening(config.gateway.listen_host, config.gateway.listen_port) as sockets:
        # The gateway may not import adapters, and with them the clock: this is its one look at the wall clock.
        async with running(config, sockets, now=time.time):  # noqa: TID251
            addresses = ", ".join(f"{one.getsockname()[0]} port {one.getsockname()[1]}" for one in sockets.ports)
            _log.info("serving notebooks of *.%s on %s", config.gateway.domain, addresses)
            notifier.notify("READY=1")
            await stopped.wait()
            notifier.notify("STOPPING=1")


if __name__ == "__main__":
    sys.exit(main())
