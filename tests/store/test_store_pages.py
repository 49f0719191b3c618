# SPDX-License-Identifier: Apache-2.0
"""A slow disk, and pages that others drove out of memory: the event loop waits for none of them."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebookd.adapters.sqlite import SqliteStore
from notebookd.adapters.sqlite.resident import Resident
from notebookd.domain.event import Event
from tests.values import NOW

ROOT = Path(__file__).parents[2]
EVENTS = 5000
DISKS = Path("/var/tmp")
"""Of which pages can be driven out; a file system in memory has nowhere to drive them to."""


@pytest.fixture
def on_disk() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="notebookd-test-", dir=DISKS) as folder:
        yield Path(folder) / "notebookd.db"


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("pages") / "pages.so"
    source = Path(__file__).with_name("pages.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    return library


def drive_out(path: Path) -> None:
    """Have the kernel give up what it has of a database in memory, as it does when others read much. In a process of
    its own: a descriptor that is closed here would take SQLite's locks along."""
    script = (
        "import os, sys\nfor name in sys.argv[1:]:\n fd = os.open(name, 0); os.fsync(fd); os.posix_fadvise(fd, 0, 0, 4)"
    )
    files = [str(each) for each in (path, path.with_name(f"{path.name}-wal")) if each.exists()]
    subprocess.run([sys.executable, "-c", script, *files], check=True)


async def fill(path: Path) -> None:
    async with SqliteStore.open(path, NOW, ballast_bytes=4096) as store, store.transaction() as tx:
        for number in range(EVENTS):
            await tx.append(Event(type="notebook.state", at=NOW, data={"number": number, "padding": "x" * 200}))


async def read_all_over(path: Path) -> None:
    async with SqliteStore.open(path, NOW, ballast_bytes=4096) as store:
        for number in range(0, EVENTS, 500):
            async with store.transaction() as tx:
                await tx.append(Event(type="notebook.state", at=NOW, data={"padding": "y" * 200}))
            drive_out(path)
            (found,) = store.list_events(after=number, limit=1, notebook_id=None, owner=None)
            assert found.id == number + 1


def waits(path: Path, library: Path, *options: str) -> int:
    """How often the loop of a process waited for a page of a slow disk."""
    log = path.with_suffix(".waits")
    environment = {**os.environ, "LD_PRELOAD": str(library), "PAGES_MS": "20", "PAGES_LOG": str(log)}
    subprocess.run([sys.executable, "-m", __name__, str(path), *options], cwd=ROOT, env=environment, check=True)
    return log.stat().st_size if log.exists() else 0


async def test_the_loop_waits_for_no_page_that_was_driven_out(on_disk: Path, slow: Path) -> None:
    await fill(on_disk)
    drive_out(on_disk)
    assert waits(on_disk, slow, "--let-go") > 10, "this disk is not slow"
    drive_out(on_disk)
    on_disk.with_suffix(".waits").unlink()
    assert waits(on_disk, slow) == 0


async def test_what_is_added_is_held_too_and_nothing_once_it_is_closed(on_disk: Path) -> None:
    resident = Resident(on_disk)
    async with SqliteStore.open(on_disk, NOW, ballast_bytes=4096):
        pass
    resident.hold()
    before = locked_bytes()
    with on_disk.open("ab") as file:
        file.write(bytes(2**20))
    resident.hold()
    assert locked_bytes() - before >= 2**20
    replaced = on_disk.with_suffix(".new")
    replaced.write_bytes(bytes(2**16))
    replaced.replace(on_disk)
    resident.hold()
    assert locked_bytes() <= before + 2**16
    resident.close()
    assert locked_bytes() < before


def locked_bytes() -> int:
    """What this process has locked in memory."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmLck:")[2].split()[0]) * 1024


if __name__ == "__main__":
    if "--let-go" in sys.argv:
        Resident.hold = lambda _: None  # type: ignore[method-assign]
    asyncio.run(read_all_over(Path(sys.argv[1])))
