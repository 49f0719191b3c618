# SPDX-License-Identifier: Apache-2.0
"""Moving a deadline, the label that says how long a notebook may idle, and what both refuse."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from tests.api.caller import NOWHERE, SPEC, Api
from tests.api.people import People
from tests.api.test_orders import TABLE, brought_to

IDLE_STOP = "notebookd/idle-stop"
DAY = timedelta(days=1)
when = datetime.fromisoformat


async def deadline(api: Api, notebook: str) -> datetime:
    """Where the notebook's deadline stands."""
    return when((await api.get(notebook))["status"]["lastJobStatus"]["timeoutAt"])


def text(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


async def test_a_duration_is_added_and_a_time_is_taken(api: Api) -> None:
    notebook = await api.create()
    before = await deadline(api, notebook)
    said = await api.call("PUT", f"/v1/notebook/{notebook}/extend", {"duration": "1d12h"})
    assert said.status == 200
    assert when(said.body["timeoutAt"]) == await deadline(api, notebook) == before + timedelta(hours=36)
    until = before + 3 * DAY
    said = await api.call("PUT", f"/v1/notebook/{notebook}/extend", {"until": text(until)})
    assert said.body == {"timeoutAt": f"{until:%Y-%m-%dT%H:%M:%S}.{until.microsecond // 1000:03}Z"}
    (named,) = (await api.call("GET", f"/v1/notebook/{notebook}/why")).body["deadlines"]
    assert (named["reason"], when(named["at"])) == ("timeout", until)
    assert await api.state(notebook) == "RUNNING"


async def test_a_time_in_another_zone_is_the_same_time(api: Api) -> None:
    notebook = await api.create()
    until = (await deadline(api, notebook) + DAY).replace(microsecond=0)
    elsewhere = (until + timedelta(hours=5, minutes=30)).replace(tzinfo=None).isoformat() + "+05:30"
    said = await api.call("PUT", f"/v1/notebook/{notebook}/extend", {"until": elsewhere})
    assert when(said.body["timeoutAt"]) == until


async def test_28_days_of_running_can_be_had_and_not_a_second_more(api: Api) -> None:
    notebook = await api.create()
    latest = await deadline(api, notebook) + 21 * DAY
    assert (await api.call("PUT", f"/v1/notebook/{notebook}/extend", {"duration": "21d"})).status == 200
    for body, path in (({"duration": "1s"}, "$.duration"), ({"until": text(latest + DAY)}, "$.until")):
        said = await api.call("PUT", f"/v1/notebook/{notebook}/extend", body)
        assert (said.status, list(said.faults)) == (400, [path])
        assert f"until {latest:%Y-%m-%d %H:%M:%S} UTC at the latest" in said.faults[path]
    assert await deadline(api, notebook) == latest


async def test_extending_to_where_it_stands_is_no_change(api: Api) -> None:
    notebook = await api.create()
    before, mark = await deadline(api, notebook), api.house.store.last_event_id()
    for body in ({"duration": "0s"}, {"until": text(before)}):
        said = await api.call("PUT", f"/v1/notebook/{notebook}/extend", body)
        assert (said.status, when(said.body["timeoutAt"])) == (200, before)
    assert api.house.store.last_event_id() == mark


BAD: list[tuple[Any, str]] = [
    ({}, "$"),
    ({"duration": "1d", "until": "2027-01-01T00:00:00Z"}, "$"),
    ({"duration": ""}, "$.duration"),
    ({"duration": "soon"}, "$.duration"),
    ({"duration": "-1d"}, "$.duration"),
    ({"duration": "1"}, "$.duration"),
    ({"duration": "1d, 2h"}, "$.duration"),
    ({"duration": "2h1d"}, "$.duration"),
    ({"duration": "99999999999d"}, "$.duration"),
    ({"duration": "3650d"}, "$.duration"),
    ({"duration": "٣d"}, "$.duration"),
    ({"duration": 3600}, "$.duration"),
    ({"duration": None}, "$.duration"),
    ({"until": ""}, "$.until"),
    ({"until": "tomorrow"}, "$.until"),
    ({"until": "2027-01-01"}, "$.until"),
    ({"until": "2027-01-01T00:00:00"}, "$.until"),
    ({"until": "2027-02-30T00:00:00Z"}, "$.until"),
    ({"until": "1999-01-01T00:00:00Z"}, "$.until"),
    ({"until": "9999-12-31T23:59:59Z"}, "$.until"),
    ({"until": "9999-12-31T23:59:59-14:00"}, "$.until"),
    ({"until": "0001-01-01T00:00:00+14:00"}, "$.until"),
    ({"until": 1800000000}, "$.until"),
    ({"duration": "1d", "reason": "please"}, "$.reason"),
    ([], "$"),
    ("1d", "$"),
    (None, "$"),
]


@pytest.mark.parametrize(("body", "path"), BAD, ids=[str(body) for body, _ in BAD])
async def test_a_bad_body_is_refused_with_its_path_and_moves_nothing(api: Api, body: Any, path: str) -> None:
    notebook = await api.create()
    before, mark = await deadline(api, notebook), api.house.store.last_event_id()
    raw = b"" if body is None else None
    said = await api.call("PUT", f"/v1/notebook/{notebook}/extend", body, raw=raw)
    assert (said.status, said.code) == (400, "invalid-request"), said.body
    assert list(said.faults) == [path]
    assert notebook in said.body["message"]
    assert (await deadline(api, notebook), api.house.store.last_event_id()) == (before, mark)


@pytest.mark.parametrize("raw", [b"{", b"\xff", b'{"duration": "1d", "duration": "2d"', b"[" * 100_000])
async def test_what_is_no_json_is_refused(api: Api, raw: bytes) -> None:
    said = await api.call("PUT", f"/v1/notebook/{await api.create()}/extend", raw=raw)
    assert (said.status, said.code) == (400, "invalid-request")


@pytest.mark.parametrize("state", [state for state, _ in TABLE if state != "RUNNING"])
async def test_only_a_running_notebook_can_be_extended(api: Api, state: str) -> None:
    notebook = await brought_to(api, state)
    said = await api.call("PUT", f"/v1/notebook/{notebook}/extend", {"duration": "1d"})
    assert (said.status, said.code) == (409, "conflict")
    assert said.body["details"]["state"] == state
    assert state in said.body["message"]


async def test_an_extension_is_the_owners_or_an_admins(api: Api, people: People) -> None:
    made = await api.ask_as(people.alice, "POST", "/v1/notebook", SPEC)
    path = f"/v1/notebook/{made.body['id']}/extend"
    begun = when((await api.get(made.body["id"]))["status"]["lastJobStatus"]["timeoutAt"])
    for person in (people.bob, people.service):
        assert (await api.ask_as(person, "PUT", path, {"duration": "1d"})).status == 403
    assert await deadline(api, made.body["id"]) == begun
    for person in (people.alice, people.boss):
        assert (await api.ask_as(person, "PUT", path, {"duration": "1d"})).status == 200
    assert await deadline(api, made.body["id"]) == begun + 2 * DAY


@pytest.mark.parametrize("notebook", [NOWHERE, "nonsense"])
async def test_what_is_not_there_cannot_be_extended(api: Api, notebook: str) -> None:
    said = await api.call("PUT", f"/v1/notebook/{notebook}/extend", {"duration": "1d"})
    assert (said.status, said.code) == (404, "not-found")


# how long it may idle


async def set_label(api: Api, notebook: str, value: Any) -> int:
    said = await api.call("PUT", f"/v1/notebook/{notebook}/label", {"name": IDLE_STOP, "value": value})
    if said.status == 400:
        assert said.code == "invalid-request"
        assert '"off" or a duration' in said.faults["$.value"]
    return said.status


@pytest.mark.parametrize("value", ["off", "60s", "4h", "1h30m", "7d"])
async def test_a_notebook_can_be_told_how_long_it_may_idle(api: Api, value: str) -> None:
    notebook = await api.create()
    assert await set_label(api, notebook, value) == 204
    assert (await api.get(notebook))["spec"]["labels"][IDLE_STOP] == value
    assert await set_label(api, notebook, "") == 204
    assert IDLE_STOP not in (await api.get(notebook))["spec"].get("labels", {})
    made = await api.create(labels={IDLE_STOP: value})
    assert (await api.get(made))["spec"]["labels"][IDLE_STOP] == value


@pytest.mark.parametrize("value", ["on", "OFF", "4", "-4h", "59s", "0s", "4 fortnights", "off ", "9999999d", "\x00"])
async def test_any_other_value_is_refused_by_every_way_in(api: Api, value: str) -> None:
    notebook = await api.create()
    assert await set_label(api, notebook, value) == 400
    path = f"$.labels.{IDLE_STOP}"
    for method, where, body in (
        ("POST", "/v1/notebook", {**SPEC, "labels": {IDLE_STOP: value}}),
        ("PUT", f"/v1/notebook/{notebook}", {"labels": {IDLE_STOP: value}}),
    ):
        said = await api.call(method, where, body)
        assert (said.status, list(said.faults)) == (400, [path]), said.body
    assert IDLE_STOP not in (await api.get(notebook))["spec"].get("labels", {})
