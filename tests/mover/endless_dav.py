# SPDX-License-Identifier: Apache-2.0
"""A WebDAV server that never comes to an end: folders in themselves, a folder of ever more names, a file of ever more
bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SIZE = 10
WRITTEN = "Mon, 02 Jan 2023 15:04:05 GMT"
PIECE = b"x" * 65536


class Endless(Enum):
    """What of it has no end."""

    DEPTH = auto()
    """Each folder has a file and the folder ``again``, which is the same."""
    WIDTH = auto()
    """Each folder has a thousand files and two folders, down to a depth of twenty."""
    BODY = auto()
    """There is one file, ``x.txt``, of ten bytes as the server says; it sends as many as are taken."""


@contextmanager
def endless(kind: Endless) -> Iterator[int]:
    """Serve on the loopback; the port."""

    class Server(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_PROPFIND(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.rstrip("/")
            is_file = path.endswith(".txt")
            shown = [_entry(path, folder=not is_file)]
            if self.headers.get("Depth") == "1" and not is_file:
                shown += _within(kind, path)
            body = f'<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">{"".join(shown)}</D:multistatus>'.encode()
            self.send_response_only(207)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("Last-Modified", WRITTEN)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b"%x\r\n%s\r\n" % (len(PIECE), PIECE))

        def log_message(self, *_: object) -> None:
            pass

    class Listener(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Whoever has seen enough hangs up."""

    with Listener(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server.server_port
        finally:
            server.shutdown()


def _within(kind: Endless, path: str) -> list[str]:
    match kind:
        case Endless.DEPTH:
            return [_entry(f"{path}/x.txt", folder=False), _entry(f"{path}/again", folder=True)]
        case Endless.WIDTH:
            files = [_entry(f"{path}/{number}.txt", folder=False) for number in range(1000)]
            deeper = [_entry(f"{path}/{name}", folder=True) for name in "ab"]
            return files + (deeper if path.count("/") < 20 else [])
        case Endless.BODY:
            return [_entry(f"{path}/x.txt", folder=False)]


def _entry(path: str, *, folder: bool) -> str:
    kind = "<D:resourcetype><D:collection/></D:resourcetype>" if folder else "<D:resourcetype/>"
    size = "" if folder else f"<D:getcontentlength>{SIZE}</D:getcontentlength>"
    return (
        f"<D:response><D:href>{path}{'/' if folder else ''}</D:href><D:propstat><D:prop>{kind}{size}"
        f"<D:getlastmodified>{WRITTEN}</D:getlastmodified></D:prop><D:status>HTTP/1.1 200 OK</D:status>"
        "</D:propstat></D:response>"
    )
