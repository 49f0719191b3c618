# SPDX-License-Identifier: Apache-2.0
"""App tokens: made and ended by people, shown once, and worth what their owner allows."""

from __future__ import annotations

import json
import logging
import subprocess
from typing import Any

import aiohttp
import pytest

from notebookd.adapters.directory import FRESH_S
from notebookd.domain.token import MOST_TOKENS
from tests.api.caller import NOWHERE, SPEC, Api, Said
from tests.api.people import MEMBERS, People

OPERATOR, READER = "ai_training_operator", "ai_training_read"
CPU = {**SPEC, "resources": {"cpu": 1}}


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


async def make(api: Api, role: str = OPERATOR, **more: Any) -> dict[str, Any]:
    """A token of root's."""
    said = await api.call("POST", "/v1/token", {"name": "ci", "role": role, **more})
    assert said.status == 200, said.body
    return dict(said.body)


async def ask(api: Api, token: dict[str, Any], method: str, path: str, body: Any = None, **headers: str) -> Said:
    return await api.call(method, path, body, headers={**bearer(token["status"]["value"]), **headers})


# made, shown, ended


async def test_a_token_is_shown_with_its_value_once(api: Api) -> None:
    made = await make(api, READER, labelSelector="team=vision")
    value = made["status"].pop("value")
    assert made["spec"] == {"name": "ci", "role": READER, "labelSelector": "team=vision"}
    assert (made["status"], made["user"]) == ({"version": 1}, "root")
    assert made["createdAt"] == made["updatedAt"]
    assert value.startswith("nbd_")
    assert len(value) == 68
    assert (await api.call("GET", f"/v1/token/{made['id']}")).body == made
    page = await api.call("GET", "/v1/token")
    assert page.body["items"] == [made]
    assert page.body["metadata"] == {"currentPage": 1, "pageCount": 1, "total": 1, "links": {}}


async def test_the_list_has_pages(api: Api) -> None:
    made = []
    for number in range(3):
        made.append((await make(api, name=f"t{number}"))["id"])
        api.world.clock.step(1)
    first = (await api.call("GET", "/v1/token?size=2")).body
    assert [each["id"] for each in first["items"]] == made[:2]
    assert (first["metadata"]["pageCount"], first["metadata"]["total"]) == (2, 3)
    rest = (await api.call("GET", first["metadata"]["links"]["next"])).body
    assert [each["id"] for each in rest["items"]] == made[2:]
    assert (await api.call("GET", "/v1/token?size=0&page=x")).faults.keys() == {"$query.size", "$query.page"}


async def test_a_renewed_token_has_another_value_and_the_one_before_is_dead(api: Api) -> None:
    old = await make(api)
    api.world.clock.step(60)
    said = await api.call("POST", f"/v1/token/{old['id']}/renew")
    new = said.body
    assert (said.status, new["id"], new["status"]["version"]) == (200, old["id"], 2)
    assert (new["createdAt"], new["updatedAt"] > old["updatedAt"]) == (old["createdAt"], True)
    assert (await ask(api, old, "GET", "/v1/me")).status == 401
    assert (await ask(api, new, "GET", "/v1/me")).status == 200


async def test_a_deleted_token_is_nobody(api: Api) -> None:
    token = await make(api)
    assert (await api.call("DELETE", f"/v1/token/{token['id']}")).status == 204
    assert (await ask(api, token, "GET", "/v1/me")).status == 401
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/renew")):
        assert (await api.call(method, f"/v1/token/{token['id']}{path}")).status == 404


@pytest.mark.parametrize("token_id", [NOWHERE, "no-id", "%00"])
async def test_a_token_that_is_not_there_is_not_found(api: Api, token_id: str) -> None:
    for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/renew")):
        said = await api.call(method, f"/v1/token/{token_id}{path}")
        assert (said.status, said.code) == (404, "not-found")


@pytest.mark.parametrize(
    ("wish", "path"),
    [
        ({"name": ""}, "$.name"),
        ({"name": "a b"}, "$.name"),
        ({"name": "x" * 64}, "$.name"),
        ({"role": "administrator"}, "$.role"),
        ({"role": "x"}, "$.role"),
        ({"labelSelector": "team"}, "$.labelSelector"),
        ({"labelSelector": "=x"}, "$.labelSelector"),
        ({"labelSelector": "team="}, "$.labelSelector"),
        ({"labelSelector": "ovh/x=y"}, "$.labelSelector"),
        ({"labelSelector": "notebookd/idle-stop=off"}, "$.labelSelector"),
        ({"labelSelector": f"team={'x' * 256}"}, "$.labelSelector"),
        ({"labelselector": "team=x"}, "$.labelselector"),
    ],
    ids=str,
)
async def test_what_is_wrong_with_a_wish_is_named(api: Api, wish: dict[str, str], path: str) -> None:
    said = await api.call("POST", "/v1/token", {"name": "ci", "role": OPERATOR, **wish})
    assert (said.status, set(said.faults)) == (400, {path})


