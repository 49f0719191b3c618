# SPDX-License-Identifier: Apache-2.0
"""A directory service that is slow and knows accounts of any name, and a real daemon before it."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.loops import logged

HERE = Path(__file__).parent
LIBRARY = "libnss-preload.so"
ROOT = HERE.parents[1]
WATCHDOG_S = 2.0

_CALL = """
import http.client, json, socket, sys
class Local(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect(sys.argv[1])
there = Local("localhost")
there.request(sys.argv[2], sys.argv[3], sys.argv[4] or None, json.loads(sys.argv[5]))
answer = there.getresponse()
print(json.dumps([answer.status, answer.read().decode()]))
"""


def build(into: Path) -> Path:
    """The library, to be preloaded."""
    into.mkdir(parents=True, exist_ok=True)
    subprocess.run(["flock", into, "make", "--silent", "-C", HERE, f"INTO={into}"], check=True, timeout=60)
    return into / LIBRARY


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """An answer, and the seconds that it took."""

    status: int
    body: Any
    took_s: float


@dataclass(slots=True, kw_only=True)
class Daemon:
    """A daemon with this directory service. ``world`` is read at every lookup."""

    folder: Path
    process: asyncio.subprocess.Process
    notices: socket.socket
    pings: list[float] = field(default_factory=list)

    @property
    def api(self) -> Path:
        """The socket of the API."""
        return self.folder / "api.sock"

    def says(self, *lines: str | bytes) -> None:
        """What the directory service is like from now on; see nss.c."""
        write_world(self.folder / "world", *lines)

    def looked_up_by_the_loop(self) -> list[str]:
        """What the daemon's first thread, which its event loop runs in, has looked up."""
        told = self.folder / "world.main"
        return told.read_text(errors="replace").splitlines() if told.exists() else []

    async def ask(
        self,
        uid: int,
        method: str = "GET",
        path: str = "/v1/me",
        body: Any = None,
        *,
        gids: Sequence[int] = (),
        **headers: str,
    ) -> Said:
        """Ask as that uid in those groups."""
        begun = time.monotonic()
        words = (str(self.api), method, path, "" if body is None else json.dumps(body), json.dumps(headers))
        there = await asyncio.create_subprocess_exec(
            "/usr/bin/python3", "-I", "-c", _CALL, *words, stdout=-1, stderr=-1,
            user=uid, group=gids[0] if gids else uid, extra_groups=[*gids], cwd="/",
        )  # fmt: skip
        said, fault = await there.communicate()
        assert said, fault.decode()
        status, text = json.loads(said)
        return Said(status=status, body=json.loads(text) if text else None, took_s=time.monotonic() - begun)

    def blocks(self) -> list[tuple[int, str]]:
        """What held the event loop up since it was ready, see :func:`~tests.loops.logged`."""
        return logged((self.folder / "log").read_text())

    async def listen(self) -> None:
        """Note when it says that it is alive."""
        while True:
            word = await asyncio.get_running_loop().sock_recv(self.notices, 4096)
            if word.startswith(b"WATCHDOG=1"):
                self.pings.append(time.monotonic())

    def longest_silence_s(self) -> float:
        """The longest time between two signs of life."""
        at = [*self.pings, time.monotonic()]
        return max(after - before for before, after in itertools.pairwise(at))


def write_world(path: Path, *lines: str | bytes) -> None:
    """Replace the file, whole."""
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
    new.replace(path)


@asynccontextmanager
async def open_daemon(folder: Path, library: Path, config: str, *world: str | bytes) -> AsyncIterator[Daemon]:
    """A real daemon, without an engine, on simulated GPUs; open to everybody by its socket."""
    folder.chmod(0o711)
    (folder / "notebookd.toml").write_text(
        f'[paths]\nstate = "{folder}/state"\nruntime = "{folder}/run"\n'
        f'[engine]\nsocket = "{folder}/no-engine.sock"\n'
        f'[gpus]\ndriver = "simulated"\n{config}'
    )
    write_world(folder / "world", *world)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        notices.bind(str(folder / "notify"))
        notices.setblocking(False)
        told = {
            "LD_PRELOAD": str(library),
            "NSS_WORLD": str(folder / "world"),
            "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": str(int(WATCHDOG_S * 1e6)),
            "NOTEBOOKD_LOOP_WATCH": "20",
        }
        with (folder / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "notebookd.daemon", "--config", str(folder / "notebookd.toml"),
                cwd=ROOT, env={**os.environ, **told}, stdout=log, stderr=log,
            )  # fmt: skip
        daemon = Daemon(folder=folder, process=process, notices=notices)
        try:
            async with asyncio.timeout(60):
                while b"READY=1" not in await asyncio.get_running_loop().sock_recv(notices, 4096):
                    continue
            (folder / "world.main").unlink(missing_ok=True)
            (folder / "api.sock").chmod(0o666)
            async with asyncio.TaskGroup() as tasks:
                listening = tasks.create_task(daemon.listen())
                yield daemon
                listening.cancel()
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()
