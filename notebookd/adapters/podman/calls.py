# SPDX-License-Identifier: Apache-2.0
"""podman-py's calls, which block, in a few threads of their own.

A client (a requests session) is not shared between threads: each worker has its own, and keeps its connection.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import requests
from podman.api.client import APIClient, APIResponse
from podman.api.uds import UDSAdapter, UDSConnection, UDSConnectionPool, UDSSocket
from podman.errors import APIError

from notebookd.adapters.podman.translate import error_of, unavailable

T = TypeVar("T")
WORKERS = 16


class _Connection(UDSConnection):
    """podman-py's connection, which leaks its socket when nobody listens, without the leak."""

    def connect(self) -> None:
        sock = UDSSocket(self.uds)
        try:
            sock.settimeout(self.timeout)
            sock.connect()  # type: ignore[no-untyped-call]
        except BaseException:
            sock.close()
            raise
        self.sock = sock


class _Pool(UDSConnectionPool):
    ConnectionCls = _Connection


class Session:
    """One worker's client: libpod calls with the port's errors."""

    def __init__(self, socket: Path, timeout_s: float) -> None:
        self._client = APIClient(f"unix://{socket}", timeout=timeout_s)
        transport = self._client.get_adapter("http://")
        assert isinstance(transport, UDSAdapter)
        assert transport.poolmanager is not None
        transport.poolmanager.pool_classes_by_scheme = {"http": _Pool}

    def get(self, path: str, action: str, *, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer, None for 404."""
        answer = self._request("GET", path, action, params=params)
        return None if answer.status_code == requests.codes.not_found else _decoded(answer, action)

    def get_bytes(self, path: str, action: str, *, params: Mapping[str, Any]) -> bytes | None:
        """The answer as it came, None for 404."""
        answer = self._request("GET", path, action, params=params)
        if answer.status_code == requests.codes.not_found:
            return None
        if answer.status_code >= requests.codes.bad_request:
            _decoded(answer, action)
        return bytes(answer.content)

    def post(self, path: str, action: str, *, body: Any = None, params: Mapping[str, Any] | None = None) -> Any:
        """The decoded answer, None when it has no body. Raises the error that the answer's text names."""
        answer = self._request("POST", path, action, body=body, params=params)
        return _decoded(answer, action)

    def delete(self, path: str, action: str, *, params: Mapping[str, Any] | None = None) -> None:
        """Delete; raises the error that the answer's text names."""
        _decoded(self._request("DELETE", path, action, params=params), action)

    def close(self) -> None:
        """Close its connection."""
        self._client.close()

    def _request(
        self,
        method: str,
        path: str,
        action: str,
        *,
        body: Any = None,
        params: Mapping[str, Any] | None = None,
    ) -> APIResponse:
        data = body if body is None or isinstance(body, bytes) else json.dumps(body)
        options: dict[str, Any] = {"params": params}
        if data is not None:
            options |= {"data": data, "headers": {"Content-Type": "application/json"}}
        call = {"GET": self._client.get, "POST": self._client.post, "DELETE": self._client.delete}[method]
        try:
            return call(path, **options)
        except APIError as error:
            raise unavailable(action, error.__cause__ or error) from error
        except (requests.RequestException, OSError) as error:
            raise unavailable(action, error) from error


class Calls:
    """Runs functions of a :class:`Session` in the worker threads."""

    def __init__(self, socket: Path, *, timeout_s: float) -> None:
        self._socket = socket
        self.timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(max_workers=WORKERS, thread_name_prefix="podman")
        self._local = threading.local()
        self._sessions: list[Session] = []

    async def run(self, call: Callable[[Session], T]) -> T:
        """Call it with the worker's session. A cancelled caller does not wait; the call runs to its end or timeout."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: call(self._session()))

    async def pause(self, seconds: float) -> None:
        """Wait in a worker: for the engine to catch up with what it already did, never for longer than a second."""
        await asyncio.get_running_loop().run_in_executor(self._threads, time.sleep, seconds)

    async def aclose(self) -> None:
        """End the threads, after the calls in them."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        for session in self._sessions:
            session.close()

    def _session(self) -> Session:
        session: Session | None = getattr(self._local, "session", None)
        if session is None:
            session = self._local.session = Session(self._socket, self.timeout_s)
            self._sessions.append(session)
        return session


def _decoded(answer: APIResponse, action: str) -> Any:
    if answer.status_code < requests.codes.bad_request:
        try:
            return answer.json() if answer.content else None
        except ValueError as error:
            raise unavailable(action, f"its answer cannot be read: {error}") from error
    try:
        text = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        text = answer.text
    raise error_of(action, text)
