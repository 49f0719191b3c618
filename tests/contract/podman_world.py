# SPDX-License-Identifier: Apache-2.0
"""A real Podman with a tiny image, for tests of the engine.

It is at the socket that ``NOTEBOOKD_ENGINE`` names. The image is made of Debian's static busybox and comes in through
the API, so that no registry is needed. Tests run as root or as the engine's account: they signal its processes.
"""

from __future__ import annotations

import asyncio
import io
import os
import shutil
import signal
import tarfile
import tempfile
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from podman.api.client import APIClient

from notebookd import nofollow
from notebookd.adapters.podman import PodmanEngine
from notebookd.adapters.podman.liveness import Liveness
from notebookd.ports.engine import ContainerSpec, Engine, Mount

IMAGE = "localhost/notebookd-test/busybox:1"
ABSENT_DEVICE = "notebookd.test/gpu=absent"
APPLETS = "sh cat cp date df echo env false grep head id kill ls mkdir nc printf ps rm sleep stty tail tr true wc wget"
PATIENCE_S = 20.0


async def eventually(look: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> Any:
    """Look until it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not wanted(seen := await look()):
            await asyncio.sleep(0.02)
    return seen


def new_spec(instance: str, command: tuple[str, ...], changes: dict[str, Any]) -> ContainerSpec:
    run = str(uuid.uuid4())
    labels = {"io.notebookd.instance": instance, "io.notebookd.notebook": "nb", "io.notebookd.run": run}
    values: dict[str, Any] = {
        "name": f"notebookd-{run}",
        "image": IMAGE,
        "command": command,
        "env": {"HOME": "/workspace", "COLOUR": "teal"},
        "labels": labels,
        "mounts": (),
    }
    return ContainerSpec(**(values | changes))


class PodmanWorld:
    """A real engine; every test gets an instance of its own and leaves nothing."""

    def __init__(
        self, socket: Path, profile: Path, engine: PodmanEngine, stranger: PodmanEngine, nowhere: PodmanEngine
    ) -> None:
        self.socket = socket
        self.instance = engine.instance
        self.engine: Engine = engine
        self.stranger: Engine = stranger
        self.nowhere: Engine = nowhere
        self.client = APIClient(f"unix://{socket}", timeout=60)
        self.profile = profile
        self.folders: Path | None = None

    def spec(self, *command: str, **changes: Any) -> ContainerSpec:
        return new_spec(self.instance, command, changes)

    async def elapse(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def inspect(self, name: str) -> dict[str, Any]:
        return self.client.get(f"/containers/{name}/json").json()

    async def kill_conmon(self, name: str, *, process_too: bool) -> None:
        state = self.inspect(name)["State"]
        os.kill(state["ConmonPid"], signal.SIGKILL)
        await wait_gone(state["ConmonPid"])
        if process_too:
            os.kill(state["Pid"], signal.SIGKILL)
            await wait_gone(state["Pid"])

    async def cleared(self, container_id: str) -> None:
        """Until nobody attends to an earlier run of the container, which would undo what is done with it meanwhile."""

        async def attended() -> bool:
            return Liveness().attended(container_id, by=self.socket.stat().st_uid)

        await eventually(attended, lambda there: not there)

    async def lose_mark(self) -> None:
        self.client.delete(f"/volumes/notebookd-{self.instance}")

    async def clean_containers(self) -> None:
        for engine in (self.engine, self.stranger):
            for container in await engine.list_containers():
                await engine.remove(container.name)

    def make_folder(self, *names: str) -> Path:
        """A folder of the account's; what of its way is not there is made, too."""
        if self.folders is None:
            self.folders = Path(tempfile.mkdtemp(prefix="notebookd-test-", dir="/var/tmp"))
            self.folders.chmod(0o755)
        account, made = self.socket.stat(), self.folders
        for name in names:
            made /= name
            if not made.exists():
                made.mkdir()
                os.chown(made, account.st_uid, account.st_gid)
        return made

    def folder(self, target: str) -> Mount:
        source = self.make_folder("data", target.strip("/").replace("/", "-"))
        return Mount(source=str(source), target=target, identity=nofollow.identity_of(source))

    def swap(self, mount: Mount) -> None:
        source, secret = Path(mount.source), self.make_folder("secret")
        source.rename(source.with_suffix(".away"))
        source.symlink_to(secret)

    async def clean(self) -> None:
        await self.clean_containers()
        await self.lose_mark()
        self.client.close()
        if self.folders is not None:
            shutil.rmtree(self.folders)


async def wait_gone(pid: int) -> None:
    """Until no process of that pid lives (a zombie does not)."""

    async def look() -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] in "XZ"
        except (FileNotFoundError, ProcessLookupError):
            return True

    await eventually(look, bool)


@asynccontextmanager
async def podman_world(socket: Path) -> AsyncIterator[PodmanWorld]:
    mark = uuid.uuid4().hex[:8]
    with tempfile.TemporaryDirectory(prefix="notebookd-test-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        async with _world_with(socket, mark, Path(folder) / "seccomp.json") as world:
            yield world


@asynccontextmanager
async def _world_with(socket: Path, mark: str, profile: Path) -> AsyncIterator[PodmanWorld]:
    async with (
        PodmanEngine.open(socket, f"contract-{mark}", profile=profile) as engine,
        PodmanEngine.open(socket, f"stranger-{mark}", profile=profile) as stranger,
        PodmanEngine.open(Path("/nonexistent/engine.sock"), f"contract-{mark}", profile=profile) as nowhere,
    ):
        world = PodmanWorld(socket, profile, engine, stranger, nowhere)
        ensure_image(world.client)
        try:
            yield world
        finally:
            await world.clean()


def ensure_image(client: APIClient) -> None:
    """Import the image unless it is there."""
    if client.get(f"/images/{IMAGE}/exists").status_code == 204:
        return
    answer = client.post("/images/import", params={"reference": IMAGE}, data=busybox_tar())
    answer.raise_for_status()


def busybox_tar() -> bytes:
    program = next((p for p in (Path("/usr/bin/busybox"), Path("/bin/busybox")) if p.exists()), None)
    assert program is not None, "install the package busybox-static"
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for folder, mode in {"bin": 0o755, "etc": 0o755, "run": 0o755, "tmp": 0o1777, "workspace": 0o777}.items():
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, mode
            tar.addfile(entry)
        entry = tarfile.TarInfo("bin/busybox")
        entry.size, entry.mode = program.stat().st_size, 0o755
        with program.open("rb") as file:
            tar.addfile(entry, file)
        for applet in APPLETS.split():
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(entry)
    return buffer.getvalue()
