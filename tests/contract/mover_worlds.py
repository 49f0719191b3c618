# SPDX-License-Identifier: Apache-2.0
"""The worlds in which the movers' contract is tried: what a test needs of both, and the one in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from notebookd.config import Config, parse_config
from notebookd.domain.ids import NotebookId
from notebookd.domain.syncing import Report
from notebookd.domain.volumes import parse_volume
from notebookd.ports.movers import Movers, Pull, Work
from notebookd.testing.movers import FakeMovers, FakeMoversWorld, write_files


class MoverWorld(Protocol):
    """Movers, what they carry, and what may happen to them. ``team@lab`` is a place that there is."""

    movers: Movers
    nowhere: Movers
    config: Config

    def put(self, files: dict[str, bytes]) -> None:
        """Put files into ``team@lab``."""
        ...

    def there(self) -> dict[str, bytes]:
        """What lies in ``team@lab``."""
        ...

    def write(self, folder: Path, files: dict[str, bytes]) -> None:
        """Write into a volume or a workspace, as a notebook does."""
        ...

    async def launch_slow(self, mover_id: str, notebook_id: NotebookId) -> Work:
        """Launch one that is at work until it is killed, interrupted or cleared."""
        ...

    async def kill(self, mover_id: str) -> None:
        """It dies without a word."""
        ...

    async def over(self, mover_id: str) -> Report | None:
        """What it says in the end."""
        ...


class FakeWorld:
    """Movers in memory."""

    def __init__(self, folder: Path) -> None:
        self.config = parse_config({"paths": {"state": str(folder), "runtime": str(folder / "run")}}, source=None)
        self.world = FakeMoversWorld(self.config.paths)
        self.world.remotes["lab"] = {}
        self.movers: Movers = FakeMovers(self.world)
        dead = FakeMoversWorld(self.config.paths)
        dead.remotes["lab"] = {}
        dead.reachable = False
        self.nowhere: Movers = FakeMovers(dead)

    def put(self, files: dict[str, bytes]) -> None:
        self.world.remotes["lab"].update({f"team/{path}": data for path, data in files.items()})

    def there(self) -> dict[str, bytes]:
        return {path.removeprefix("team/"): data for path, data in self.world.remotes["lab"].items()}

    def write(self, folder: Path, files: dict[str, bytes]) -> None:
        write_files(folder, files)

    async def launch_slow(self, mover_id: str, notebook_id: NotebookId) -> Work:
        self.put({"big": b"x"})
        work = Pull(notebook_id=notebook_id, volume_id="slow", volume=parse_volume("team@lab:/data"))
        self.world.held = True
        await self.movers.launch(mover_id, work, owner="alice")
        self.world.held = False
        return work

    async def kill(self, mover_id: str) -> None:
        self.world.die(mover_id)

    async def over(self, mover_id: str) -> Report | None:
        report = await self.movers.look(mover_id)
        assert report is None or report.over
        return report
