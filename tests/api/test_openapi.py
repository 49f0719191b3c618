# SPDX-License-Identifier: Apache-2.0
"""The description of the API: whole, well formed, and true of what it describes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from notebookd.api import openapi
from notebookd.api.app import ROUTES
from notebookd.domain import spec
from notebookd.domain.run import NotebookState, RunState
from notebookd.wire import base, requests
from tests.api.caller import Api

DOCUMENT = openapi.document(ROUTES, "0")
SHAPES: dict[str, Any] = DOCUMENT["components"]["schemas"]
NULL = {"type": "null"}
NULLS_DECLARED = {"Gpu", "GpuLease", "GpuProcess", "QueueEntry"}
SDK_PARTS = ("notebook", "capabilities", "token", "me")
NOT_IN_SCOPE = ("/app/image", "/job/image", "/preset")


def inside(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a value, itself included."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from inside(each)


def calls_of_the_sdk() -> set[str]:
    """The calls that are in scope, as its modules spell them."""
    found = set()
    for part in SDK_PARTS:
        for module in files("ovhai").joinpath("api", part).iterdir():
            text = module.read_text(encoding="utf-8") if module.name.endswith(".py") else ""
            method, path = re.search(r'"method": "(\w+)"', text), re.search(r'"url": f?"([^"]+)"', text)
            if method and path and not path[1].endswith(NOT_IN_SCOPE) and "/preset/" not in path[1]:
                found.add(f"{method[1].upper()} {anonymous(path[1])}")
    return found


def anonymous(path: str) -> str:
    """A path without the names of its parameters."""
    return re.sub(r"\{\w+\}", "{}", path)


async def test_it_is_served_as_it_is_made(api: Api) -> None:
    said = await api.call("GET", "/v1/openapi.json")
    assert said.body["openapi"] == "3.1.0"
    assert said.body == openapi.document(ROUTES, said.body["info"]["version"])


async def test_the_index_lists_what_is_ours(api: Api) -> None:
    said = await api.call("GET", "/v1")
    assert said.body["extensions"] == sorted(f"{route.method} {route.path}" for route in ROUTES if route.ours)


def test_ours_is_what_the_sdk_does_not_call() -> None:
    known = calls_of_the_sdk()
    assert len(known) == 27  # 14 of notebooks, 7 of capabilities, 5 of tokens, me
    for route in ROUTES:
        assert route.ours is (f"{route.method} {anonymous(route.path)}" not in known), route.path


def test_every_route_is_described_under_a_name_of_its_own() -> None:
    described = {(path, method.upper()) for path, each in DOCUMENT["paths"].items() for method in each}
    assert described == {(route.path, route.method) for route in ROUTES}
    assert len({route.operation for route in ROUTES}) == len(ROUTES)
    assert [route.path for route in ROUTES if not route.summary or route.summary.endswith(".")] == []


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_a_shape_is_a_valid_schema(name: str) -> None:
    Draft202012Validator.check_schema(SHAPES[name])
    for each in inside(SHAPES[name]):
        reference = each.get("$ref")
        assert reference is None or reference.rpartition("/")[2] in SHAPES


def test_answers_hold_null_only_where_they_say_so() -> None:
    names = {route.takes.__name__ for route in ROUTES if isinstance(route.takes, type)}
    names |= {name for name in SHAPES if name.endswith("Wish")}
    with_null = {name for name, shape in SHAPES.items() if NULL in list(inside(shape))} - names
    assert with_null == NULLS_DECLARED


def test_requests_take_the_nulls_that_the_sdk_sends() -> None:
    fields = SHAPES["NotebookSpec"]["properties"]
    for name in ("envVars", "labels", "sshPublicKeys", "timeoutAutoRestart", "volumes", "unsecureHttp", "name"):
        assert NULL in fields[name]["anyOf"], name


def test_requests_refuse_fields_that_nobody_knows() -> None:
    for route in ROUTES:
        if isinstance(route.takes, type):
            assert SHAPES[route.takes.__name__]["additionalProperties"] is False


def test_bounds_are_those_that_are_checked() -> None:
    assert f"^{spec.LABEL_KEY.pattern}$" == requests.LABEL
    fields = SHAPES["NotebookSpec"]["properties"]
    assert fields["name"]["anyOf"][0]["pattern"] == f"^{spec.NAME.pattern}$"
    assert fields["labels"]["anyOf"][0]["maxProperties"] == spec.MAX_LABELS
    assert fields["envVars"]["anyOf"][0]["maxItems"] == spec.MAX_ENV_VARS
    assert fields["sshPublicKeys"]["anyOf"][0]["maxItems"] == spec.MAX_SSH_KEYS
    variable = SHAPES["EnvVarWish"]["properties"]
    assert variable["name"]["pattern"] == f"^{spec.ENV_NAME.pattern}$"
    assert variable["value"]["maxLength"] == spec.MAX_ENV_VALUE


def test_states_are_those_that_there_are() -> None:
    assert set(base.STATES) == set(map(str, NotebookState))
    assert set(base.JOB_STATES) == set(map(str, RunState))


def test_every_refusal_has_the_one_shape() -> None:
    for path in DOCUMENT["paths"].values():
        for operation in path.values():
            for status, answer in operation["responses"].items():
                if int(status) >= 400:
                    assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/Refusal")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v1/me", 200), ("GET", "/v1/nowhere", 404), ("PUT", "/v1/gpu/acquire", 204), ("PATCH", "/v1/me", 405)],
)
async def test_no_answer_may_be_stored(api: Api, method: str, path: str, status: int) -> None:
    said = await api.call(method, path)
    assert (said.status, said.headers["Cache-Control"]) == (status, "no-store")
