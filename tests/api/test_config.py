# SPDX-License-Identifier: Apache-2.0
"""GET /v1/config: everything in force to admins, what concerns them to members, secrets to nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from notebookd.config import parse_config, settings_of
from notebookd.testing.house import World, make_world
from tests.api.caller import Api
from tests.api.people import People

SECRET = "Zq3hV7uKx0_sLw-9RtYbN1mPcE5dJ8aGfO2iTkQvXyU"
IMAGE = {
    "editor": "jupyterlab",
    "framework": "conda",
    "version": "mine",
    "image": "localhost/mine:1",
    "command": ["serve", "--token", SECRET, f"--password={SECRET}"],
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    settings = {
        "lifecycle": {"max_running": "2d"},
        "quota": {"gpus": 3, "user": {"nbdt-alice": {"gpus": 1}}},
        "billing": {"rates": {"h100-1-gpu": "2.80"}},
        "datastore": [{"alias": "S3", "type": "rclone", "remote": "lab", "read": ["@staff"]}],
        "image": [IMAGE],
    }
    return make_world(tmp_path, settings=settings)


def told(body: Any) -> dict[str, tuple[Any, str | None]]:
    return {each["key"]: (each["value"], each.get("source")) for each in body["items"]}


async def test_an_admin_sees_all_and_where_it_is_from(api: Api) -> None:
    said = await api.call("GET", "/v1/config")
    assert said.status == 200
    settings = told(said.body)
    assert settings["lifecycle.max_running"] == ("2d", "file")
    assert settings["lifecycle.stop_grace"] == ("30s", "default")
    assert settings["lifecycle.idle_stop"] == ("off", "default")
    assert settings["billing.rates.h100-1-gpu"] == ("2.8", "file")
    assert settings["quota.user.nbdt-alice"] == ({"gpus": 1}, "file")
    assert settings["datastore[0]"][0]["config"] == "/etc/notebookd/rclone.conf"
    assert settings["image[0]"][0]["version"] == "mine"
    assert (settings["image[0]"][1], settings["image[1]"][1]) == ("file", "default")


async def test_no_secret_is_in_it(api: Api) -> None:
    said = await api.call("GET", "/v1/config")
    assert SECRET not in str(said.body)
    assert told(said.body)["image[0]"][0]["command"][:2] == ["serve", "--token"]


async def test_a_member_sees_what_concerns_them(api: Api, people: People) -> None:
    alice = told((await api.ask_as(people.alice, "GET", "/v1/config")).body)
    assert alice["lifecycle.max_running"] == ("2d", None)
    assert alice["billing.currency"] == ("EUR", None)
    assert alice["gateway.domain"] == ("localhost", None)
    public = {"gateway.domain", "billing.currency", "quota.gpus", "quota.notebooks", "quota.gpu_minutes_month"}
    assert {key for key in alice if not key.startswith("lifecycle.")} <= public
    assert "file" not in (await api.ask_as(people.bob, "GET", "/v1/config")).body


async def test_a_stranger_sees_nothing(api: Api, people: People) -> None:
    assert (await api.ask_as(people.stranger, "GET", "/v1/config")).status in {0, 403}


def test_what_is_listed_is_what_one_would_write() -> None:
    """Everything in force, written as a file again, gives the same configuration."""
    before = parse_config({"gpus": {"driver": "simulated", "simulated": 3}, "image": [IMAGE]}, source=None)
    document: dict[str, Any] = {}
    for setting in settings_of(before):
        *tables, key = setting.key.split(".")
        if "[" in key:
            document.setdefault(key.partition("[")[0], []).append(setting.value)
            continue
        place = document
        for table in tables:
            place = place.setdefault(table, {})
        place[key] = setting.value
    again = parse_config(document, source=None)
    assert [(each.key, each.value) for each in settings_of(again)] == [
        (each.key, each.value) for each in settings_of(before)
    ]
    assert all(each.given for each in settings_of(again))
