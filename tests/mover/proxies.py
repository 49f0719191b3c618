# SPDX-License-Identifier: Apache-2.0
"""What stands between a mover and a remote, and fails."""

from __future__ import annotations

import http.client
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK = 16 * 1024
RESET = struct.pack("ii", 1, 0)


class Wire:
    """A TCP connection to ``port`` that can be cut: after so many bytes, or at once; and mended."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._left: int | None = None
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut_after(self, count: int) -> None:
        """Let that many bytes through, in both directions together, then reset everything."""
        self._left = count

    def mend(self) -> None:
        self._left = None

    def close(self) -> None:
        self._listener.close()
        self._cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                self._open.add(near)
                if self._left is not None and self._left <= 0:
                    self._cut()
                    continue
                far = socket.create_connection(("127.0.0.1", self._target))
                self._open.add(far)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=(source, sink), daemon=True).start()

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK):
                if self._left is not None:
                    self._left -= len(data)
                    if self._left <= 0:
                        self._cut()
                        return
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def _cut(self) -> None:
        while self._open:
            with suppress(OSError, KeyError):
                each = self._open.pop()
                each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)
                each.close()


Verdict = Callable[[str, str], tuple[int, bytes] | None]


@contextmanager
def judged(port: int, verdict: Verdict) -> Iterator[int]:
    """An HTTP proxy to ``port`` that answers itself where ``verdict(method, path)`` says what; its own port."""

    class Judge(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said = verdict(self.command, self.path)
            if said is None:
                link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                link.request(self.command, self.path, body, dict(self.headers))
                answer = link.getresponse()
                content, status = answer.read(), answer.status
                headers = {name: value for name, value in answer.getheaders() if name.lower() not in HOPS}
                link.close()
            else:
                (status, content), headers = said, {"Content-Type": "application/xml"}
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if self.command == "HEAD":
                self.send_header("Content-Length", headers.get("Content-Length", "0"))
            else:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

        do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = do_PROPFIND = do_MKCOL = do_MOVE = do_COPY = _serve  # noqa: N815

    with ThreadingHTTPServer(("127.0.0.1", 0), Judge) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


HOPS = {"content-length", "connection", "transfer-encoding", "keep-alive"}
