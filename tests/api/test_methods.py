# SPDX-License-Identifier: Apache-2.0
"""HEAD, OPTIONS and a trailing slash, for programs that ask so."""

from __future__ import annotations

import re

import aiohttp
import pytest

from notebookd.api.app import ROUTES
from tests.api.caller import Api


async def ask(api: Api, method: str, path: str) -> tuple[int, bytes, aiohttp.ClientResponse]:
    async with api.session.request(method, f"http://localhost{path}") as answer:
        return answer.status, await answer.read(), answer


@pytest.mark.parametrize("path", ["/v1/health", "/v1/notebook", "/v1/me", "/v1/usage", "/v1/openapi.json"])
async def test_head_is_get_without_the_body(api: Api, path: str) -> None:
    status, body, answer = await ask(api, "HEAD", path)
    got_status, got_body, got = await ask(api, "GET", path)
    assert (status, body) == (got_status, b"") == (200, b"")
    assert answer.content_type == got.content_type
    assert int(answer.headers["Content-Length"]) == len(got_body)


async def test_head_of_a_notebook_has_its_tag_and_of_none_is_404(api: Api) -> None:
    path = f"/v1/notebook/{await api.create()}"
    _, _, got = await ask(api, "GET", path)
    status, _, answer = await ask(api, "HEAD", path)
    assert (status, answer.headers["ETag"]) == (200, got.headers["ETag"])
    assert (await ask(api, "HEAD", "/v1/notebook/00000000-0000-4000-8000-000000000000"))[0] == 404


@pytest.mark.parametrize("path", ["/v1/event", "/v1/backup"])
async def test_a_stream_has_no_head_and_says_what_it_has(api: Api, path: str) -> None:
    status, _, answer = await ask(api, "HEAD", path)
    assert status == 405
    assert "HEAD" not in answer.headers["Allow"]


async def test_a_trailing_slash_changes_nothing(api: Api) -> None:
    notebook = await api.create()
    for path in ("/v1/health", "/v1/notebook", f"/v1/notebook/{notebook}", "/metrics"):
        assert (await ask(api, "GET", f"{path}/"))[0] == (await ask(api, "GET", path))[0] == 200
    assert (await ask(api, "PUT", f"/v1/notebook/{notebook}/stop/"))[0] == 204
    assert (await ask(api, "GET", "/v1/health//"))[0] == 404
    _, figures, _ = await ask(api, "GET", "/metrics")
    assert b'route="/v1/health"' in figures
    assert b'route="/v1/health/"' not in figures


async def test_options_names_the_methods_of_every_path(api: Api) -> None:
    for route in ROUTES:
        path = re.sub(r"\{\w+\}", "00000000-0000-4000-8000-000000000000", route.path)
        status, body, answer = await ask(api, "OPTIONS", path)
        assert (status, body) == (204, b"")
        allowed = set(answer.headers["Allow"].split(", "))
        assert allowed - {"HEAD", "OPTIONS"} == {each.method for each in ROUTES if each.path == route.path}


async def test_a_browsers_preflight_is_refused(api: Api) -> None:
    said = await api.call("OPTIONS", "/v1/notebook", headers={"Origin": "http://evil.example"})
    assert said.status == 403
    assert "Access-Control-Allow-Origin" not in said.headers