async def test_one_person_has_only_so_many(api: Api) -> None:
    for number in range(MOST_TOKENS):
        await make(api, name=f"t{number}")
    said = await api.call("POST", "/v1/token", {"name": "one-more", "role": READER})
    assert (said.status, said.code) == (409, "conflict")


async def test_the_sdk_makes_renews_and_ends_tokens(api: Api) -> None:
    import httpx
    from ovhai import Client
    from ovhai.api.token import token_delete, token_get, token_get_all, token_new, token_renew
    from ovhai.models import TokenSpec

    transport = httpx.AsyncHTTPTransport(uds=str(api.socket))
    client = Client(base_url="http://localhost", raise_on_unexpected_status=True, httpx_args={"transport": transport})
    spec = TokenSpec(name="app-token", role=READER, label_selector="a=b")
    made = await token_new.asyncio(client=client, body=spec)
    assert (made.spec, made.status.version) == (spec, 1)
    assert (await token_get.asyncio(made.id, client=client)).spec == spec
    assert [each.id for each in (await token_get_all.asyncio(client=client, size=5)).items] == [made.id]
    renewed = await token_renew.asyncio(made.id, client=client)
    assert renewed.status.version == 2
    assert renewed.status.value not in {None, made.status.value}
    await token_delete.asyncio_detailed(made.id, client=client)
    assert (await token_get_all.asyncio(client=client)).to_dict()["items"] == []
    await client.get_async_httpx_client().aclose()


# kept as a hash


