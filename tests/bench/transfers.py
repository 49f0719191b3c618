# SPDX-License-Identifier: Apache-2.0
"""Data coming in, beside rclone by hand with the same flags, from the same server on loopback (rclone serve).

What a mover does beyond rclone is a listing, notes, and a rename for each file. One large file comes by WebDAV, which
is the quickest and so shows most of that; many small ones by SFTP, since of WebDAV rclone asks for 100 files a second
at most, whoever runs it.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from notebookd.mover.rclone import CARRYING
from tests.bench.control import scratch
from tests.bench.figures import Figure, ratio

PROGRAM = Path(__file__).parents[2] / "notebookd" / "mover" / "__main__.py"
CLEAN = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "TZ": "UTC"}
BIG_BYTES = 1024**3
SMALL_FILES, SMALL_BYTES = 10_000, 4096
LEAST = 0.9


def measure_transfers() -> list[Figure]:
    """A file of 1 GiB, and ten thousand of 4 KiB. Rounds take turns, so that both see the same machine."""
    with scratch() as root:
        _fill(root / "served")
        (root / "secrets").mkdir()
        with _served("webdav", root) as port:
            _configure(root, f"type = webdav\nurl = http://127.0.0.1:{port}\nvendor = other")
            large = _beside(root, "big", "1 GiB in one file, WebDAV", BIG_BYTES, rounds=9)
        with _served("sftp", root, "--user=u", "--pass=p") as port:
            hidden = _said("rclone", "obscure", "p")
            _configure(root, f"type = sftp\nhost = 127.0.0.1\nport = {port}\nuser = u\npass = {hidden}")
            name = f"{SMALL_FILES:,} files of 4 KiB, SFTP"
            return [*large, *_beside(root, "small", name, SMALL_FILES * SMALL_BYTES, rounds=5)]


def _configure(root: Path, section: str) -> None:
    (root / "secrets" / "rclone.conf").write_text(f"[there]\n{section}\n")


def _said(*command: str) -> str:
    return subprocess.run(command, env=CLEAN, check=True, capture_output=True, text=True).stdout.strip()


def _fill(served: Path) -> None:
    (served / "big").mkdir(parents=True)
    with (served / "big" / "one").open("wb") as file:
        for _ in range(BIG_BYTES // 1024**2):
            file.write(os.urandom(1024**2))
    for number in range(SMALL_FILES):
        path = served / "small" / f"d{number % 100}" / f"f{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(SMALL_BYTES))


@contextmanager
def _served(how: str, root: Path, *options: str) -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    words = ["rclone", "serve", how, f"--addr=127.0.0.1:{port}", "--config=/dev/null", *options, f"{root}/served"]
    server = subprocess.Popen(words, env=CLEAN | {"HOME": str(root)}, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def _beside(root: Path, path: str, name: str, size: int, *, rounds: int) -> list[Figure]:
    plain, mover = [], []
    for _ in range(rounds):
        plain.append(size / _plain_s(root, path) / 1e6)
        mover.append(size / _mover_s(root, path) / 1e6)
    pull = Figure(name=f"pull: {name}", values=tuple(mover), unit="MB/s", digits=1)
    copy = Figure(name=f"rclone copy: {name}", values=tuple(plain), unit="MB/s", digits=1)
    return [copy, pull, ratio("  pull, of rclone", pull, copy, target=LEAST, at_least=True)]


def _plain_s(root: Path, path: str) -> float:
    into = _empty(root / "by-hand")
    config = f"--config={root}/secrets/rclone.conf"
    return _taken_s(["rclone", "copy", config, "--use-server-modtime", *CARRYING, f"there:{path}", str(into)])


def _mover_s(root: Path, path: str) -> float:
    places = {name: _empty(root / name) for name in ("job", "volume", "scratch")} | {"secrets": root / "secrets"}
    (places["job"] / "job.json").write_text(json.dumps({"task": "pull", "remote": "there", "path": path}))
    return _taken_s([sys.executable, "-I", str(PROGRAM), *(f"{name}={place}" for name, place in places.items())])


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    os.sync()  # what the round before left to write is not this one's
    return folder


def _taken_s(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, env=CLEAN, check=True, capture_output=True)
    return time.perf_counter() - begun
