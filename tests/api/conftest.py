# SPDX-License-Identifier: Apache-2.0
"""The API on a real Unix socket, before a whole house over a fake machine."""

from __future__ import annotations

import asyncio
import gc
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from notebookd.testing.house import World, make_world
from tests.api.caller import Api, open_api
from tests.api.fuzzing import Tally
from tests.api.people import People, invent_people
from tests.figures import Rows
from tests.loops import TOPIC, Seen

_seen = Seen()
_watch = _seen.watch()


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every loop of this tier is watched."""
    return {"watched": _watch.make_loop}


@pytest.fixture(scope="session", autouse=True)
def watched(figures: dict[str, Rows]) -> Iterator[None]:
    """What held the loop up goes into the summary."""
    with _watch:
        yield
    figures.setdefault(TOPIC, {})["API tier, in one process with its tests"] = _seen.line()


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """A house is part of cycles. Where a million objects live Python looks for those once in a few hundred houses, and
    by then they take a gigabyte."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def people() -> Iterator[People]:
    """Real accounts: two members, an admin, a stranger. Only root can make them."""
    with invent_people() as made:
        yield made


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that every account may enter (pytest's own are the caller's alone)."""
    folder = Path(tempfile.mkdtemp(prefix="notebookd-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A machine of two GPUs with two versions of a framework, and a second framework for one editor."""
    image = {"editor": "jupyterlab", "command": ["serve"], "uid": 42420, "probe": "/api"}
    settings = {
        "image": [
            {**image, "framework": "conda", "version": "py312", "image": "localhost/notebookd/jupyterlab:py312"},
            {**image, "framework": "pytorch", "version": "2.6", "image": "localhost/notebookd/pytorch:1"},
            {**image, "editor": "vscode", "framework": "conda", "version": "py311", "image": "localhost/vscode:1"},
        ],
        "framework": [{"id": "pytorch", "name": "PyTorch"}],
        "editor": [{"id": "vscode", "name": "VS Code"}],
        "events": {"keep": "1d"},
    }
    return make_world(tmp_path, settings=settings)


@pytest.fixture
async def api(world: World, public_folder: Path, request: pytest.FixtureRequest) -> AsyncIterator[Api]:
    """The API, called by the account that runs the tests. With ``people`` in the test, served to them as well."""
    known = request.getfixturevalue("people") if "people" in request.fixturenames else None
    ready: asyncio.Future[Api] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()

    async def keep_open() -> None:
        try:
            async with open_api(world, public_folder / "api.sock", known) as opened:
                ready.set_result(opened)
                await done.wait()
        except BaseException as fault:
            if not ready.done():
                ready.set_exception(fault)
            raise

    keeper = asyncio.create_task(keep_open())  # one task for both ends: a TaskGroup wants that
    yield await ready
    done.set()
    await keeper


@pytest.fixture(scope="session")
def tally(figures: dict[str, Rows]) -> Iterator[Tally]:
    """What the summary says of generated cases."""
    yield from _told(figures, "bounded")


@pytest.fixture(scope="session")
def long_tally(figures: dict[str, Rows]) -> Iterator[Tally]:
    """The same of the long run."""
    yield from _told(figures, "long")


def _told(figures: dict[str, Rows], run: str) -> Iterator[Tally]:
    made = Tally()
    yield made
    if made.cases:
        figures.setdefault("schemathesis", {})[run] = made.line()
