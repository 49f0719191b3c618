# SPDX-License-Identifier: Apache-2.0
"""Images over the API: orders and how they get on, the list, removal; and where the time of a start went."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from notebookd.config import parse_config
from notebookd.domain.catalogue import Catalogue
from notebookd.errors import EngineError, ImageInUse
from notebookd.ports.engine import Image
from notebookd.testing.house import World, make_world
from tests.api.caller import SPEC, Api, check, open_api
from tests.api.people import People

LAB = "localhost/notebookd/jupyterlab:1"
PULLED = "registry.example.org/lab/tiny:2"
PINNED = f"sha256:{'8' * 64}"
CATALOGUE = '[[image]]\neditor = "jupyterlab"\nframework = "tiny"\nversion = "1"\nimage = "localhost/tiny:1"\n'


@pytest.fixture
def recipes(tmp_path: Path) -> Path:
    folder = tmp_path / "recipes"
    (folder / "tiny").mkdir(parents=True)
    (folder / "tiny" / "Containerfile").write_text(f"ARG BASE={LAB}\nFROM ${{BASE}}\n")
    (folder / "tiny" / "catalogue.toml").write_text(CATALOGUE)
    return folder


@pytest.fixture
def world(tmp_path: Path, recipes: Path) -> World:
    old = {"editor": "jupyterlab", "framework": "conda", "version": "py310", "image": "localhost/old:1"}
    image = [
        {**old, "deprecated": "take py311"},
        {**old, "framework": "mine", "version": "1", "image": "mine", "uid": 7},
        {**old, "framework": "pinned", "version": "1", "image": PINNED, "uid": 9},
    ]
    made = make_world(tmp_path, settings={"image": image, "images": {"recipes": str(recipes)}})
    made.engine.registry[PULLED] = Image(digest=f"sha256:{'5' * 64}", names=(), size_bytes=1000)
    return made


async def order(api: Api, action: str, name: str, **more: str) -> list[dict[str, Any]]:
    """Give an order, and hear of it to its end."""
    body = json.dumps({"action": action, "name": name, **more}).encode()
    async with api.session.post("http://localhost/v1/image", data=body) as answer:
        assert answer.status == 200, await answer.text()
        assert answer.content_type == "application/x-ndjson"
        return [json.loads(line) for line in (await answer.text()).splitlines() if line]


async def refused(api: Api, body: Any) -> tuple[int, str]:
    said = await api.call("POST", "/v1/image", body)
    return said.status, said.code


async def rows(api: Api) -> dict[str, dict[str, Any]]:
    said = await api.call("GET", "/v1/image")
    assert said.status == 200
    return {each.get("name", each.get("digest")): each for each in said.body["items"]}


def events(api: Api) -> list[tuple[str, str, list[str]]]:
    found = api.house.store.list_events(after=0, limit=100, notebook_id=None, owner=None)
    return [(each.type, each.actor, each.data["names"]) for each in found if each.type.startswith("image.")]


async def test_the_list_tells_what_is_there_what_is_missing_and_for_what(api: Api) -> None:
    api.world.engine.images.pop("localhost/old:1")
    found = await rows(api)
    lab, old, mine = found[LAB], found["localhost/old:1"], found["mine"]
    assert lab["present"]
    assert lab["digest"].startswith("sha256:")
    assert lab["size"] == 1_000_000
    assert lab["catalogue"] == [{"editor": "jupyterlab", "framework": "conda", "version": "py311"}]
    assert (old["present"], "digest" in old) == (False, False)
    assert old["catalogue"][0]["deprecated"] == "take py311"
    assert [each["framework"] for each in mine["catalogue"]] == ["mine"]


async def test_the_list_tells_what_can_be_built(api: Api, recipes: Path) -> None:
    (recipes / "odd").mkdir()
    (recipes / "odd" / "Containerfile").write_text("FROM scratch\n")
    (recipes / "none").mkdir()
    said = await api.call("GET", "/v1/image")
    assert said.body["recipes"] == [
        {"name": "odd", "images": [], "fault": "it has no catalogue.toml"},
        {"name": "tiny", "images": ["localhost/tiny:1"], "base": LAB},
    ]


async def test_a_pull_tells_its_bytes_prepares_the_layers_and_is_on_record(api: Api) -> None:
    said = await order(api, "pull", PULLED)
    assert {"text": "Downloading", "done": 500, "total": 1000} in said
    (made,) = said[-1]["images"]
    assert (made["name"], made["digest"], made["preparedFor"]) == (PULLED, f"sha256:{'5' * 64}", [42420])
    assert api.world.engine.prepared == {(f"sha256:{'5' * 64}", 42420)}
    name = (await api.call("GET", "/v1/me")).body["name"]
    assert events(api) == [("image.pulled", name, [PULLED])]
    row = (await rows(api))[PULLED]
    assert (row["obtainedBy"], "obtainedAt" in row) == (name, True)


async def test_a_recipe_is_built_and_its_image_prepared_for_its_uid(api: Api) -> None:
    said = await order(api, "build", "tiny")
    assert any(each.get("text", "").endswith(f"FROM {LAB}") or "ARG BASE" in each.get("text", "") for each in said)
    assert [each["name"] for each in said[-1]["images"]] == ["localhost/tiny:1"]
    assert [each[0] for each in events(api)] == ["image.built"]


async def test_a_build_on_another_base(api: Api) -> None:
    said = await order(api, "build", "tiny", base="registry.example.org/none:1")
    assert said[-1]["error"]["code"] == "engine-error"
    assert "registry.example.org/none:1" in said[-1]["error"]["message"]
    said = await order(api, "build", "tiny", base="localhost/old:1")
    assert said[-1]["images"][0]["preparedFor"] == [42420]


async def test_a_base_of_this_machine_must_be_there_and_the_hint_says_how(api: Api, recipes: Path) -> None:
    (recipes / "more").mkdir()
    (recipes / "more" / "Containerfile").write_text("ARG BASE=localhost/tiny:1\nFROM ${BASE}\n")
    (recipes / "more" / "catalogue.toml").write_text(CATALOGUE.replace("tiny", "more"))
    said = await api.call("POST", "/v1/image", {"action": "build", "name": "more"})
    assert (said.status, said.body["hint"]) == (409, "notebookctl image build tiny")
    assert (
        await api.call("POST", "/v1/image", {"action": "build", "name": "tiny", "base": "localhost/no:1"})
    ).status == 409
    await order(api, "build", "tiny")
    assert (await order(api, "build", "more"))[-1]["images"]


async def test_no_recipe_is_told_to_build_itself_first(api: Api, recipes: Path) -> None:
    (recipes / "tiny" / "Containerfile").write_text("ARG BASE=localhost/tiny:1\nFROM ${BASE}\n")
    said = await api.call("POST", "/v1/image", {"action": "build", "name": "tiny"})
    assert (said.status, "--base" in said.body["hint"]) == (409, True)


async def test_an_image_that_is_being_prepared_says_so_by_its_name(api: Api) -> None:
    held = api.world.engine.hold("prepare")
    ours = asyncio.ensure_future(order(api, "prepare", LAB))
    await held.entered.wait()
    assert (await rows(api))[LAB]["busy"] == "prepare"
    held.release()
    await ours


async def test_preparing_goes_by_the_uids_of_the_catalogue(api: Api) -> None:
    api.world.engine.put_image(Image(digest=f"sha256:{'7' * 64}", names=("mine:latest",), size_bytes=1))
    api.world.engine.images.pop("mine")
    (row,) = (await order(api, "prepare", "mine:latest"))[-1]["images"]
    assert (row["name"], row["preparedFor"], row["catalogue"][0]["framework"]) == ("mine:latest", [7], "mine")


async def test_an_image_that_the_catalogue_has_by_its_digest_is_listed_and_prepared_as_such(api: Api) -> None:
    api.world.engine.put_image(Image(digest=PINNED, names=(), size_bytes=1))
    (row,) = (await order(api, "prepare", PINNED))[-1]["images"]
    assert ("name" in row, row["preparedFor"], row["catalogue"][0]["framework"]) == (False, [9], "pinned")


async def test_an_order_that_fails_says_so_on_its_last_line(api: Api) -> None:
    said = await order(api, "pull", "registry.example.org/lab/none:1")
    assert said[-1]["error"]["message"] == "cannot pull image registry.example.org/lab/none:1: manifest unknown"
    assert events(api) == []
    api.world.engine.fail("prepare", EngineError("cannot prepare: full"))
    assert (await order(api, "pull", PULLED))[-1]["error"]["code"] == "engine-error"
    assert (await rows(api))[PULLED]["preparedFor"] == []


HOSTILE = (
    "",
    "../../etc",
    "/etc/passwd",
    "oci-archive:/etc/shadow",
    "a b",
    "-v",
    "a?b=c",
    "x" * 300,
    "A",
    "a\nb",
    "a%2f",
)


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_name_reaches_no_engine_and_no_disk(api: Api, name: str) -> None:
    before = len(api.world.engine.calls)
    assert await refused(api, {"action": "pull", "name": name}) == (400, "invalid-request")
    assert await refused(api, {"action": "prepare", "name": name}) == (400, "invalid-request")
    assert (await refused(api, {"action": "build", "name": name}))[0] in {400, 404}
    if name:
        assert await refused(api, {"action": "build", "name": "tiny", "base": name}) == (400, "invalid-request")
    asked = [each for each in api.world.engine.calls[before:] if each[0] in {"pull", "build", "prepare", "find_image"}]
    assert asked == []


async def test_what_is_no_order_is_refused(api: Api) -> None:
    assert await refused(api, {"action": "push", "name": "a"}) == (400, "invalid-request")
    assert await refused(api, {"name": "a"}) == (400, "invalid-request")
    assert await refused(api, {"action": "pull", "name": "a", "extra": 1}) == (400, "invalid-request")
    assert await refused(api, {"action": "prepare", "name": "localhost/nothing:1"}) == (404, "not-found")
    assert await refused(api, {"action": "build", "name": "nothing"}) == (404, "not-found")
    assert (await api.call("DELETE", "/v1/image")).status == 400
    assert (await api.call("DELETE", "/v1/image?name=localhost/nothing:1")).status == 404
    assert (await api.call("DELETE", "/v1/image?name=../x")).status == 400


async def test_a_recipe_with_a_fault_is_not_built(api: Api, recipes: Path) -> None:
    (recipes / "tiny" / "catalogue.toml").write_text('[[image]]\nimage = "../x"\n')
    assert await refused(api, {"action": "build", "name": "tiny"}) == (409, "conflict")


async def test_one_order_at_a_time_for_a_name_and_hanging_up_gives_it_up(api: Api) -> None:
    held = api.world.engine.hold("pull")
    ours = asyncio.ensure_future(order(api, "pull", PULLED))
    await held.entered.wait()
    assert (await rows(api))[PULLED]["busy"] == "pull"
    assert await refused(api, {"action": "pull", "name": PULLED}) == (409, "conflict")
    ours.cancel()
    await asyncio.gather(ours, return_exceptions=True)
    async with asyncio.timeout(5):
        while "busy" in (await rows(api)).get(PULLED, {}) or (api.house.services.images.busy):
            api.world.clock.step(3)  # the next beat finds nobody there
            await asyncio.sleep(0.01)
    held.release()
    assert PULLED not in api.world.engine.images
    assert (await order(api, "pull", PULLED))[-1]["images"]


async def test_an_image_that_notebooks_run_on_stays(api: Api) -> None:
    notebook = await api.create(name="busy-one")
    row = (await rows(api))[LAB]
    assert [each["name"] for each in row["notebooks"]] == ["busy-one"]
    for name in (LAB, row["digest"]):
        said = await api.call("DELETE", f"/v1/image?name={name}")
        assert (said.status, said.code) == (409, "conflict")
        assert said.body["details"] == {"notebooks": [notebook]}
    await api.order(notebook, "stop")
    assert (await api.call("DELETE", f"/v1/image?name={LAB}")).status == 204
    assert not (await rows(api))[LAB]["present"]
    assert [each[0] for each in events(api)] == ["image.removed"]


async def test_an_image_that_notebooks_wait_to_run_on_stays_by_whatever_name_it_is_asked_for(api: Api) -> None:
    await api.create(resources={"gpu": 2})
    waiting = await api.create(name="waiting", env={**SPEC["env"], "frameworkId": "mine"}, resources={"gpu": 1})
    assert await api.state(waiting) == "STARTING"
    digest = (await rows(api))["mine"]["digest"]
    for name in ("mine", digest):
        said = await api.call("DELETE", f"/v1/image?name={name}")
        assert (said.status, said.body["details"]) == (409, {"notebooks": [waiting]})


async def test_what_the_engine_refuses_to_remove_is_a_conflict(api: Api) -> None:
    for fault in (ImageInUse("cannot remove: in use"), EngineError("cannot remove: read-only")):
        api.world.engine.fail("remove_image", fault)
        said = await api.call("DELETE", f"/v1/image?name={LAB}")
        assert (said.status, said.code) == (409, "conflict")


async def test_without_room_nothing_is_pulled_or_built(api: Api) -> None:
    api.house.rule(min_free_bytes=2**60)
    assert (await refused(api, {"action": "pull", "name": PULLED}))[0] == 503
    assert (await refused(api, {"action": "build", "name": "tiny"}))[0] == 503


async def test_an_engine_that_is_away_is_unavailable(api: Api) -> None:
    api.world.engine.reachable = False
    assert (await api.call("GET", "/v1/image")).status == 503
    assert (await order(api, "pull", PULLED))[-1]["error"]["code"] == "engine-unavailable"
    assert (await api.call("DELETE", f"/v1/image?name={LAB}")).status == 503


async def test_members_look_and_admins_act(api: Api, people: People) -> None:
    await api.create(name="not-alices")
    said = await api.ask_as(people.alice, "GET", "/v1/image")
    lab = next(each for each in said.body["items"] if each.get("name") == LAB)
    assert (lab["inUse"], lab["notebooks"]) == (1, [])
    for method, path, body in (
        ("POST", "/v1/image", {"action": "pull", "name": PULLED}),
        ("DELETE", f"/v1/image?name={LAB}", None),
    ):
        assert (await api.ask_as(people.alice, method, path, body)).status == 403


# A notebook keeps the image that it started with


async def test_a_tag_that_moves_moves_nobody_until_he_starts_anew(api: Api) -> None:
    notebook = await api.create()
    first = str(api.container(notebook).image_digest)
    api.world.engine.put_image(Image(digest=f"sha256:{'8' * 64}", names=(LAB,), size_bytes=1))
    await api.order(notebook, "restart")
    assert api.container(notebook).image_digest == first
    found = await rows(api)
    assert [each["notebook"] for each in found[first]["notebooks"]] == [notebook]
    assert found[LAB]["inUse"] == 0
    assert (await api.call("DELETE", f"/v1/image?name={first}")).status == 409
    await api.order(notebook, "stop")
    await api.order(notebook, "start")
    assert api.container(notebook).image_digest == f"sha256:{'8' * 64}"


# Deprecated


async def test_of_what_is_deprecated_no_new_notebook_is_made_and_an_old_one_goes_on(
    tmp_path: Path, public_folder: Path
) -> None:
    notebook = ""
    async for api in living(make_world(tmp_path / "m"), public_folder):
        notebook = await api.create(env={**SPEC["env"], "frameworkVersion": "py311"})
    key = {"editor": "jupyterlab", "framework": "conda", "version": "py311"}
    world = make_world(tmp_path / "m", settings={"image": [{**key, "deprecated": "take py312"}]})
    async for api in living(world, public_folder):
        for env, path in (
            (SPEC["env"], "frameworkId"),
            ({**SPEC["env"], "frameworkVersion": "py311"}, "frameworkVersion"),
        ):
            said = await api.call("POST", "/v1/notebook", {"env": env})
            assert said.status == 400
            assert said.faults == {
                f"$.env.{path}": "jupyterlab with conda py311 is deprecated: take py312",
            }
        await api.order(notebook, "stop")
        assert (await api.order(notebook, "start")).status == 204
        assert await api.state(notebook) == "RUNNING"
        (framework,) = (await api.call("GET", "/v1/capabilities/notebook/framework")).body
        assert (framework["versions"], framework["deprecatedVersions"]) == ([], {"py311": "take py312"})
        (editor,) = (await api.call("GET", "/v1/capabilities/notebook/editor")).body
        assert (editor["deprecated"], editor["incompatibleWith"]) == ("take py312", ["conda"])
        for path in ("editor?compatibleWithFramework=conda", "framework?compatibleWithEditor=jupyterlab"):
            assert (await api.call("GET", f"/v1/capabilities/notebook/{path}")).body == []


async def test_what_left_the_catalogue_runs_on_and_is_not_started_again(api: Api) -> None:
    notebook = await api.create(env={**SPEC["env"], "frameworkId": "mine"})
    api.house.rule(catalogue=Catalogue.of(parse_config({}, source=None).images))
    assert (await api.order(notebook, "restart")).status == 204
    await api.order(notebook, "stop")
    said = await api.order(notebook, "start")
    assert (said.status, said.code) == (409, "conflict")
    assert "notebookctl cp" in said.body["hint"]


async def living(world: World, folder: Path) -> AsyncIterator[Api]:
    async with open_api(world, folder / "api.sock", None) as api:
        yield api


@pytest.mark.parametrize(("flavor", "share"), [({}, 0.5), ({"memory": "1GiB", "shm": "768MiB"}, 0.75)])
async def test_shared_memory_is_sized_by_the_flavor(tmp_path: Path, flavor: dict[str, str], share: float) -> None:
    world = make_world(tmp_path, settings={"flavor": [{"id": "cpu", **flavor}]})
    async for api in living(world, tmp_path):
        spec = api.container(await api.create(resources={"cpu": 2})).spec
        assert spec.shm_bytes == share * (spec.memory_bytes or 0)


# Timings


async def test_the_steps_of_a_start_are_told(api: Api) -> None:
    notebook = await api.create()
    said = await api.call("GET", f"/v1/notebook/{notebook}/timings")
    assert said.status == 200
    assert [each["step"] for each in said.body["items"]] == [
        "accepted",
        "compute granted",
        "start on record",
        "files prepared",
        "container created",
        "container started",
        "editor asked first",
        "editor answered",
    ]
    assert said.body["total"] == sum(each["milliseconds"] for each in said.body["items"])
    assert said.body["run"] == 1


async def test_a_line_of_an_order_has_no_nulls(api: Api) -> None:
    for each in await order(api, "pull", PULLED):
        assert None not in each.values()
    check(await api.call("GET", "/v1/image"), "/v1/image")
