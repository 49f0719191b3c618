# SPDX-License-Identifier: Apache-2.0
"""What every answer holds: always present, absent left out, never null."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest

from notebookd.api.app import ROUTES
from notebookd.api.route import Media
from tests.api.caller import SPEC, Api, nulls

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
STATES = ["STARTING", "RUNNING", "STOPPED", "FAILED", "ERROR", "waiting"]


async def in_state(api: Api, state: str) -> str:
    """A notebook in that state."""
    match state:
        case "STARTING":
            api.world.editor.silent = True
            return await api.create()
        case "ERROR":
            api.world.engine.images.clear()
            return await api.create()
        case "waiting":
            await api.create(resources={"gpu": 2})
            return await api.create()
    notebook = await api.create()
    if state == "STOPPED":
        await api.order(notebook, "stop")
    if state == "FAILED":
        api.world.engine.end(api.container(notebook).spec.name, 1)
        await api.house.quiet()
    return notebook


def times(value: Any, key: str = "") -> list[str]:
    """Every text that is a time by the name of its field."""
    if isinstance(value, dict):
        return [time for name, each in value.items() for time in times(each, name)]
    if isinstance(value, list):
        return [time for each in value for time in times(each, key)]
    return (
        [value]
        if key.endswith(("At", "at", "from", "until", "date", "since", "timestamp", "Date")) and value is not None
        else []
    )


@pytest.mark.parametrize("state", STATES)
async def test_a_notebook_has_what_is_always_there_and_no_null(api: Api, state: str) -> None:
    notebook = await api.get(await in_state(api, state))
    assert list(nulls(notebook)) == []
    assert notebook["spec"]["env"].keys() == {"editorId", "frameworkId", "frameworkVersion"}
    assert notebook["spec"]["resources"]["flavor"]
    assert notebook["status"]["state"] == ("STARTING" if state == "waiting" else state)
    assert notebook["status"]["url"]
    job = notebook["status"]["lastJobStatus"]
    assert all(each["date"] and each["state"] for each in job["history"])
    for stamp in times(notebook):
        assert TIME.fullmatch(stamp), stamp
    for info in (notebook["status"]["info"], job["info"]):
        assert re.fullmatch(r"(NOTEBOOK|JOB)_[A-Z_]+", info["code"])
        assert info["message"]
        assert all(isinstance(each, str) for each in info.get("arguments", {}).values())


@pytest.mark.parametrize("state", STATES)
async def test_no_route_answers_null_where_none_is_declared(api: Api, state: str) -> None:
    notebook = await in_state(api, state)
    for route in ROUTES:
        in_json = not isinstance(route.gives, Media) or "application/json" in route.gives.shapes
        if route.method == "GET" and "{uuid}" not in route.path and in_json:
            await api.call("GET", route.path.replace("{id}", notebook))  # the check is in the call


async def test_what_was_not_asked_for_is_filled_in(api: Api) -> None:
    made = (await api.call("POST", "/v1/notebook", SPEC)).body
    assert re.fullmatch(r"jupyterlab-[a-z]+", made["spec"]["name"])
    assert made["spec"]["env"]["frameworkVersion"] == "py312"
    resources = made["spec"]["resources"]
    assert (resources["gpu"], resources["gpuModel"], resources["gpuBrand"]) == (1, "Fake 80GB", "NVIDIA")
    assert made["status"]["state"] == "STARTING"
    assert made["spec"]["timeoutAutoRestart"] is False


async def test_zero_is_absent_in_resources(api: Api) -> None:
    made = (await api.call("POST", "/v1/notebook", {**SPEC, "resources": {"gpu": 0, "cpu": 2}})).body
    assert made["spec"]["resources"]["cpu"] == 2
    assert "gpu" not in made["spec"]["resources"]
    made = (await api.call("POST", "/v1/notebook", {**SPEC, "resources": {"gpu": 2, "cpu": 0}})).body
    assert made["spec"]["resources"]["gpu"] == 2
    assert "cpu" not in made["spec"]["resources"]


async def test_a_fresh_notebook_leaves_out_what_is_not_known_yet(api: Api) -> None:
    status = (await api.call("POST", "/v1/notebook", SPEC)).body["status"]
    absent = {"startedAt", "stoppedAt", "finalizedAt", "timeoutAt", "exitCode"}
    assert not absent & status["lastJobStatus"].keys()
    assert not {"lastStartedAt", "lastStoppedAt", "sshUrl"} & status.keys()


async def test_durations_count_running_only(api: Api) -> None:
    notebook = await api.create()
    await api.house.pass_time(100)
    await api.order(notebook, "stop")
    await api.house.pass_time(1000)
    await api.order(notebook, "start")
    await api.house.pass_time(7)
    status = (await api.get(notebook))["status"]
    assert status["duration"] == 107
    assert status["lastJobStatus"]["duration"] == 7
    assert status["lastStoppedAt"] < status["lastStartedAt"]


async def test_durations_go_by_no_clock_that_people_set(api: Api) -> None:
    notebook = await api.create()
    await api.house.pass_time(100)
    api.world.clock.step_wall(3600)
    await api.house.pass_time(7)
    status = (await api.get(notebook))["status"]
    assert (status["duration"], status["lastJobStatus"]["duration"]) == (107, 107)


async def test_the_deadline_counts_from_the_latest_entry_into_running(api: Api) -> None:
    notebook = await api.create()
    first = (await api.get(notebook))["status"]["lastJobStatus"]
    await api.house.pass_time(3600)
    await api.order(notebook, "restart")
    second = (await api.get(notebook))["status"]["lastJobStatus"]
    assert second["startedAt"] == first["startedAt"]
    assert second["timeoutAt"] > first["timeoutAt"]


async def test_what_events_tell_of_times_is_written_like_every_time(api: Api) -> None:
    notebook = await api.create(labels={"notebookd/idle-stop": "20m"})
    await api.call("PUT", f"/v1/notebook/{notebook}/extend", {"duration": "1h"})
    for step in (660, 7 * 86400 - 600):
        await api.house.pass_time(step)
    told = api.house.store.list_events(after=0, limit=100, notebook_id=None, owner=None)
    found = {each.type: times(dict(each.data)) for each in told if times(dict(each.data))}
    assert found.keys() == {"notebook.extended", "notebook.warning"}
    for stamp in itertools.chain.from_iterable(found.values()):
        assert TIME.fullmatch(stamp), stamp


async def test_why_tells_of_the_queue_and_of_the_deadline(api: Api) -> None:
    holder = await api.create(resources={"gpu": 2})
    waiting = await api.create()
    told = (await api.call("GET", f"/v1/notebook/{holder}/why")).body
    assert told["state"] == "RUNNING"
    assert told["sentences"]
    assert told["deadlines"][0]["at"] == (await api.get(holder))["status"]["lastJobStatus"]["timeoutAt"]
    told = (await api.call("GET", f"/v1/notebook/{waiting}/why")).body
    assert "position 1" in told["sentences"][0]
    assert told["waitsFor"]["position"] == 1


async def test_free_units_are_counted(api: Api) -> None:
    async def free() -> dict[str, int]:
        return {each["id"]: each["free"] for each in (await api.call("GET", "/v1/capabilities/flavor")).body}

    assert await free() == {"fake-80gb-1-gpu": 2, "cpu": 16}
    await api.create()
    await api.create(resources={"cpu": 3})
    assert await free() == {"fake-80gb-1-gpu": 1, "cpu": 13}


async def test_the_index_lists_extensions_that_are_there(api: Api) -> None:
    served = {f"{route.method} {route.path}" for route in ROUTES}
    assert set((await api.call("GET", "/v1")).body["extensions"]) <= served


async def test_a_command_line_round_trips_what_it_can_say(api: Api) -> None:
    body = {
        **SPEC,
        "name": "a-name",
        "resources": {"gpu": 2},
        "labels": {"team": "red blue"},
        "envVars": [{"name": "A", "value": "it's"}],
        "timeoutAutoRestart": True,
        "unsecureHttp": True,
    }
    told = (await api.call("POST", "/v1/notebook/command", body)).body["command"]
    for part in ("--gpu 2", "--name a-name", "'team=red blue'", "--restart-on-timeout", "--unsecure-http", "--envvar"):
        assert part in told
    assert (await api.call("GET", "/v1/notebook")).body["metadata"]["total"] == 0
