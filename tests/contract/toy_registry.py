# SPDX-License-Identifier: Apache-2.0
"""A registry on the loopback that has one image: as much of the OCI distribution protocol as a pull asks for."""

from __future__ import annotations

import gzip
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

_OCI = "application/vnd.oci.image"


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class _Registry(ThreadingHTTPServer):
    def __init__(self, layer: bytes) -> None:
        packed = gzip.compress(layer, mtime=0)
        rootfs = {"type": "layers", "diff_ids": [_digest(layer)]}
        config = json.dumps({"architecture": "amd64", "os": "linux", "config": {}, "rootfs": rootfs}).encode()
        self.manifest = json.dumps(
            {
                "schemaVersion": 2,
                "mediaType": f"{_OCI}.manifest.v1+json",
                "config": _described(f"{_OCI}.config.v1+json", config),
                "layers": [_described(f"{_OCI}.layer.v1.tar+gzip", packed)],
            }
        ).encode()
        self.blobs = {_digest(each): each for each in (config, packed)}
        super().__init__(("127.0.0.1", 0), _Asked)


def _described(kind: str, data: bytes) -> dict[str, str | int]:
    return {"mediaType": kind, "digest": _digest(data), "size": len(data)}


class _Asked(BaseHTTPRequestHandler):
    server: _Registry

    def do_GET(self) -> None:
        match self.path.split("/"):
            case ["", "v2", ""]:
                self._answer(b"{}", "application/json")
            case ["", "v2", "lab", "tiny", "manifests", "1"]:
                self._answer(self.server.manifest, f"{_OCI}.manifest.v1+json")
            case ["", "v2", "lab", "tiny", "blobs", digest] if digest in self.server.blobs:
                self._answer(self.server.blobs[digest], "application/octet-stream")
            case _:
                self.send_error(404)

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def toy_registry(layer: bytes) -> Iterator[str]:
    """Serve an image of that one layer; gives its name."""
    server = _Registry(layer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}/lab/tiny:1"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
