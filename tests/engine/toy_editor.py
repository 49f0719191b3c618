# SPDX-License-Identifier: Apache-2.0
"""An editor of a few lines that misbehaves on demand: it serves HTTP where an editor does, then does its deed.

The variable ``DEED`` names it: ``serve`` (nothing more), ``exit N`` soon after the first answer, ``mute`` (never
listen), ``link PATH`` (never listen, but leave a link to PATH in the socket's place). It runs in a container, whole, as
the text behind ``python3 -c``.
"""

from __future__ import annotations

import http.server
import os
import signal
import socketserver
import sys
import threading
import time
from pathlib import Path
from typing import Any

SOCKET = "/run/editor/editor.sock"
PAUSE_S = 0.3

answered = threading.Event()


class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        # Before the answer: whoever asked may hang up as soon as the status line is there.
        answered.set()
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"toy")

    def log_message(
        self,
        format: str,  # noqa: A002 - the base class's word
        *arguments: Any,
    ) -> None:
        print(format % arguments, flush=True)


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


def main() -> None:
    deed, _, argument = os.environ.get("DEED", "serve").partition(" ")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if deed == "link":
        Path(SOCKET).symlink_to(argument)
    if deed in {"link", "mute"}:
        signal.pause()
    Path(SOCKET).unlink(missing_ok=True)  # of the time before a restart
    server = Server(SOCKET, Answer)
    Path(SOCKET).chmod(0o660)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    if deed == "exit":
        answered.wait()
        time.sleep(PAUSE_S)
        os._exit(int(argument))
    signal.pause()


if __name__ == "__main__":
    main()
