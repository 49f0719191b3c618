# SPDX-License-Identifier: Apache-2.0
"""A server on a Unix socket that answers what a test told it to, and remembers what it was asked.

It is not notebookd: no rule is in it. It serves the tests of the client and the CLI, which are about what is sent and
what is made of an answer.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that came in."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(kw_only=True)
class Toy:
    """Canned answers by ``"METHOD /path"``. A list is worked off, its last answer stays; a callable is called."""

    path: str
    answers: dict = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def on(self, route, body=b"", status=200):
        """Answer a route so."""
        self.answers[route] = [(status, body)]

    def then(self, route, body=b"", status=200):
        """Answer a route so the next time."""
        self.answers.setdefault(route, []).append((status, body))

    def sent(self, route):
        """The requests that came to a route."""
        return [asked for asked in self.asked if f"{asked.method} {asked.path}" == route]


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    request_queue_size = 64
    toy: Toy


class _Answerer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _answer(self):
        parts = urlsplit(self.path)
        asked = Asked(
            method=self.command,
            path=parts.path,
            query=parse_qs(parts.query),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self._body(),
        )
        toy = self.server.toy
        toy.asked.append(asked)
        canned = toy.answers.get(f"{asked.method} {asked.path}")
        if canned is None:
            body = {"message": f"no route {asked.method} {asked.path}", "code": "not-found"}
            status, body = 404, json.dumps(body).encode()
        else:
            status, body = canned.pop(0) if len(canned) > 1 else canned[0]
        if isinstance(body, list):
            self._stream(status, body)
            return
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 204:
            self.wfile.write(body)

    def _body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _stream(self, status, lines):
        self.send_response(status)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            data = json.dumps(line).encode() + b"\n"
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")

    do_GET = do_PUT = do_POST = do_DELETE = _answer  # noqa: N815 - the names that http.server looks for

    def address_string(self):
        return "unix"

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def toy_server(folder: Path) -> Iterator[Toy]:
    """A toy on a socket in that folder, for the length of a ``with``."""
    path = str(folder / "api.sock")
    with _Server(path, _Answerer) as server:
        server.toy = Toy(path=path)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.toy
        finally:
            server.shutdown()
            thread.join()
