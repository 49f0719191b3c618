# SPDX-License-Identifier: Apache-2.0
"""What every implementation of the editor port keeps to: the fake, and the real one before a small server.

The server answers as a Jupyter server and as code-server do.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import pytest
from aiohttp import web

from notebookd.adapters.editor import SocketEditor
from notebookd.domain.activity import ActivityApi, EditorActivity, Heartbeat, Kernel, Terminal
from notebookd.domain.ids import NotebookId
from notebookd.domain.observed import Known, Unknown
from notebookd.ports.editor import Editor
from notebookd.ports.engine import LABEL_PREFIX, ContainerSpec
from notebookd.testing.editor import FakeEditor
from notebookd.testing.engine import FakeEngine, FakeEngineWorld
from tests.values import NOTEBOOK_ID, NOW, after

OTHER = NotebookId("33333333-3333-4333-8333-333333333333")
IMAGE = "localhost/notebookd/jupyterlab:1"
BUSY = Kernel(id="k1", name="python3", state="busy", last_activity_at=after(60))
IDLE = Kernel(id="k2", name="python3", state="idle", last_activity_at=NOW)
TERMINAL = Terminal(name="1", last_activity_at=after(120))


class World(Protocol):
    """One notebook with an editor that is up, and the port on it."""

    editor: Editor

    def goes_on(self, activity: EditorActivity) -> None:
        """From now on this goes on in the notebook."""

    def beats(self, heartbeat: Heartbeat) -> None:
        """From now on this is the editor's heartbeat."""

    def hangs(self) -> None:
        """The editor answers nothing any more."""


class FakeWorld:
    def __init__(self, engine: FakeEngineWorld) -> None:
        self.editor = self._fake = FakeEditor(engine)

    def goes_on(self, activity: EditorActivity) -> None:
        self._fake.activities[NOTEBOOK_ID] = activity

    def beats(self, heartbeat: Heartbeat) -> None:
        self._fake.heartbeats[NOTEBOOK_ID] = heartbeat

    def hangs(self) -> None:
        self._fake.silent = True


class RealWorld:
    def __init__(self, editors: Path) -> None:
        self.editor = SocketEditor(editors)
        self._activity = EditorActivity()
        self._heartbeat = Heartbeat()
        self._socket = editors / NOTEBOOK_ID / "editor.sock"

    def goes_on(self, activity: EditorActivity) -> None:
        self._activity = activity

    def beats(self, heartbeat: Heartbeat) -> None:
        self._heartbeat = heartbeat

    def hangs(self) -> None:
        self._socket.unlink()

    async def kernels(self, request: web.Request) -> web.Response:
        assert request.query_string == "no_track_activity=1"
        return _json(
            {
                "id": each.id,
                "name": each.name,
                "execution_state": each.state,
                "last_activity": each.last_activity_at.isoformat().replace("+00:00", "Z"),
                "connections": 0,
            }
            for each in self._activity.kernels
        )

    async def terminals(self, request: web.Request) -> web.Response:
        assert request.query_string == "no_track_activity=1"
        return _json(
            {"name": each.name, "last_activity": each.last_activity_at.isoformat()} for each in self._activity.terminals
        )

    async def health(self, _request: web.Request) -> web.Response:
        last_at = self._heartbeat.last_at
        return web.json_response(
            {"status": "expired", "lastHeartbeat": round(last_at.timestamp() * 1000) if last_at else 0}
        )


def _json(rows: object) -> web.Response:
    return web.json_response(text=json.dumps(list(rows)))  # type: ignore[call-overload]


@asynccontextmanager
async def fake() -> AsyncIterator[World]:
    engine = FakeEngineWorld(lambda: NOW)
    engine.add_image(IMAGE)
    labels = {f"{LABEL_PREFIX}notebook": NOTEBOOK_ID}
    spec = ContainerSpec(name="one", image=IMAGE, command=("jupyter", "lab"), env={}, labels=labels, mounts=())
    await FakeEngine(engine, "fake").create(spec)
    await FakeEngine(engine, "fake").start("one")
    yield FakeWorld(engine)


@asynccontextmanager
async def real() -> AsyncIterator[World]:
    with TemporaryDirectory() as folder:
        (Path(folder) / NOTEBOOK_ID).mkdir()
        world = RealWorld(Path(folder))
        app = web.Application()
        app.router.add_get("/api", _ok)
        app.router.add_get("/api/kernels", world.kernels)
        app.router.add_get("/api/terminals", world.terminals)
        app.router.add_get("/healthz", world.health)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, str(Path(folder) / NOTEBOOK_ID / "editor.sock")).start()
        yield world
        await runner.cleanup()


async def _ok(_request: web.Request) -> web.Response:
    return web.Response(text="ok")


@pytest.fixture(params=[fake, real], ids=["fake", "real"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    make: Callable[[], AbstractAsyncContextManager[World]] = request.param
    async with make() as made:
        yield made


async def test_an_editor_that_is_up_answers_its_probe(world: World) -> None:
    assert (await world.editor.answers(NOTEBOOK_ID, "/api")).up
    assert not (await world.editor.answers(OTHER, "/api")).up
    world.hangs()
    assert not (await world.editor.answers(NOTEBOOK_ID, "/api")).up


async def test_an_editor_in_which_nothing_was_begun_says_so(world: World) -> None:
    assert await world.editor.activity(NOTEBOOK_ID, ActivityApi.JUPYTER) == Known(EditorActivity())


async def test_kernels_and_terminals_are_told_with_state_and_time(world: World) -> None:
    activity = EditorActivity(kernels=(BUSY, IDLE), terminals=(TERMINAL,))
    world.goes_on(activity)
    for _ in range(2):
        assert await world.editor.activity(NOTEBOOK_ID, ActivityApi.JUPYTER) == Known(activity)


async def test_a_heartbeat_is_told_with_its_time(world: World) -> None:
    assert await world.editor.activity(NOTEBOOK_ID, ActivityApi.CODE_SERVER) == Known(Heartbeat())
    world.beats(Heartbeat(last_at=after(90.123)))
    for _ in range(2):
        assert await world.editor.activity(NOTEBOOK_ID, ActivityApi.CODE_SERVER) == Known(
            Heartbeat(last_at=after(90.123))
        )


@pytest.mark.parametrize("api", [ActivityApi.JUPYTER, ActivityApi.CODE_SERVER])
async def test_an_editor_that_cannot_be_reached_is_unknown(world: World, api: ActivityApi) -> None:
    assert isinstance(await world.editor.activity(OTHER, api), Unknown)
    world.hangs()
    seen = await world.editor.activity(NOTEBOOK_ID, api)
    assert isinstance(seen, Unknown)
    assert "editor" in seen.reason


async def test_an_editor_without_an_api_is_not_asked(world: World) -> None:
    world.hangs()
    assert await world.editor.activity(NOTEBOOK_ID, ActivityApi.NONE) == Known(None)
