# SPDX-License-Identifier: Apache-2.0
"""A house that is served from a thread of its own, and a session of requests on its socket, for clients that block."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection
from urllib3.connectionpool import HTTPConnectionPool

from notebookd.testing.house import World
from tests.api.caller import SPEC, Api, open_api

PATIENCE_S = 60
BASE_URL = "http://localhost"


class _Connection(HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(PATIENCE_S)
        self.sock.connect(str(self._path))


class _Pool(HTTPConnectionPool):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost")
        self._path = path

    def _new_conn(self) -> Any:
        return _Connection(self._path)


class SocketAdapter(HTTPAdapter):
    """Sends everything to a Unix socket, whatever the URL's host."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._pool = _Pool(path)

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        return self._pool

    def close(self) -> None:
        self._pool.close()


@dataclass(slots=True)
class Tally:
    """Cases that were tried, by operation and by the status that was answered."""

    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)

    def count(self, operation: str, status: int) -> None:
        """One more."""
        self.statuses[operation, status] += 1

    @property
    def cases(self) -> int:
        """How many."""
        return self.statuses.total()

    @property
    def operations(self) -> int:
        """Of how many operations."""
        return len({operation for operation, _ in self.statuses})

    def line(self) -> str:
        """For people."""
        by_class = Counter({f"{each}xx": 0 for each in (2, 4, 5)})
        for (_, status), count in self.statuses.items():
            by_class[f"{status // 100}xx"] += count
        answers = ", ".join(f"{count} x {kind}" for kind, count in sorted(by_class.items()))
        return f"{self.cases} cases over {self.operations} operations: {answers}"


@dataclass(slots=True)
class Served:
    """A house behind a socket, and somebody who asks."""

    api: Api
    session: requests.Session
    operation: str = ""
    notebooks: list[str] = field(default_factory=list)
    gpus: list[str] = field(default_factory=list)

    def begin(self, operation: str) -> None:
        """Tidy up before an operation that is another than the last."""
        if operation != self.operation:
            self.operation = operation
            self.tidy()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """What it answers; a refusal is a failure."""
        answer = self.session.request(method, BASE_URL + path, json=body)
        assert answer.status_code < 400, f"{method} {path}: {answer.text}"
        return answer.json() if answer.content else None

    def tidy(self) -> None:
        """Few notebooks: one that runs, one that waits, one that was stopped; and no GPU out of use."""
        self.gpus = [gpu["uuid"] for gpu in self.ask("GET", "/v1/gpu")["items"]]
        for uuid in self.gpus:
            self.ask("PUT", f"/v1/gpu/{uuid}/undrain")
        for each in self.ask("GET", "/v1/notebook?size=1000")["items"]:
            self.session.delete(f"{BASE_URL}/v1/notebook/{each['id']}?force=true")  # it may be on its way already
        while self.ask("GET", "/v1/notebook?size=1")["metadata"]["total"]:
            pass
        made = [self.ask("POST", "/v1/notebook", SPEC | more)["id"] for more in ({}, {"resources": {"gpu": 2}}, {})]
        self.ask("PUT", f"/v1/notebook/{made[2]}/stop")
        self.notebooks = made


@contextlib.contextmanager
def served(world: World, folder: Path) -> Iterator[Served]:
    """Open the house and serve it while the block runs."""
    ready: Future[tuple[Api, asyncio.Event, asyncio.AbstractEventLoop]] = Future()

    async def keep_open() -> None:
        try:
            async with open_api(world, folder / "api.sock", None) as api:
                done = asyncio.Event()
                ready.set_result((api, done, asyncio.get_running_loop()))
                await done.wait()
        except BaseException as fault:
            if not ready.done():
                ready.set_exception(fault)
            raise

    thread = threading.Thread(target=lambda: asyncio.run(keep_open()), name="house")
    thread.start()
    api, done, loop = ready.result(PATIENCE_S)
    try:
        with requests.Session() as session:
            session.mount("http://", SocketAdapter(api.socket))
            yield Served(api, session)
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(PATIENCE_S)
