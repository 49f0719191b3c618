# SPDX-License-Identifier: Apache-2.0
"""A Git server on loopback: ``git http-backend`` behind Python's HTTP server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

REFUSED = "/private.git"
STUCK = "/stuck.git"
LFS = "/info/lfs/"
LARGE: dict[str, bytes] = {}
"""What Git LFS has, by the digest of it."""
MOVED = "/moved/"
"""Asks with a redirection to the same path at the root."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    root: Path
    over: Event

    def do_GET(self) -> None:
        path, _, query = self.path.partition("?")
        if path.startswith(REFUSED):
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="private"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if path.startswith(STUCK):
            self.over.wait()
            return
        if path.startswith(MOVED):
            self.send_response(301)
            self.send_header("Location", self.path.replace(MOVED, "/", 1))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if LFS in path:
            self._serve_lfs(path, body)
            return
        env = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        said = subprocess.run(["git", "http-backend"], input=body, env=env, capture_output=True, check=False).stdout
        head, _, content = said.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if line)
        self.send_response(int(headers.pop("Status", "200 OK").split()[0]))
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        with suppress(ConnectionError):  # whoever has enough goes away
            self.wfile.write(content)

    def _serve_lfs(self, path: str, body: bytes) -> None:
        """The part of Git LFS's protocol that a download takes."""
        if path.endswith("/objects/batch"):
            here = f"http://{self.headers['Host']}{path.removesuffix('batch')}"
            asked = json.loads(body)["objects"]
            objects = [{**each, "actions": {"download": {"href": here + each["oid"]}}} for each in asked]
            content = json.dumps({"transfer": "basic", "objects": objects}).encode()
        elif path.rpartition("/")[2] in LARGE:
            content = LARGE[path.rpartition("/")[2]]
        else:
            content = b"{}"
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.git-lfs+json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET  # noqa: N815  its parent's name for it

    def log_message(self, *_: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """A client that is cut off is what some tests are about."""


@contextmanager
def git_server(root: Path, address: str = "127.0.0.1") -> Iterator[str]:
    """Serve the bare repositories in ``root``; yields the URL of that folder."""
    handler = type("Handler", (_Handler,), {"root": root, "over": (over := Event())})
    with _Server((address, 0), handler) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        serving.start()
        try:
            yield f"http://{address}:{server.server_address[1]}"
        finally:
            over.set()
            server.shutdown()
            serving.join()


class Repository:
    """A repository of a test: a work tree with a bare one that is served."""

    def __init__(self, root: Path, name: str) -> None:
        self.tree = root / "trees" / name
        self.bare = root / "served" / f"{name}.git"
        self.tree.mkdir(parents=True)
        self.git("init", "-q", "-b", "trunk")
        subprocess.run(["git", "init", "-q", "--bare", "-b", "trunk", str(self.bare)], check=True)

    def git(self, *words: str, lines: str = "") -> str:
        """Run git in the work tree."""
        who = {
            f"GIT_{role}_{what}": "tests@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        # Debian's git-lfs sets its filter up for the whole machine; here nobody has it who did not ask for it.
        plain = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"}
        env = {"PATH": os.environ["PATH"], "HOME": str(self.tree), **plain, **who}
        command = ["git", *words]
        said = subprocess.run(command, cwd=self.tree, env=env, input=lines.encode(), check=True, capture_output=True)
        return said.stdout.decode().strip()

    def write(self, **files: str | None) -> None:
        """Write files, or with None remove them."""
        for name, content in files.items():
            if content is None:
                (self.tree / name).unlink()
            else:
                (self.tree / name).write_text(content)

    def publish(self, message: str = "a change", *words: str) -> str:
        """Commit all there is and push it; returns the commit."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message, *words)
        self.git("push", "-q", "-f", str(self.bare), "HEAD:trunk")
        return self.git("rev-parse", "HEAD")
