# SPDX-License-Identifier: Apache-2.0
"""What generators of clients need of the description: names that stay, and content types that they know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from notebookd.api import openapi
from notebookd.api.app import ROUTES
from tests.api.caller import Api
from tests.api.test_archives import tar

OPERATIONS = Path(__file__).with_name("operations.txt")
DOCUMENT = openapi.document(ROUTES, "0")


def operations() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every operation, with its method and path."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def is_known(kind: str) -> bool:
    """Whether openapi-python-client makes code for this content type of an answer."""
    return kind in {"application/json", "application/octet-stream"} or kind.startswith("text/")


def test_no_operation_is_called_otherwise_than_before() -> None:
    """Clients that were generated break. What is new is added to the list at its end."""
    listed = dict(line.rsplit(" ", 1) for line in OPERATIONS.read_text(encoding="utf-8").splitlines())
    assert {where: operation["operationId"] for where, operation in operations()} == listed
    assert len(set(listed.values())) == len(listed)


@pytest.mark.parametrize(("where", "operation"), list(operations()))
def test_a_name_is_an_act_in_words(where: str, operation: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z]+([A-Z][a-z]+)+", operation["operationId"]), where


@pytest.mark.parametrize(("where", "operation"), list(operations()))
def test_there_is_a_content_type_that_generators_know(where: str, operation: dict[str, Any]) -> None:
    for answer in operation["responses"].values():
        content = answer.get("content", {})
        assert not content or any(map(is_known, content)), where
        assert all("schema" in each for each in content.values())
    content = operation.get("requestBody", {"content": {}})["content"]
    assert set(content) <= {"application/json", "application/octet-stream"}, where


@pytest.mark.parametrize(
    ("accept", "path", "kind"),
    [
        (None, "/archive", "application/x-tar"),
        ("*/*", "/archive", "application/x-tar"),
        ("application/octet-stream", "/archive", "application/octet-stream"),
        ("application/octet-stream;q=0.9, application/x-tar", "/archive", "application/x-tar"),
        ("text/plain", "/log?follow=1", "text/plain"),
    ],
)
async def test_a_stream_is_called_as_it_is_asked_for(api: Api, accept: str | None, path: str, kind: str) -> None:
    notebook = await api.create()
    headers = {} if accept is None else {"Accept": accept}
    async with api.session.get(f"http://localhost/v1/notebook/{notebook}{path}", headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, kind)


@pytest.mark.parametrize(
    ("accept", "path", "kind"),
    [
        ("application/octet-stream", "/v1/backup", "application/octet-stream"),
        ("*/*", "/v1/backup", "application/vnd.sqlite3"),
        ("text/plain", "/v1/event?limit=1", "text/plain"),
        ("text/*", "/v1/event?limit=1", "application/x-ndjson"),
    ],
)
async def test_so_are_backups_and_events(api: Api, accept: str, path: str, kind: str) -> None:
    async with api.session.get(f"http://localhost{path}", headers={"Accept": accept}) as answer:
        assert (answer.status, answer.content_type) == (200, kind)


async def test_an_archive_may_be_sent_as_plain_bytes(api: Api) -> None:
    notebook = await api.create()
    kind = {"Content-Type": "application/octet-stream"}
    said = await api.call("PUT", f"/v1/notebook/{notebook}/archive", raw=tar(a=b"aa"), headers=kind)
    assert said.status == 204
    assert (api.world.config.paths.workspaces / notebook / "a").read_bytes() == b"aa"
