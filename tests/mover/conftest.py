# SPDX-License-Identifier: Apache-2.0
"""Real remotes on loopback, one of each for the whole session: S3 (moto's server), WebDAV and SFTP (rclone serve)."""

from __future__ import annotations

import itertools
import logging
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mover.lab import CLEAN, Bucket, Folder, Lab

MakeLab = Callable[..., Lab]
PATIENCE_S = 10.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if shutil.which("rclone") is None:
        for item in items:
            if Path(__file__).parent in item.path.parents and "lab" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason="rclone is not installed"))


@dataclass(frozen=True)
class Remotes:
    """The configuration of all of them, and the folder behind those that have one."""

    config: str
    s3_port: int
    dav_port: int
    folders: dict[str, Path]


@pytest.fixture(scope="session")
def remotes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Remotes]:
    from moto.server import ThreadedMotoServer

    root = tmp_path_factory.mktemp("remotes")
    folders = {name: root / name for name in ("dav", "sftp", "disk")}
    for folder in folders.values():
        folder.mkdir()
    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    s3.start()
    s3_port = s3.get_host_and_port()[1]
    dav, dav_port = _serve("webdav", folders["dav"])
    sftp, sftp_port = _serve("sftp", folders["sftp"])
    obscured = subprocess.run(["rclone", "obscure", "right"], env=CLEAN, capture_output=True, text=True, check=True)
    word = obscured.stdout.strip()
    config = f"""
[s3]
type = s3
provider = Other
access_key_id = AKIATEST
secret_access_key = tell-nobody
endpoint = http://127.0.0.1:{s3_port}
region = us-east-1
force_path_style = true
[dav]
type = webdav
url = http://127.0.0.1:{dav_port}
vendor = other
user = u
pass = {word}
[sftp]
type = sftp
host = 127.0.0.1
port = {sftp_port}
user = u
pass = {word}
[disk]
type = alias
remote = {folders["disk"]}
"""
    try:
        yield Remotes(config, s3_port, dav_port, folders)
    finally:
        s3.stop()
        for server in (dav, sftp):
            server.terminate()
            server.wait(PATIENCE_S)


def _serve(kind: str, folder: Path) -> tuple[subprocess.Popen[bytes], int]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    words = ["rclone", "serve", kind, "--addr", f"127.0.0.1:{port}", "--user", "u", "--pass", "right"]
    words += ["--vfs-cache-mode=off", "--dir-cache-time=0", "--config=/dev/null", str(folder)]
    server = subprocess.Popen(words, env=CLEAN | {"HOME": str(folder.parent)}, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return server, port
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"rclone serve {kind} does not answer")


_number = itertools.count()


@pytest.fixture
def make_lab(remotes: Remotes, tmp_path: Path) -> MakeLab:
    """A lab at one of the remotes, in a container of its own."""

    def make(remote: str, *, config: str = "", path: str = "", names: str = "volume") -> Lab:
        container = f"box{next(_number)}"
        behind = Bucket(remotes.s3_port) if remote == "s3" else Folder(remotes.folders[remote])
        lab = Lab(tmp_path, config or remotes.config, remote, path or f"{container}/pre fix", behind, names)
        lab.behind.make(container)
        return lab

    return make


@pytest.fixture
def lab(make_lab: MakeLab) -> Lab:
    """A lab at S3."""
    return make_lab("s3")


@pytest.fixture
def disk_lab(make_lab: MakeLab) -> Lab:
    """A lab at a remote that shows files before all of them is there, and is quick."""
    return make_lab("disk")


@pytest.fixture(params=["s3", "dav", "sftp", "disk"])
def any_lab(request: pytest.FixtureRequest, make_lab: MakeLab) -> Lab:
    """A lab at each of the remotes."""
    return make_lab(request.param)
