# SPDX-License-Identifier: Apache-2.0
"""Real movers on a real engine, with a WebDAV server beside them."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from notebookd.adapters.clock import SystemClock
from notebookd.adapters.movers import ContainerMovers
from notebookd.adapters.movers.movers import NAME, PROGRAM_FOLDER
from notebookd.adapters.podman import PodmanEngine
from notebookd.config import Config, parse_config
from notebookd.domain.ids import NotebookId
from notebookd.domain.syncing import Report
from notebookd.domain.volumes import parse_volume
from notebookd.ports.engine import Container, ContainerSpec, Engine
from notebookd.ports.movers import Movers, Pull, Work

PATIENCE_S = 60.0
SLOW_BYTES = 8 * 1024 * 1024


def read_files(folder: Path) -> dict[str, bytes]:
    """All files below a folder, by path."""
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files below a folder."""
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)


class Owned:
    """An engine that is handed nothing but what is its account's: a daemon that runs as root in a test makes folders
    as root."""

    def __init__(self, engine: PodmanEngine, folder: Path, account: os.stat_result) -> None:
        self._engine = engine
        self._folder = folder
        self._account = account

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def create(self, spec: ContainerSpec) -> Container:
        own(self._folder, self._account)
        return await self._engine.create(spec)


def own(folder: Path, account: os.stat_result) -> None:
    for each in (folder, *folder.rglob("*")):
        if each.lstat().st_uid != account.st_uid:
            os.chown(each, account.st_uid, account.st_gid, follow_symlinks=False)


class RealWorld:
    """Movers in containers; ``team@lab`` is a folder behind ``rclone serve webdav``."""

    def __init__(self, folder: Path, socket: Path, engines: tuple[PodmanEngine, PodmanEngine]) -> None:
        self._served, self._account = folder / "served", socket.stat()
        state = folder / "state"
        stores = [{"alias": "lab", "type": "rclone", "remote": "dav", "config": str(folder / "rclone.conf")}]
        paths = {"state": str(state), "runtime": str(folder / "run")}
        self.config = parse_config({"paths": paths, "datastore": stores}, source=None)
        state.mkdir()
        program = folder / "mover"  # the checkout may lie where the account cannot enter
        shutil.copytree(PROGRAM_FOLDER, program, ignore=shutil.ignore_patterns("__pycache__"))
        program.chmod(0o755)
        self.engine, nowhere = engines
        self._owned: Any = Owned(self.engine, state, self._account)
        self._program = program
        self.movers: Movers = self._movers(self.config)
        self.nowhere: Movers = ContainerMovers(nowhere, self.config, SystemClock(), program=program)

    def _movers(self, config: Config) -> ContainerMovers:
        engine: Engine = self._owned
        return ContainerMovers(engine, config, SystemClock(), program=self._program)

    def put(self, files: dict[str, bytes]) -> None:
        write_files(self._served / "team", files)

    def there(self) -> dict[str, bytes]:
        return read_files(self._served / "team")

    def write(self, folder: Path, files: dict[str, bytes]) -> None:
        write_files(folder, files)
        own(folder, self._account)

    async def launch_slow(self, mover_id: str, notebook_id: NotebookId) -> Work:
        self.put({"big": bytes(SLOW_BYTES)})
        slowly = replace(self.config.transfers, bandwidth_bytes_s=16 * 1024)
        work = Pull(notebook_id=notebook_id, volume_id="slow", volume=parse_volume("team@lab:/data"))
        await self._movers(replace(self.config, transfers=slowly)).launch(mover_id, work, owner="alice")
        said = self.config.paths.movers / mover_id / "job" / "progress.json"
        async with asyncio.timeout(PATIENCE_S):
            while not said.exists():
                await asyncio.sleep(0.02)
        return work

    async def kill(self, mover_id: str) -> None:
        container = await self.engine.find(NAME + mover_id)
        assert container is not None
        assert container.pid is not None
        os.kill(container.pid, 9)
        async with asyncio.timeout(PATIENCE_S):
            while (found := await self.engine.find(NAME + mover_id)) and found.pid is not None:
                await asyncio.sleep(0.02)

    async def over(self, mover_id: str) -> Report | None:
        async with asyncio.timeout(PATIENCE_S):
            while (report := await self.movers.look(mover_id)) is not None and not report.over:
                await asyncio.sleep(0.03)
        return report

    async def clean(self) -> None:
        for container in await self.engine.list_containers():
            await self.engine.remove(container.name)


@contextmanager
def webdav(folder: Path) -> Iterator[str]:
    """A WebDAV server over a folder; its URL."""
    server = subprocess.Popen(
        ["rclone", "serve", "webdav", "--dir-cache-time", "0", "--addr", "127.0.0.1:0", str(folder)],
        stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "RCLONE_CONFIG": "/dev/null"},
    )
    assert server.stderr is not None
    try:
        for line in server.stderr:
            if b"http://" in line:
                yield line[line.index(b"http://") :].split()[0].decode()
                break
        else:
            raise AssertionError("rclone serves nothing")
    finally:
        server.terminate()
        server.wait(10)
        server.stderr.close()


@asynccontextmanager
async def real_world(socket: Path) -> AsyncIterator[RealWorld]:
    folder = Path(tempfile.mkdtemp(prefix="notebookd-test-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        (folder / "served" / "team").mkdir(parents=True)
        with webdav(folder / "served") as url:
            text = (
                f"[dav]\ntype = webdav\nurl = {url}\nvendor = other\n\n[other]\ntype = s3\nsecret_access_key = hidden\n"
            )
            (folder / "rclone.conf").write_text(text)
            instance, profile = f"movers-{uuid.uuid4().hex[:8]}", folder / "seccomp.json"
            async with (
                PodmanEngine.open(socket, instance, profile=profile) as engine,
                PodmanEngine.open(Path("/nonexistent/engine.sock"), instance, profile=profile) as nowhere,
            ):
                world = RealWorld(folder, socket, (engine, nowhere))
                try:
                    yield world
                finally:
                    await world.clean()
    finally:
        shutil.rmtree(folder)
