# SPDX-License-Identifier: Apache-2.0
"""The API by the gateway's port: for tokens alone, where the admin opens it."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from notebookd.gateway.patience import Patience
from tests.api.caller import SPEC, Api
from tests.api.gateway_door import Door, door_of
from tests.api.people import People

NOT_SERVED = 421


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"api": True}


@pytest.fixture
def patience() -> Patience:
    return Patience()


@pytest.fixture
async def door(api: Api, public_folder: Path, settings: dict[str, Any], patience: Patience) -> AsyncIterator[Door]:
    async with door_of(api, public_folder, settings, patience) as door:
        yield door


async def test_a_token_gets_the_api(door: Door) -> None:
    me = await door.say("GET", "/v1/me")
    assert (me.status, me.body["name"], me.body["tokenKind"]) == (200, "root", "app")
    made = await door.say("POST", "/v1/notebook", json=SPEC)
    assert made.status == 200
    path = f"/v1/notebook/{made.body['id']}"
    got = await door.say("GET", path)
    assert got.body["status"]["state"] == "RUNNING"
    label = {"name": "a", "value": "b"}
    assert (await door.say("PUT", f"{path}/label", json=label, headers={"If-Match": "*"})).status == 204
    stale = await door.say("PUT", path, json={"labels": {}}, headers={"If-Match": got.headers["ETag"]})
    assert (stale.status, stale.code) == (412, "precondition-failed")
    assert (await door.say("DELETE", f"{path}?force=true")).status == 204


async def test_prometheus_reads_the_figures_by_it(door: Door) -> None:
    async with door.ask("GET", "/metrics", headers={"Accept": "application/openmetrics-text"}) as answer:
        assert (answer.status, answer.content_type) == (200, "application/openmetrics-text")
        assert "notebookd_build_info" in await answer.text()
    async with door.ask("GET", "/metrics/") as answer:
        assert answer.status == 200
    for target in ("/metrics/x", "/metricsx", "/metrics/../v1/me"):
        async with door.ask("GET", target) as answer:
            assert answer.status == NOT_SERVED, target
    async with door.ask("GET", "/metrics", headers={"Authorization": ""}) as answer:
        assert answer.status == 401


async def test_head_options_and_a_trailing_slash_get_through(door: Door) -> None:
    for target in ("/v1/health", "/v1/health/", "/metrics"):
        async with door.ask("HEAD", target) as answer:
            assert (answer.status, await answer.read()) == (200, b"")
    async with door.ask("OPTIONS", "/v1/notebook") as answer:
        assert (answer.status, answer.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")


async def test_events_stream_through(door: Door) -> None:
    async with door.ask("GET", "/v1/event?follow=true") as answer:
        assert b"token.created" in await answer.content.readline()
        made = await door.say("POST", "/v1/notebook", json=SPEC)
        assert made.body["id"].encode() in await answer.content.readline()


async def test_a_command_runs_through_it(door: Door) -> None:
    notebook = await door.api.create()
    target = f"http://127.0.0.1:{door.port}/v1/notebook/{notebook}/exec?command=id"
    sent = {"Host": f"localhost:{door.port}", "Authorization": f"Bearer {door.token}"}
    async with door.client.ws_connect(target, headers=sent) as socket:
        frames = [message.data[0] async for message in socket]
    assert frames[-1] == 3
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await door.client.ws_connect(target, headers={**sent, "Origin": "http://evil.example"})
    assert refused.value.status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
        await door.client.ws_connect(target.replace(f"notebook/{notebook}/exec", "me"), headers=sent)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "shown",
    ["", "Bearer", "Bearer x", f"Bearer nbd_{'A' * 64}", "Basic cm9vdDo=", "Bearer {token}x", "token {token}"],
)
async def test_without_a_token_nobody_is_anybody(door: Door, shown: str) -> None:
    """Not even root, whose program this is."""
    header = {"Authorization": shown.format(token=door.token)}
    said = await door.say("GET", "/v1/me", headers=header)
    assert (said.status, said.code) == (401, "unauthenticated")
    if "A" * 64 not in shown:
        assert ("bears no app token" in said.body["message"]) == (not shown)
        assert ("may be cut short" in said.body["message"]) == bool(shown)


async def test_the_socket_behind_it_knows_no_peer(door: Door, public_folder: Path) -> None:
    path = public_folder / "gateway" / "api.sock"
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(path))) as root,
        root.get("http://localhost/v1/me") as answer,
    ):
        assert answer.status == 401


@pytest.mark.parametrize(
    "header", [{"Origin": "http://localhost"}, {"Origin": "null"}, {"Referer": "http://localhost/"}]
)
async def test_no_page_gets_it_even_with_a_token(door: Door, header: dict[str, str]) -> None:
    said = await door.say("GET", "/v1/me", headers=header)
    assert (said.status, said.code) == (403, "forbidden")
    assert not [name for name in said.headers if name.lower().startswith("access-control-")]
    preflight = {"Origin": "http://evil.example", "Access-Control-Request-Method": "GET", "Authorization": ""}
    said = await door.say("OPTIONS", "/v1/me", headers=preflight)
    assert said.status == 401
    assert not [name for name in said.headers if name.lower().startswith("access-control-")]


async def test_a_cookie_is_nothing(door: Door) -> None:
    assert (
        await door.say("GET", "/v1/me", headers={"Cookie": f"token={door.token}", "Authorization": ""})
    ).status == 401
    said = await door.say("GET", f"/v1/me?token={door.token}", headers={"Authorization": ""})
    assert said.status == 401
    assert "Set-Cookie" not in (await door.say("GET", "/v1/me")).headers


@pytest.mark.parametrize(
    ("host", "target"),
    [
        ("evil.example", "/v1/me"),
        ("api.localhost", "/v1/me"),
        ("127.0.0.1", "/v1/me"),
        ("localhost.evil.example", "/v1/me"),
        ("localhost", "/"),
        ("localhost", "/v2/me"),
        ("localhost", "/v1x"),
        ("localhost", "/metrics/x"),
        ("localhost", "//v1/me"),
    ],
)
async def test_nothing_else_is_served_there(door: Door, host: str, target: str) -> None:
    assert (await door.say("GET", target, host=host)).status == NOT_SERVED


@pytest.mark.parametrize("target", ["/v1/../v1/me", "/v1/%2e%2e/me", "/v1//me", "/v1/./me", "/v1/nothing"])
async def test_path_tricks_lead_nowhere(door: Door, target: str) -> None:
    assert (await door.say("GET", target)).status == 404


async def test_bodies_and_headers_are_bounded(door: Door) -> None:
    big = await door.say("POST", "/v1/notebook", data=io.BytesIO(b"x" * (1024 * 1024 + 1)))
    assert (big.status, big.code) == (413, "too-large")
    assert (await door.say("GET", "/v1/me", headers={"X-Much": "x" * 17_000})).status == 400


@pytest.mark.parametrize("patience", [Patience(body_s=0.1)])
async def test_a_body_that_stops_coming_is_refused_in_the_one_shape(door: Door) -> None:
    async def half() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    said = await door.say("POST", "/v1/notebook", data=half())
    assert (said.status, said.code) == (408, "invalid-request")


async def test_a_daemon_that_is_away_is_told_from_a_refusal(door: Door, public_folder: Path) -> None:
    (public_folder / "gateway" / "api.sock").unlink()
    said = await door.say("GET", "/v1/me")
    assert (said.status, said.headers["Retry-After"]) == (503, "1")


@pytest.mark.parametrize("settings", [{}])
async def test_it_is_shut_unless_the_admin_opens_it(door: Door) -> None:
    assert (await door.say("GET", "/v1/me")).status == NOT_SERVED


async def test_an_admins_token_is_no_admin_from_afar(door: Door, people: People) -> None:
    notebook = await door.api.create()
    made = await door.api.ask_as(people.boss, "POST", "/v1/token", {"name": "far", "role": "ai_training_operator"})
    door.token = made.body["status"]["value"]
    me = (await door.say("GET", "/v1/me")).body
    assert (me["name"], me["role"]) == (people.boss.name, "ai_training_operator")
    assert (await door.say("PUT", "/v1/gpu/release")).status == 403
    assert (await door.say("GET", f"/v1/notebook/{notebook}")).status == 404
    assert (await door.say("GET", "/v1/token")).status == 403
