# SPDX-License-Identifier: Apache-2.0
"""What is wrong with a request is said, all of it, each fault with its path."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest

from notebookd.domain.resources import GIB
from notebookd.errors import NameTaken
from tests.api.caller import NOWHERE, SPEC, Api

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ1dCBub3QgYSByZWFsIGtleQ== me@home"

BAD_SPECS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "unknown field": ({"nme": "x"}, {"$.nme"}),
    "unknown field below": ({"resources": {"gpus": 1}}, {"$.resources.gpus"}),
    "wrong type": ({"name": 7}, {"$.name"}),
    "a text for a number": ({"resources": {"gpu": "1"}}, {"$.resources.gpu"}),
    "a fraction for a number": ({"resources": {"gpu": 1.5}}, {"$.resources.gpu"}),
    "negative": ({"resources": {"gpu": -1}}, {"$.resources.gpu"}),
    "gpu and cpu": ({"resources": {"gpu": 1, "cpu": 1}}, {"$.resources"}),
    "more than there is": ({"resources": {"gpu": 3}}, {"$.resources.gpu"}),
    "unknown flavor": ({"resources": {"flavor": "tpu"}}, {"$.resources.flavor"}),
    "other memory": ({"resources": {"gpu": 1, "memory": GIB}}, {"$.resources.memory"}),
    "no env": ({"env": None}, {"$.env"}),
    "empty env": ({"env": {}}, {"$.env.editorId", "$.env.frameworkId"}),
    "unknown editor": ({"env": {"editorId": "emacs", "frameworkId": "conda"}}, {"$.env.editorId"}),
    "unknown framework": ({"env": {"editorId": "jupyterlab", "frameworkId": "jax"}}, {"$.env.frameworkId"}),
    "neither known": ({"env": {"editorId": "conda", "frameworkId": "vim"}}, {"$.env.editorId", "$.env.frameworkId"}),
    "not together": ({"env": {"editorId": "vscode", "frameworkId": "pytorch"}}, {"$.env.frameworkId"}),
    "unknown version": (
        {"env": {"editorId": "jupyterlab", "frameworkId": "conda", "frameworkVersion": "py27"}},
        {"$.env.frameworkVersion"},
    ),
    "name too long": ({"name": "x" * 64}, {"$.name"}),
    "name like an option": ({"name": "-rf"}, {"$.name"}),
    "name of a dash alone": ({"name": "-"}, {"$.name"}),
    "name with a slash": ({"name": "../etc"}, {"$.name"}),
    "name in capitals": ({"name": "Mine"}, {"$.name"}),
    "empty name": ({"name": ""}, {"$.name"}),
    "name with a newline": ({"name": "mine\n"}, {"$.name"}),
    "env name with a digit first": ({"envVars": [{"name": "1X", "value": ""}]}, {"$.envVars[0].name"}),
    "env name with a dash": ({"envVars": [{"name": "A-B", "value": ""}]}, {"$.envVars[0].name"}),
    "env name empty": ({"envVars": [{"name": "", "value": ""}]}, {"$.envVars[0].name"}),
    "env name twice": ({"envVars": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}, {"$.envVars[1].name"}),
    "env value missing": ({"envVars": [{"name": "A"}]}, {"$.envVars[0].value"}),
    "env value with NUL": ({"envVars": [{"name": "A", "value": "\0"}]}, {"$.envVars[0].value"}),
    "eleven ssh keys": ({"sshPublicKeys": [KEY] * 11}, {"$.sshPublicKeys"}),
    "an ssh key of 20 kB": ({"sshPublicKeys": [f"ssh-rsa {'A' * 20_000} me@home"]}, {"$.sshPublicKeys[0]"}),
    "no ssh key": ({"sshPublicKeys": ["hello"]}, {"$.sshPublicKeys[0]"}),
    "label of the platform": ({"labels": {"ovh/id": "x"}}, {"$.labels.ovh/id"}),
    "label of ours": ({"labels": {"notebookd/owner": "x"}}, {"$.labels.notebookd/owner"}),
    "label with a space": ({"labels": {"a b": "x"}}, {"$.labels.a b"}),
    "label that is no text": ({"labels": {"a": 1}}, {"$.labels.a"}),
    "idle stop that is no duration": ({"labels": {"notebookd/idle-stop": "soon"}}, {"$.labels.notebookd/idle-stop"}),
}


@pytest.mark.parametrize("case", BAD_SPECS)
async def test_a_spec_at_fault_is_refused_with_the_path_of_the_fault(api: Api, case: str) -> None:
    change, paths = BAD_SPECS[case]
    for route in ("/v1/notebook", "/v1/notebook/command"):
        said = await api.call("POST", route, {**SPEC, **change})
        assert (said.status, said.code) == (400, "invalid-request")
        assert said.faults.keys() == paths, said.faults
        for path in paths:
            assert path in said.body["message"]
    assert (await api.call("GET", "/v1/notebook")).body["metadata"]["total"] == 0


async def test_all_faults_are_named_in_one_answer(api: Api) -> None:
    said = await api.call(
        "POST",
        "/v1/notebook",
        {
            "env": {"editorId": "emacs", "frameworkId": "conda", "colour": "red"},
            "nme": "x",
            "name": "A/B",
            "resources": {"gpu": 1, "cpu": 2},
            "envVars": [{"name": "1", "value": "x"}, {"name": 2, "value": "x"}],
            "labels": {"ovh/x": "y"},
            "sshPublicKeys": ["no key"],
            "timeoutAutoRestart": "yes",
        },
    )
    assert said.status == 400
    assert said.faults.keys() == {
        "$.env.colour",
        "$.env.editorId",
        "$.envVars[0].name",
        "$.envVars[1].name",
        "$.labels.ovh/x",
        "$.name",
        "$.nme",
        "$.resources",
        "$.sshPublicKeys[0]",
        "$.timeoutAutoRestart",
    }


async def test_a_typing_error_gets_a_hint(api: Api) -> None:
    said = await api.call("POST", "/v1/notebook", {**SPEC, "lables": {}})
    assert "labels" in said.faults["$.lables"]


async def test_another_memory_is_said_not_to_be_customisable(api: Api) -> None:
    said = await api.call("POST", "/v1/notebook", {**SPEC, "resources": {"gpu": 1, "memory": 1}})
    assert "not customisable" in said.faults["$.resources.memory"]


async def test_derived_values_are_accepted_as_they_are(api: Api) -> None:
    derived = (await api.get(await api.create(resources={"gpu": 1})))["spec"]["resources"]
    wish = {key: derived[key] for key in ("gpu", "memory", "gpuModel", "gpuMemory", "flavor")}
    assert (await api.call("POST", "/v1/notebook", {**SPEC, "resources": wish})).status == 200


async def test_a_whole_answered_spec_can_be_sent_back(api: Api) -> None:
    spec = (await api.get(await api.create(resources={"gpu": 1}, name="twin")))["spec"]
    said = await api.call("POST", "/v1/notebook", {**spec, "name": "another"})
    assert said.status == 200, said.body
    assert said.body["spec"] == {**spec, "name": "another"}


async def test_null_is_unset_where_the_sdk_sends_it(api: Api) -> None:
    unset = ("envVars", "labels", "sshPublicKeys", "timeoutAutoRestart", "volumes", "unsecureHttp")
    said = await api.call("POST", "/v1/notebook", {**SPEC, **dict.fromkeys(unset)})
    assert said.status == 200


BROKEN: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"{",
    "two values": b"{} {}",
    "a list": b"[]",
    "null": b"null",
    "no UTF-8": b'{"name": "\xff"}',
    "a lone surrogate": b'{"name": "\\ud800"}',
    "deep nesting": b"[" * 100_000,
    "NaN": b'{"resources": {"gpu": NaN}}',
    "a huge number": b'{"resources": {"gpu": 1' + b"0" * 400 + b"}}",
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("route", ["POST /v1/notebook", "PUT /v1/notebook/{id}", "PUT /v1/notebook/{id}/label"])
async def test_a_broken_body_is_refused(api: Api, case: str, route: str) -> None:
    method, path = route.split()
    notebook = await api.create() if "{id}" in path else ""
    said = await api.call(method, path.format(id=notebook), raw=BROKEN[case])
    assert (said.status, said.code) == (400, "invalid-request"), said.body
    assert all(each.startswith("$") for each in said.faults)


@pytest.mark.parametrize("route", ["POST /v1/notebook", "POST /v1/notebook/command", "PUT /v1/notebook/{id}"])
async def test_a_body_of_ten_megabytes_is_too_large(api: Api, route: str) -> None:
    method, path = route.split()
    said = await api.call(method, path.format(id=NOWHERE), raw=b'{"name": "' + b"x" * 10_000_000 + b'"}')
    assert (said.status, said.code) == (413, "too-large")


@pytest.mark.parametrize(
    "route",
    [
        "GET /v1/notebook/{id}",
        "PUT /v1/notebook/{id}",
        "DELETE /v1/notebook/{id}",
        "PUT /v1/notebook/{id}/start",
        "PUT /v1/notebook/{id}/stop",
        "PUT /v1/notebook/{id}/restart",
        "PUT /v1/notebook/{id}/label",
        "GET /v1/notebook/{id}/log",
        "GET /v1/notebook/{id}/access",
        "GET /v1/notebook/{id}/why",
        "GET /v1/notebook/{id}/exec",
    ],
)
@pytest.mark.parametrize("notebook", ["nonsense", "1", "%2e%2e", "x" * 3000, NOWHERE], ids=lambda text: text[:8])
async def test_an_id_that_is_none_is_not_found(api: Api, route: str, notebook: str) -> None:
    method, path = route.split()
    body = {"name": "a", "value": "b"} if path.endswith("label") else {} if method == "PUT" else None
    said = await api.call(method, path.format(id=notebook), body)
    assert (said.status, said.code) == (404, "not-found"), said.body


@pytest.mark.parametrize(
    "query",
    [
        "page=0",
        "page=-1",
        "page=--1",
        "page=x",
        "page=1.5",
        "page=",
        "page=%C2%B2",
        "size=0",
        "size=1000000000",
        "size=1001",
        "sort=owner",
        "sort=createdAt;drop",
        "order=up",
        "statusState=SLEEPING",
        "labelSelector=team",
        "labelSelector==x",
        "updatedAfter=yesterday",
        "updatedAfter=--1",
        "updatedAfter=1e400",
        "updatedBefore=99999999999999999999",
        f"page={'9' * 5000}",
    ],
    ids=lambda text: text[:24],
)
async def test_a_query_at_fault_is_refused_with_the_name_of_the_field(api: Api, query: str) -> None:
    said = await api.call("GET", f"/v1/notebook?{query}")
    assert (said.status, said.code) == (400, "invalid-request")
    assert said.faults.keys() == {f"$query.{query.partition('=')[0]}"}


async def test_all_faults_of_a_query_are_named_in_one_answer(api: Api) -> None:
    said = await api.call("GET", "/v1/notebook?page=0&size=0&sort=x&order=y&statusState=Z&labelSelector=w")
    assert said.faults.keys() == {
        f"$query.{each}" for each in ("page", "size", "sort", "order", "statusState", "labelSelector")
    }


@pytest.mark.parametrize("path", ["log?tail=x", "log?tail=-5", "log?since=never", "log?follow=perhaps"])
async def test_a_log_query_at_fault_is_refused(api: Api, path: str) -> None:
    said = await api.call("GET", f"/v1/notebook/{await api.create()}/{path}")
    assert (said.status, said.code) == (400, "invalid-request")


@pytest.mark.parametrize("path", ["event?after=-1", "event?after=x", "event?follow=perhaps"])
async def test_an_event_query_at_fault_is_refused(api: Api, path: str) -> None:
    said = await api.call("GET", f"/v1/{path}")
    assert (said.status, said.code) == (400, "invalid-request")


async def test_a_delete_query_at_fault_is_refused_and_deletes_nothing(api: Api) -> None:
    notebook = await api.create()
    said = await api.call("DELETE", f"/v1/notebook/{notebook}?force=perhaps")
    assert said.status == 400
    assert await api.state(notebook) == "RUNNING"


@pytest.mark.parametrize(
    "path", ["/", "/v2/notebook", "/v1/nothing", "/v1/notebook/x/y/z", "/v1/notebook//", "//", "/v1/job"]
)
async def test_an_unknown_route_is_not_found_in_the_one_shape(api: Api, path: str) -> None:
    said = await api.call("GET", path)
    assert (said.status, said.code) == (404, "not-found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/notebook", {"GET", "POST"}),
        ("PATCH", f"/v1/notebook/{NOWHERE}", {"GET", "PUT", "DELETE"}),
        ("POST", f"/v1/notebook/{NOWHERE}/start", {"PUT"}),
        ("GET", f"/v1/notebook/{NOWHERE}/stop", {"PUT"}),
        ("POST", "/v1/me", {"GET"}),
    ],
)
async def test_a_wrong_method_is_refused_and_says_the_right_ones(
    api: Api, method: str, path: str, allowed: set[str]
) -> None:
    said = await api.call(method, path)
    assert (said.status, said.code) == (405, "invalid-request")
    assert set(said.headers["Allow"].replace(" ", "").split(",")) - {"HEAD", "OPTIONS"} == allowed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gpuBrand", "AMD"),
        ("gpuModel", "Other"),
        ("gpuMemory", 1),
        ("ephemeralStorage", 1),
        ("privateNetwork", 1),
        ("publicNetwork", 1),
    ],
)
async def test_another_derived_value_is_refused(api: Api, field: str, value: object) -> None:
    said = await api.call("POST", "/v1/notebook", {**SPEC, "resources": {"gpu": 1, field: value}})
    assert said.status == 400
    assert said.faults.keys() == {f"$.resources.{field}"}


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_a_body_that_is_not_coded_as_it_says_is_refused(api: Api, coding: str) -> None:
    said = await api.call("POST", "/v1/notebook", SPEC, headers={"Content-Encoding": coding})
    assert (said.status, said.code) == (400, "invalid-request"), said.body


CROWDS: dict[str, Any] = {
    "no volumes": [{"a": 1}] * 40_000,
    "volumes": [f"DATA:/d{each}" for each in range(50_000)],
    "words": ["x"] * 100_000,
}


@pytest.mark.parametrize("case", CROWDS)
async def test_a_body_of_ever_so_many_volumes_keeps_nobody_waiting(api: Api, case: str) -> None:
    begun = time.thread_time()
    said = await api.call("POST", "/v1/notebook/command", {**SPEC, "volumes": CROWDS[case]})
    assert time.thread_time() - begun < 1
    assert (said.status, said.code) == (400, "invalid-request")
    assert len(said.faults) <= 1001


async def test_a_refusal_of_the_engine_is_told_as_such(api: Api) -> None:
    notebook = await api.create()
    api.world.engine.fail("logs", NameTaken("cannot read the log: the engine says no"))
    said = await api.call("GET", f"/v1/notebook/{notebook}/log")
    assert (said.status, said.code) == (503, "engine-error")
    assert said.body["message"] == "cannot read the log: the engine says no"


@pytest.mark.parametrize("end", [b"\n\n", b"\x01\r\n\r\n", b"a" * 9000 + b"\r\n\r\n"], ids=["line", "sign", "long"])
async def test_of_a_request_that_makes_no_sense_nothing_is_logged(
    api: Api, end: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    reader, writer = await asyncio.open_unix_connection(api.socket)
    writer.write(b"GET /v1/me HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer nbd_secret" + end)
    assert b" 400 " in await reader.readline()
    writer.close()
    await api.house.quiet()
    assert "secret" not in caplog.text
