# SPDX-License-Identifier: Apache-2.0
"""The daemon under test, over its socket; plain standard library, so that the client costs next to nothing."""

from __future__ import annotations

import http.client
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

POLL_S = 0.005
PATIENCE_S = 120.0
KEPT_ALIVE_S = 30.0
"""The daemon closes a connection that was silent for longer than some such time."""


class SocketConnection(http.client.HTTPConnection):
    """HTTP with keep-alive over a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


class Daemon:
    """What ``NOTEBOOKD_SOCKET`` answers."""

    def __init__(self) -> None:
        self.socket = os.environ["NOTEBOOKD_SOCKET"]
        self._http = SocketConnection(self.socket)
        self._asked_at = time.monotonic()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer; anything from 400 on ends the bench."""
        content = self.raw(method, path, body)
        return json.loads(content) if content else None

    def raw(self, method: str, path: str, body: Any = None) -> bytes:
        data = json.dumps(body).encode() if body is not None else None
        if time.monotonic() - self._asked_at > KEPT_ALIVE_S:
            self._http.close()  # the next request opens it again
        self._asked_at = time.monotonic()
        self._http.request(method, path, data, {"Content-Type": "application/json"} if data else {})
        answer = self._http.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content.decode()}")
        return content

    def create(self, name: str, editor: str = "jupyterlab") -> str:
        """A notebook of one GPU; its id."""
        spec = {
            "name": name,
            "env": {"editorId": editor, "frameworkId": "conda"},
            "resources": {"gpu": 1},
        }
        notebook: str = self.call("POST", "/v1/notebook", spec)["id"]
        return notebook

    def state(self, notebook: str) -> str:
        state: str = self.call("GET", f"/v1/notebook/{notebook}")["status"]["state"]
        return state

    def await_running(self, notebook: str) -> None:
        """Poll until RUNNING is seen; any other end than that ends the bench."""
        deadline = time.monotonic() + PATIENCE_S
        while (state := self.state(notebook)) != "RUNNING":
            if state not in {"STARTING", "RUNNING"} or time.monotonic() > deadline:
                raise RuntimeError(
                    f"notebook {notebook} is {state}: {self.call('GET', f'/v1/notebook/{notebook}/why')}"
                )
            time.sleep(POLL_S)

    def count(self) -> int:
        total: int = self.call("GET", "/v1/notebook?size=1")["metadata"]["total"]
        return total

    def gpus(self) -> list[str]:
        return [gpu["uuid"] for gpu in self.call("GET", "/v1/gpu")["items"]]

    def delete_all(self) -> None:
        """Delete every notebook, and wait until nothing of them is left."""
        for item in self.call("GET", "/v1/notebook?size=1000")["items"]:
            self.call("DELETE", f"/v1/notebook/{item['id']}?force=true")
        deadline = time.monotonic() + PATIENCE_S
        while self.count():
            if time.monotonic() > deadline:
                raise RuntimeError("notebooks that were deleted are still there")
            time.sleep(0.02)

    @contextmanager
    def drained(self) -> Iterator[None]:
        """No GPU is given out: what is created stays in the queue."""
        uuids = self.gpus()
        for uuid in uuids:
            self.call("PUT", f"/v1/gpu/{uuid}/drain")
        try:
            yield
        finally:
            for uuid in uuids:
                self.call("PUT", f"/v1/gpu/{uuid}/undrain")


def service_pid(name: str) -> int:
    """The pid of a service of this run of quickstart."""
    return int((Path(os.environ["NOTEBOOKD_RUN"]) / f"{name}.pid").read_text().split()[0])
