# SPDX-License-Identifier: Apache-2.0
"""Whoever changes something is on record: every route that changes anything leaves an event with its actor."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from notebookd.api.app import ROUTES
from notebookd.api.route import Media, Route
from notebookd.ports.engine import Image
from notebookd.testing.house import World, make_world
from tests.api.caller import SPEC, Api

CHANGE_NOTHING = {"formatNotebookCommand", "checkNotebookBackups"}
Prepared = tuple[str, Any]
Prepare = Callable[[Api], Awaitable[Prepared]]


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A machine with a datastore, that keeps snapshots."""
    stores = [{"alias": "S3", "type": "rclone", "remote": "s3lab", "read": ["*"], "write": ["*"]}]
    made = make_world(tmp_path, settings={"datastore": stores, "snapshots": {"at_stop": True}})
    made.movers.remotes["S3"] = {"sets/in/a": b"aa"}
    return made


def an_archive() -> bytes:
    """A tar stream of one file."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w|") as stream:
        stream.addfile(tarfile.TarInfo("empty"))
    return out.getvalue()


TAR = an_archive()


def on_running(body: Any = None) -> Prepare:
    """Asks it of a notebook that runs."""

    async def prepare(api: Api) -> Prepared:
        return await api.create(), body

    return prepare


async def on_stopped(api: Api) -> Prepared:
    """Asks it of a notebook that was stopped."""
    notebook = await api.create()
    await api.order(notebook, "stop")
    return notebook, None


def on_nothing(body: Any = None) -> Prepare:
    """Asks it of nothing in particular."""

    async def prepare(_: Api) -> Prepared:
        return "", body

    return prepare


async def on_gpu(api: Api) -> Prepared:
    """Asks it of a GPU."""
    return (await api.call("GET", "/v1/gpu")).body["items"][0]["uuid"], None


async def on_drained(api: Api) -> Prepared:
    """Asks it of a GPU that was drained."""
    gpu, _ = await on_gpu(api)
    await api.call("PUT", f"/v1/gpu/{gpu}/drain")
    return gpu, None


async def on_token(api: Api) -> Prepared:
    """Asks it of a token."""
    return (await api.call("POST", "/v1/token", TOKEN)).body["id"], None


async def on_sick_gpu(api: Api) -> Prepared:
    """Asks it of a GPU that was quarantined."""
    await api.create()
    gpu = api.world.gpus.uuids[0]
    api.world.gpus.report(gpu, 79, api.world.clock.now())
    await api.call("GET", "/v1/gpu")
    return gpu, None


async def on_registry(api: Api) -> Prepared:
    """Asks for an image that a registry has."""
    api.world.engine.registry[IMAGE] = Image(digest=f"sha256:{'5' * 64}", names=(), size_bytes=1000)
    return "", {"action": "pull", "name": IMAGE}


async def on_image(api: Api) -> Prepared:
    """Asks it of an image that is there."""
    api.world.engine.add_image(IMAGE)
    return f"?name={quote(IMAGE)}", None


async def on_file(api: Api) -> Prepared:
    """Asks it of a notebook that has a file."""
    notebook = await api.create()
    (api.world.config.paths.workspaces / notebook / "file").touch()
    return notebook, None


async def on_data(api: Api) -> Prepared:
    """Asks it of a notebook that has data of a datastore."""
    return await api.create(volumes=["sets@S3/in:/data:rw"]), {"direction": "push"}


async def on_snapshot(api: Api) -> Prepared:
    """Asks it of a notebook that has a snapshot."""
    return await on_stopped(api)


async def on_owner(api: Api) -> Prepared:
    """Gives away what is root's."""
    await on_token(api)
    return "", {"from": "root", "to": "daemon"}


IMAGE = "registry.example.org/lab/tiny:2"
TOKEN = {"name": "mine", "role": "ai_training_read"}
PREPARED: Mapping[str, Prepare] = {
    "createNotebook": on_nothing(SPEC),
    "updateNotebook": on_running({"timeoutAutoRestart": True}),
    "renameNotebook": on_running({"name": "another"}),
    "deleteNotebook": on_stopped,
    "startNotebook": on_stopped,
    "stopNotebook": on_running(),
    "restartNotebook": on_running(),
    "renewNotebookAccess": on_running(),
    "extendNotebook": on_running({"duration": "1d"}),
    "labelNotebook": on_running({"name": "team", "value": "red"}),
    "drainGpu": on_gpu,
    "undrainGpu": on_drained,
    "clearGpu": on_sick_gpu,
    "releaseGpus": on_nothing(),
    "acquireGpus": on_nothing(),
    "syncNotebookData": on_data,
    "forkNotebookBackup": on_snapshot,
    "writeNotebookFiles": on_running(),
    "removeNotebookFile": on_file,
    "orderImage": on_registry,
    "removeImage": on_image,
    "transferNotebooks": on_owner,
    "createToken": on_nothing(TOKEN),
    "deleteToken": on_token,
    "renewToken": on_token,
}
QUERIES = {"removeNotebookFile": "?path=file"}
CHANGES = [route for route in ROUTES if route.method != "GET" and route.operation not in CHANGE_NOTHING]


@pytest.mark.parametrize("route", CHANGES, ids=lambda route: route.operation)
async def test_every_change_leaves_an_event_with_its_actor(api: Api, route: Route) -> None:
    assert route.operation in PREPARED, "say above how it is made to succeed"
    subject, body = await PREPARED[route.operation](api)
    store = api.house.store
    newest = store.last_event_id()
    backup = ""
    if "{bid}" in route.path:
        backup = (await api.call("GET", f"/v1/notebook/{subject}/backup")).body["items"][0]["id"]
    path = route.path.replace("{bid}", backup).replace("{id}", subject).replace("{uuid}", subject)
    query = subject if subject.startswith("?") else QUERIES.get(route.operation, "")
    data = TAR if isinstance(route.takes, Media) else json.dumps(body).encode()
    async with api.session.request(route.method, f"http://localhost{path}{query}", data=data) as said:
        assert said.status in {200, 204}, await said.text()
        await said.read()
    happened = store.list_events(after=newest, limit=99, notebook_id=None, owner=None)
    assert "root" in {event.actor for event in happened}, [(event.type, event.actor) for event in happened]
