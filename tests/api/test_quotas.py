# SPDX-License-Identifier: Apache-2.0
"""Quotas as people and their tokens meet them."""

from __future__ import annotations

from typing import Any

import pytest

from notebookd.domain.quota import QuotaRule
from tests.api.caller import SPEC, Api, Said
from tests.api.people import People

CPU = {**SPEC, "resources": {"cpu": 1}}


class Alice:
    """In person, or by a token of hers."""

    def __init__(self, api: Api, people: People, token: str | None) -> None:
        self.api, self.people = api, people
        self.headers = {"Authorization": f"Bearer {token}"} if token else {}

    async def ask(self, method: str, path: str, body: Any = None) -> Said:
        return await self.api.ask_as(self.people.alice, method, path, body, **self.headers)


@pytest.fixture(params=["in person", "by a token"])
async def alice(api: Api, people: People, request: pytest.FixtureRequest) -> Alice:
    if request.param == "in person":
        return Alice(api, people, None)
    wish = {"name": "t", "role": "ai_training_operator"}
    made = await api.ask_as(people.alice, "POST", "/v1/token", wish)
    return Alice(api, people, made.body["status"]["value"])


async def test_what_may_be_held_is_told(api: Api, people: People, alice: Alice) -> None:
    api.world.quotas[people.alice.name] = QuotaRule(gpus=1)
    assert (await alice.ask("GET", "/v1/me")).body["quotas"]["resources"] == {"CPU": 16, "GPU": 1}
    (told,) = (await alice.ask("GET", "/v1/capabilities/quota")).body
    assert told["resources"] == {"CPU": 16, "GPU": 1}
    assert (await api.ask_as(people.boss, "GET", "/v1/me")).body["quotas"]["resources"]["GPU"] == 2


async def test_more_than_the_quota_at_once_waits_for_it(api: Api, people: People, alice: Alice) -> None:
    api.world.quotas[people.alice.name] = QuotaRule(gpus=1)
    for _ in range(2):
        assert (await alice.ask("POST", "/v1/notebook", SPEC)).status == 200
    (row,) = (await alice.ask("GET", "/v1/queue")).body["items"]
    assert row["waitsFor"] == "quota: its owner's quota of GPUs held at once"


async def test_spent_minutes_are_a_402_for_gpus_and_stop_nothing(api: Api, people: People, alice: Alice) -> None:
    api.world.quotas[people.alice.name] = QuotaRule(gpu_minutes_month=2)
    running = (await alice.ask("POST", "/v1/notebook", SPEC)).body["id"]
    stopped = (await alice.ask("POST", "/v1/notebook", SPEC)).body["id"]
    assert (await alice.ask("PUT", f"/v1/notebook/{stopped}/stop")).status == 204
    await api.house.pass_time(3600)
    for method, path, body in (("POST", "/v1/notebook", SPEC), ("PUT", f"/v1/notebook/{stopped}/start", None)):
        said = await alice.ask(method, path, body)
        assert (said.status, said.code) == (402, "quota-exceeded")
        assert "the quota is 2" in said.body["message"]
    assert await api.state(running) == "RUNNING"
    assert (await alice.ask("POST", "/v1/notebook", CPU)).status == 200
    assert (await api.ask_as(people.boss, "PUT", f"/v1/notebook/{stopped}/start")).status == 204


async def test_too_many_notebooks_are_a_402(api: Api, people: People, alice: Alice) -> None:
    api.world.quotas[people.alice.name] = QuotaRule(notebooks=1)
    made = (await alice.ask("POST", "/v1/notebook", CPU)).body["id"]
    assert (await alice.ask("POST", "/v1/notebook", CPU)).status == 402
    assert (await alice.ask("DELETE", f"/v1/notebook/{made}?force=true")).status == 204
    assert (await alice.ask("POST", "/v1/notebook", CPU)).status == 200
