# SPDX-License-Identifier: Apache-2.0
"""The admin's backup: a whole database or a refusal, and for admins alone."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from notebookd.adapters.sqlite import SqliteStore
from notebookd.adapters.sqlite.copies import examine_copy
from notebookd.client import Client
from notebookd.domain.ids import NotebookId
from notebookd.testing.house import World
from tests.api.caller import Api
from tests.api.people import People


async def fetch(api: Api, path: str = "/v1/backup") -> tuple[int, dict[str, str], bytes]:
    async with api.session.get(f"http://localhost{path}") as answer:
        return answer.status, dict(answer.headers), await answer.read()


def beside(world: World) -> list[str]:
    return [each.name for each in world.config.paths.state.iterdir() if ".copy-" in each.name]


async def test_a_backup_is_a_database_with_what_there_is_under_a_dated_name(api: Api, tmp_path: Path) -> None:
    notebook = await api.create()
    status, headers, body = await fetch(api)
    assert status == 200
    assert (
        headers["Content-Disposition"] == f'attachment; filename="notebookd-{api.world.clock.now():%Y%m%dT%H%M%SZ}.db"'
    )
    assert (headers["Content-Length"], headers["Cache-Control"]) == (str(len(body)), "no-store")
    copy = tmp_path / "copy.db"
    copy.write_bytes(body)
    assert examine_copy(copy).instance == api.house.services.instance
    async with SqliteStore.open(copy, api.world.clock.now(), ballast_bytes=1) as store:
        entry = store.find_entry(NotebookId(notebook))
        assert entry == api.house.store.find_entry(NotebookId(notebook))
    assert beside(api.world) == []


async def test_the_client_gets_the_same_and_is_told_how_far_it_is(api: Api, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    with (tmp_path / "copy.db").open("wb") as sink:
        size = await asyncio.to_thread(
            Client(str(api.socket)).backup, sink, lambda done, whole: told.append((done, whole))
        )
    assert (tmp_path / "copy.db").stat().st_size == size
    assert told[-1] == (size, size)
    examine_copy(tmp_path / "copy.db")


async def test_a_member_gets_no_backup(api: Api, people: People) -> None:
    said = await api.ask_as(people.alice, "GET", "/v1/backup")
    assert (said.status, said.code) == (403, "forbidden")
    said = await api.ask_as(people.stranger, "GET", "/v1/backup")
    assert said.status in {0, 403}


async def test_without_room_for_it_the_refusal_comes_before_any_byte(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api.house.store, "_ballast", type("Huge", (), {"size": 2**62, "trim": lambda _: None})())
    said = await api.call("GET", "/v1/backup")
    assert (said.status, said.code) == (503, "store-unavailable")
    assert "of its disk are free" in said.body["message"]
    assert beside(api.world) == []


async def test_a_reader_that_leaves_in_the_middle_leaves_nothing_behind(api: Api) -> None:
    async with api.house.store.transaction() as tx:
        await tx.put_meta("bulk", "x" * 8_000_000)
    reader, writer = await asyncio.open_unix_connection(str(api.socket))
    writer.write(b"GET /v1/backup HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.transport.abort()
    await api.create()
    status, headers, body = await fetch(api)
    assert (status, headers["Content-Length"]) == (200, str(len(body)))
    assert beside(api.world) == []
