# SPDX-License-Identifier: Apache-2.0
"""Where data comes from in this tier: a real S3 server, a real Git server and a folder of the host, all on loopback but
for Git, whose movers have a network of their own."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.engine.live import open_folder, root
from tests.mover.git_server import Repository, git_server
from tests.mover.lab import Bucket

SECRET = "tell-nobody-of-this"


@dataclass(frozen=True, kw_only=True)
class Places:
    """The three of them; ``settings`` is the configuration that names them."""

    bucket: Bucket
    git_url: str
    code: Repository
    shared: Path
    rclone: Path
    settings: str


def own_address() -> str:
    """An address of this machine's that is not loopback: what a private network reaches it by."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # nothing is sent: it asks for the route
        address: str = probe.getsockname()[0]
        return address


@contextmanager
def places() -> Iterator[Places]:
    """Serve them for as long as the block lasts."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    try:
        with open_folder() as folder:
            code = Repository(folder, "code")
            code.write(**{"main.py": "print('from git')\n"})
            code.publish()
            with git_server(folder / "served", own_address()) as url:
                yield _lay_out(folder, Bucket(s3.get_host_and_port()[1]), code, url)
    finally:
        s3.stop()


def _lay_out(folder: Path, bucket: Bucket, code: Repository, url: str) -> Places:
    bucket.make("lab")
    shared, rclone = folder / "shared", folder / "rclone.conf"
    (shared / "sets").mkdir(parents=True)
    rclone.write_text(
        "[s3lab]\ntype = s3\nprovider = Other\naccess_key_id = AKIATEST\n"
        f"secret_access_key = {SECRET}\nendpoint = http://127.0.0.1:{bucket.port}\nregion = us-east-1\n"
        "force_path_style = true\n[wrong]\ntype = s3\nprovider = Other\n"
        "endpoint = http://127.0.0.1:9\naccess_key_id = A\nsecret_access_key = B\nregion = us-east-1\n"
    )
    for name in (shared, shared / "sets", rclone):
        root("chown", "notebookd:notebookd-svc", str(name))
    rclone.chmod(0o600)
    stores = [
        {"alias": "S3", "type": "rclone", "remote": "s3lab", "config": str(rclone), "read": ["*"], "write": ["*"]},
        {"alias": "GONE", "type": "rclone", "remote": "wrong", "config": str(rclone), "read": ["*"], "write": ["*"]},
        {"alias": "DIR", "type": "directory", "path": str(shared), "read": ["*"], "write": ["*"]},
    ]
    tables = [
        "[[datastore]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in each.items()) for each in stores
    ]
    settings = '[transfers]\ngit_schemes = ["https", "http"]\n[snapshots]\nat_stop = true\nkeep = 3\n' + "".join(tables)
    return Places(bucket=bucket, git_url=f"{url}/code.git", code=code, shared=shared, rclone=rclone, settings=settings)
