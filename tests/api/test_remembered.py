# SPDX-License-Identifier: Apache-2.0
"""Answers that are remembered are never older than the last commit, nor than a second, and nobody else's."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from notebookd import wire
from notebookd.api import shapes
from notebookd.domain.entry import Entry
from notebookd.testing.house import World
from tests.api.caller import SPEC, Api
from tests.api.fuzzing import BASE_URL, served
from tests.api.people import People


async def test_what_was_changed_is_seen_at_once(api: Api) -> None:
    notebook = await api.create(resources={"cpu": 1})
    for value in ("red", "blue"):
        await api.get(notebook)
        await api.call("GET", "/v1/notebook")
        await api.call("PUT", f"/v1/notebook/{notebook}/label", {"name": "team", "value": value})
        assert (await api.get(notebook))["spec"]["labels"] == {"team": value}
        (listed,) = (await api.call("GET", "/v1/notebook")).body["items"]
        assert listed["spec"]["labels"] == {"team": value}


async def test_what_only_time_changes_is_seen_within_a_second(api: Api) -> None:
    notebook = await api.create(resources={"cpu": 1})
    before = (await api.get(notebook))["status"]["duration"]
    api.world.clock.step(1)
    assert (await api.get(notebook))["status"]["duration"] == before + 1
    (listed,) = (await api.call("GET", "/v1/notebook")).body["items"]
    assert listed["status"]["duration"] == before + 1


async def test_the_same_question_is_answered_with_the_same_bytes_and_tag(api: Api) -> None:
    notebook = await api.create(resources={"cpu": 1})
    first = await api.call("GET", f"/v1/notebook/{notebook}")
    again = await api.call("GET", f"/v1/notebook/{notebook}")
    assert (again.body, again.headers["ETag"]) == (first.body, first.headers["ETag"])
    upper = await api.call("GET", f"/v1/notebook/{notebook.upper()}")
    assert upper.body["id"] == notebook


async def test_nobody_gets_what_somebody_else_asked_for(api: Api, people: People) -> None:
    made = (await api.ask_as(people.alice, "POST", "/v1/notebook", SPEC)).body["id"]
    assert (await api.ask_as(people.alice, "GET", f"/v1/notebook/{made}")).status == 200
    assert (await api.ask_as(people.boss, "GET", "/v1/notebook")).body["metadata"]["total"] == 1
    assert (await api.ask_as(people.bob, "GET", f"/v1/notebook/{made}")).status == 403
    assert (await api.ask_as(people.bob, "GET", "/v1/notebook")).body["metadata"]["total"] == 0
    assert (await api.ask_as(people.alice, "GET", "/v1/notebook")).body["metadata"]["total"] == 1


async def test_what_nobody_changed_is_not_made_anew(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    shaped = shapes.notebook

    def shape(entry: Entry, **more: Any) -> wire.Notebook:
        made.append(entry.notebook.id)
        return shaped(entry, **more)

    still, changed = await api.create(resources={"cpu": 1}), await api.create(resources={"cpu": 1})
    monkeypatch.setattr(shapes, "notebook", shape)
    for value in ("red", "blue"):
        await api.call("PUT", f"/v1/notebook/{changed}/label", {"name": "team", "value": value})
        listed = (await api.call("GET", "/v1/notebook?sort=createdAt&order=asc")).body["items"]
        assert listed == [await api.get(still), await api.get(changed)]
    assert made == [still, changed, changed]


async def test_a_generation_ends_with_every_commit(api: Api) -> None:
    store = api.house.store
    before = store.generation()
    assert store.generation() == before
    await api.call("PUT", f"/v1/gpu/{api.world.gpus.uuids[0]}/drain")
    assert store.generation() != before


def test_a_list_that_was_made_while_something_changed_is_not_kept(world: World, public_folder: Path) -> None:
    """The house has a thread of its own, so that commits come between its steps; its time stands still, so that what is
    kept wrongly stays wrong."""
    with served(world, public_folder) as asked:
        for _ in range(60):
            for each in asked.ask("GET", "/v1/notebook?size=1000")["items"]:
                asked.session.delete(f"{BASE_URL}/v1/notebook/{each['id']}?force=true")
            deadline = time.monotonic() + 20
            while asked.ask("GET", "/v1/notebook?size=1")["metadata"]["total"]:
                assert time.monotonic() < deadline, "all were deleted, and the list has one"
            made = [
                asked.ask("POST", "/v1/notebook", SPEC | more)["id"] for more in ({}, {"resources": {"gpu": 2}}, {})
            ]
            asked.ask("PUT", f"/v1/notebook/{made[2]}/stop")
