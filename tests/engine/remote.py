# SPDX-License-Identifier: Apache-2.0
"""A remote that rclone reaches, for notebooks' data: a WebDAV server of this machine."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engine.live import eventually, open_folder

ALIAS = "LAB"


@dataclass(frozen=True, slots=True)
class Remote:
    """What is served, and the configuration that makes a datastore of it."""

    files: Path
    config: Path


@contextmanager
def serve_remote() -> Iterator[Remote]:
    """Serve an empty folder while the block runs."""
    with open_folder() as folder:
        files = folder / "files"
        files.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        conf = folder / "rclone.conf"
        conf.write_text(f"[lab]\ntype = webdav\nurl = http://127.0.0.1:{port}\nvendor = other\n")
        config = folder / "notebookd.toml"
        config.write_text(
            f'[[datastore]]\nalias = "{ALIAS}"\ntype = "rclone"\nremote = "lab"\nconfig = "{conf}"\n'
            'read = ["*"]\nwrite = ["*"]\n[snapshots]\nat_stop = true\n'
        )
        command = ["rclone", "serve", "webdav", str(files), "--addr", f"127.0.0.1:{port}", "--config", "/dev/null"]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            eventually(lambda: _answers(port), lambda answers: answers, within_s=20, what="the remote")
            yield Remote(files, config)
        finally:
            server.terminate()
            server.wait(20)


def _answers(port: int) -> bool:
    with socket.socket() as there:
        return there.connect_ex(("127.0.0.1", port)) == 0