async def test_no_value_lies_on_the_disk_or_in_the_record(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = await make(api)
    value = token["status"]["value"]
    renewed = (await api.call("POST", f"/v1/token/{token['id']}/renew")).body["status"]["value"]
    await ask(api, {"status": {"value": renewed}}, "GET", "/v1/notebook")
    await ask(api, {"status": {"value": value}}, "GET", "/v1/notebook")
    async with api.session.get("http://localhost/v1/event") as answer:
        record = await answer.read()
    async with api.session.get("http://localhost/v1/backup") as answer:
        backup = await answer.read()
    disk = [file.read_bytes() for file in api.world.config.paths.state.rglob("*") if file.is_file()]
    for secret in (value, renewed, value[26:], renewed[26:]):
        for kept in (record, backup, *disk, caplog.text.encode()):
            assert secret.encode() not in kept


# shown at the socket


@pytest.mark.parametrize(
    "header",
    [
        "Bearer nbd_{short}",
        "Bearer {flipped}",
        "Bearer {other_id}",
        "Bearer",
        "Bearer ",
        "",
        "Basic {value}",
        "token {value}",
        "Bearer {value} {value}",
        "Bearer {value}, Bearer {value}",
        "{value}",
        "Bearer \u00fc",
    ],
)
async def test_a_token_that_is_none_is_nobody_whoever_the_peer_is(api: Api, header: str) -> None:
    value = (await make(api))["status"]["value"]
    other = (await make(api))["status"]["value"]
    flipped = value[:-1] + ("A" if value[-1] != "A" else "B")
    shown = header.format(value=value, short=value[5:], flipped=flipped, other_id=other[:26] + value[26:])
    for path in ("/v1/me", "/v1/notebook", "/v1/token"):
        said = await api.call("GET", path, headers={"Authorization": shown})
        assert (said.status, said.code) == (401, "unauthenticated"), shown
    assert (await api.call("GET", "/v1/me", headers=bearer(value))).status == 200


async def test_two_tokens_at_once_are_none(api: Api) -> None:
    value = (await make(api))["status"]["value"]
    headers = [("Authorization", f"Bearer {value}"), ("Authorization", f"Bearer {value}")]
    async with api.session.get("http://localhost/v1/me", headers=headers) as answer:
        assert answer.status == 401


async def test_a_token_acts_for_its_owner_but_is_never_an_admin(api: Api) -> None:
    """Root's token: root is an admin, and sees everybody's."""
    token = await make(api)
    me = (await ask(api, token, "GET", "/v1/me")).body
    assert (me["name"], me["role"], me["tokenKind"]) == ("root", OPERATOR, "app")
    uuid = api.world.gpus.uuids[0]
    assert (await ask(api, token, "PUT", f"/v1/gpu/{uuid}/drain")).status == 403
    assert (await ask(api, token, "GET", "/v1/backup")).status == 403
    shown = (await ask(api, token, "GET", "/v1/config")).body["items"]
    assert not [each for each in shown if each["key"].startswith("paths.")]


@pytest.mark.parametrize("role", [OPERATOR, READER])
async def test_a_token_makes_no_tokens(api: Api, role: str) -> None:
    token = await make(api, role)
    for method, path, body in (
        ("POST", "", {"name": "more", "role": role}),
        ("GET", "", None),
        ("GET", f"/{token['id']}", None),
        ("DELETE", f"/{token['id']}", None),
        ("POST", f"/{token['id']}/renew", None),
    ):
        assert (await ask(api, token, method, f"/v1/token{path}", body)).status == 403
    assert (await ask(api, token, "GET", "/v1/me")).status == 200


async def test_a_reader_reads_and_changes_nothing(api: Api) -> None:
    reader = await make(api, READER)
    notebook = await api.create(resources={"cpu": 1})
    assert [each["id"] for each in (await ask(api, reader, "GET", "/v1/notebook")).body["items"]] == [notebook]
    assert (await ask(api, reader, "GET", f"/v1/notebook/{notebook}/log")).status == 200
    assert (await ask(api, reader, "POST", "/v1/notebook/command", SPEC)).status == 200
    assert (await ask(api, reader, "POST", "/v1/notebook", CPU)).status == 403
    for method, path in (("PUT", "/stop"), ("DELETE", ""), ("GET", "/access"), ("GET", "/exec?command=ls")):
        assert (await ask(api, reader, method, f"/v1/notebook/{notebook}{path}")).status == 403
    assert await api.state(notebook) == "RUNNING"


async def test_what_a_token_does_is_on_record_as_its(api: Api) -> None:
    token = await make(api, name="nightly")
    made = (await ask(api, token, "POST", "/v1/notebook", CPU)).body
    assert made["user"] == "root"
    assert (await ask(api, token, "PUT", f"/v1/notebook/{made['id']}/stop")).status == 204
    async with api.session.get("http://localhost/v1/event") as answer:
        events = [json.loads(line) for line in (await answer.text()).splitlines()]
    created = next(each for each in events if each["type"] == "token.created")
    assert (created["actor"], created["details"]["name"], created["details"]["role"]) == ("root", "nightly", OPERATOR)
    by_token = [each for each in events if each["actor"] == "root (token nightly)"]
    assert {each.get("after") for each in by_token} >= {"STARTING", "STOPPING"}
    stopped = (await api.get(made["id"]))["status"]["lastJobStatus"]["info"]
    assert stopped["message"] == "stopped by root (token nightly)"


async def test_whoever_listens_by_a_token_is_cut_off_when_it_dies(api: Api) -> None:
    for end in ("renew", "delete"):
        token = await make(api)
        headers = bearer(token["status"]["value"])
        async with api.session.get("http://localhost/v1/event?follow=true", headers=headers) as answer:
            assert json.loads(await answer.content.readline())["type"] == "token.created"
            path = f"/v1/token/{token['id']}"
            said = await (api.call("POST", f"{path}/renew") if end == "renew" else api.call("DELETE", path))
            assert said.status in {200, 204}
            with pytest.raises(aiohttp.ClientError):
                await answer.content.read()


# a token for some notebooks


class Two:
    """A notebook that the selector picks and one that it does not, both root's."""

    def __init__(self, api: Api, token: dict[str, Any], mine: str, other: str) -> None:
        self.api, self.token, self.mine, self.other = api, token, mine, other

    async def get(self, path: str) -> Any:
        said = await ask(self.api, self.token, "GET", path)
        assert said.status == 200, said.body
        return said.body

    async def lines(self, path: str) -> list[Any]:
        headers = bearer(self.token["status"]["value"])
        async with self.api.session.get(f"http://localhost{path}", headers=headers) as answer:
            return [json.loads(line) for line in (await answer.text()).splitlines()]


@pytest.fixture
async def two(api: Api) -> Two:
    token = await make(api, labelSelector="team=vision")
    other = await api.create(name="other", labels={"team": "speech"})
    mine = (await ask(api, token, "POST", "/v1/notebook", {**SPEC, "name": "mine"})).body["id"]
    await api.house.pass_time(90)
    return Two(api, token, mine, other)


async def test_a_notebook_made_by_a_token_gets_its_label(two: Two) -> None:
    assert (await two.get(f"/v1/notebook/{two.mine}"))["spec"]["labels"] == {"team": "vision"}


async def test_a_name_that_another_one_has_does_not_tell_which(two: Two) -> None:
    for name, told in (("other", False), ("mine", True)):
        said = await ask(two.api, two.token, "POST", "/v1/notebook", {**SPEC, "name": name})
        assert said.status == 409
        assert (said.body.get("details", {}).get("notebook") == two.mine) is told
        assert two.other not in json.dumps(said.body)
        assert ("notebookctl start" in said.body["hint"]) is told


async def test_the_others_do_not_exist_for_it(two: Two) -> None:
    for method, path, body in (
        ("GET", "", None),
        ("PUT", "", {"labels": {"team": "vision"}}),
        ("DELETE", "?force=true", None),
        ("PUT", "/stop", None),
        ("PUT", "/label", {"name": "a", "value": "b"}),
        ("GET", "/log", None),
        ("GET", "/why", None),
        ("GET", "/access", None),
        ("GET", "/receipt", None),
        ("GET", "/exec?command=ls", None),
    ):
        missing = await ask(two.api, two.token, method, f"/v1/notebook/{NOWHERE}{path}", body)
        said = await ask(two.api, two.token, method, f"/v1/notebook/{two.other}{path}", body)
        assert (said.status, said.code) == (404, "not-found")
        assert said.body["message"] == missing.body["message"].replace(NOWHERE, two.other)
    assert await two.api.state(two.other) == "RUNNING"


async def test_lists_leave_the_others_out(two: Two) -> None:
    listed = await two.get("/v1/notebook")
    assert [each["id"] for each in listed["items"]] == [two.mine]
    assert listed["metadata"]["total"] == 1
    assert (await two.get("/v1/notebook?labelSelector=team=speech"))["items"] == []


async def test_events_leave_the_others_out(two: Two) -> None:
    events = await two.lines("/v1/event")
    assert {each["notebook"] for each in events} == {two.mine}
    assert await two.lines(f"/v1/event?notebook={two.other}") == []


async def test_reports_and_receipts_leave_the_others_out_also_when_they_are_deleted(two: Two) -> None:
    for _ in range(2):
        report = await two.get("/v1/usage?groupBy=notebook")
        assert [each["notebook"] for each in report["items"]] == [two.mine]
        totals = report["totals"]
        assert totals == {key: report["items"][0][key] for key in totals}
        assert (await two.get(f"/v1/notebook/{two.mine}/receipt"))["notebook"] == two.mine
        said = await ask(two.api, two.token, "GET", f"/v1/notebook/{two.other}/receipt")
        assert said.status == 404
        for notebook in (two.mine, two.other):
            await two.api.call("DELETE", f"/v1/notebook/{notebook}?force=true")


async def test_the_board_names_them_as_it_does_to_any_member(two: Two) -> None:
    leases = [each["lease"] for each in (await two.get("/v1/gpu"))["items"]]
    assert {each["notebook"]: each.get("name") for each in leases} == {two.mine: "mine", two.other: None}


async def test_the_queue_leaves_the_others_out(two: Two) -> None:
    waiting = await two.api.create(name="waiting")
    assert [each["notebook"] for each in (await two.api.call("GET", "/v1/queue")).body["items"]] == [waiting]
    assert (await two.get("/v1/queue"))["items"] == []


async def test_it_keeps_its_label_on_what_is_its(two: Two) -> None:
    path = f"/v1/notebook/{two.mine}"
    said = await ask(two.api, two.token, "POST", "/v1/notebook", {**CPU, "labels": {"team": "speech"}})
    assert (said.status, set(said.faults)) == (400, {"$.labels.team"})
    said = await ask(two.api, two.token, "PUT", path, {"labels": {"team": "speech"}})
    assert (said.status, set(said.faults)) == (400, {"$.labels.team"})
    for value in ("speech", "", None):
        said = await ask(two.api, two.token, "PUT", f"{path}/label", {"name": "team", "value": value})
        assert (said.status, set(said.faults)) == (400, {"$.value"})
    assert (await ask(two.api, two.token, "PUT", path, {"labels": {"a": "b"}})).status == 204
    assert (await two.get(path))["spec"]["labels"] == {"a": "b", "team": "vision"}
    full = {f"l{number}": "x" for number in range(64)}
    said = await ask(two.api, two.token, "PUT", path, {"labels": full})
    assert (said.status, set(said.faults)) == (400, {"$.labels"})


async def test_what_loses_the_label_is_gone_for_it(two: Two) -> None:
    assert (
        await two.api.call("PUT", f"/v1/notebook/{two.mine}/label", {"name": "team", "value": "speech"})
    ).status == 204
    assert (await ask(two.api, two.token, "GET", f"/v1/notebook/{two.mine}")).status == 404


async def test_idempotency_keys_of_others_give_it_nothing(two: Two) -> None:
    owners = await two.api.call("POST", "/v1/notebook", CPU, headers={"Idempotency-Key": "k"})
    own = await ask(two.api, two.token, "POST", "/v1/notebook", CPU, **{"Idempotency-Key": "k"})
    again = await ask(two.api, two.token, "POST", "/v1/notebook", CPU, **{"Idempotency-Key": "k"})
    assert own.status == again.status == 200
    assert own.body["id"] == again.body["id"] != owners.body["id"]


async def test_what_may_not_be_seen_any_more_is_not_answered_however_it_was_asked_before(two: Two) -> None:
    """Neither by a repeated request nor by an answer that is remembered."""
    wish = {**CPU, "labels": {"team": "vision"}, "envVars": [{"name": "KEY", "value": "a-secret"}]}
    key = {"Idempotency-Key": "once"}
    made = await ask(two.api, two.token, "POST", "/v1/notebook", wish, **key)
    assert "a-secret" in str(made.body)
    path = f"/v1/notebook/{made.body['id']}"
    before = [(await ask(two.api, two.token, "GET", each)).body for each in (path, "/v1/notebook", f"{path}/receipt")]
    assert all(made.body["id"] in str(each) for each in before)
    relabelled = await two.api.call("PUT", f"{path}/label", {"name": "team", "value": "speech"})
    assert relabelled.status == 204
    again = await ask(two.api, two.token, "POST", "/v1/notebook", wish, **key)
    assert (again.status, again.code) == (409, "conflict")
    assert "a-secret" not in str(again.body)
    after = [await ask(two.api, two.token, "GET", each) for each in (path, "/v1/notebook", f"{path}/receipt")]
    assert [each.status for each in after] == [404, 200, 404]
    assert all(made.body["id"] not in str(each.body) or each.status == 404 for each in after)
    assert not any("a-secret" in str(each.body) for each in after)
    assert (await two.api.call("GET", path)).status == 200


# whose it is


async def test_tokens_are_their_owners_and_an_admin_may_end_them(api: Api, people: People) -> None:
    wish = {"name": "alices", "role": OPERATOR}
    made = (await api.ask_as(people.alice, "POST", "/v1/token", wish)).body
    path = f"/v1/token/{made['id']}"
    for method, below in (("GET", ""), ("DELETE", ""), ("POST", "/renew")):
        assert (await api.ask_as(people.bob, method, path + below)).status == 403
    assert (await api.ask_as(people.bob, "GET", "/v1/token")).body["items"] == []
    everybodys = (await api.ask_as(people.boss, "GET", "/v1/token")).body["items"]
    assert [(each["id"], each["user"]) for each in everybodys] == [(made["id"], people.alice.name)]
    assert (await api.ask_as(people.boss, "POST", f"{path}/renew")).status == 403
    assert (await ask(api, made, "GET", "/v1/me")).body["name"] == people.alice.name
    assert (await api.ask_as(people.boss, "DELETE", path)).status == 204
    assert (await ask(api, made, "GET", "/v1/me")).status == 401


async def test_a_token_replaces_the_peer(api: Api, people: People) -> None:
    made = (await api.ask_as(people.alice, "POST", "/v1/token", {"name": "t", "role": OPERATOR})).body
    shown = bearer(made["status"]["value"])
    for person in (people.bob, people.boss):
        me = await api.ask_as(person, "GET", "/v1/me", **shown)
        assert (me.body["name"], me.body["role"], me.body["tokenKind"]) == (people.alice.name, OPERATOR, "app")
    book = (await api.ask_as(people.bob, "POST", "/v1/notebook", CPU, **shown)).body
    assert book["user"] == people.alice.name
    assert (await api.ask_as(people.bob, "GET", f"/v1/notebook/{book['id']}")).status == 403


async def test_the_tokens_of_one_who_left_are_dead_as_long_as_he_is_gone(api: Api, people: People) -> None:
    made = (await api.ask_as(people.bob, "POST", "/v1/token", {"name": "t", "role": READER})).body

    async def status() -> int:
        api.world.clock.step(FRESH_S)
        return (await ask(api, made, "GET", "/v1/me")).status

    assert await status() == 200
    subprocess.run(["gpasswd", "--delete", people.bob.name, MEMBERS], check=True, capture_output=True)
    try:
        assert (await ask(api, made, "GET", "/v1/me")).status == 200, "it is believed for a while"
        assert await status() == 401
    finally:
        subprocess.run(["gpasswd", "--add", people.bob.name, MEMBERS], check=True, capture_output=True)
    assert await status() == 200
