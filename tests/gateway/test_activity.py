# SPDX-License-Identifier: Apache-2.0
"""What the gateway notes of use."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from notebookd.gateway.activity import ActivityBook
from notebookd.routes import Activity, activity_is_kept, find_activity, list_activity, write_activity

from .conftest import ALICE, BEARER, BOB, Deck, ToyEditor


async def test_open_websockets_are_counted_at_once(deck: Deck, editor: ToyEditor) -> None:
    deck.clock[0] = 100.0
    async with deck.ws(headers=BEARER) as first:
        await first.send_str("x")
        await first.receive_str(timeout=5)
        assert deck.activity() == Activity(last_activity_at=100.0, connections=1, updated_at=100.0)
        deck.clock[0] = 200.0
        async with deck.ws(headers=BEARER) as second:
            await second.send_str("x")
            await second.receive_str(timeout=5)
            assert deck.activity() == Activity(last_activity_at=200.0, connections=2, updated_at=200.0)
    async with asyncio.timeout(5):
        while (noted := deck.activity()) is None or noted.connections:
            await asyncio.sleep(0.01)


async def test_what_is_refused_is_no_activity(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ask("GET", "/") as answer:
        assert answer.status == 401
    deck.publish(state="STARTING")
    async with deck.ask("GET", "/", headers=BEARER) as answer:
        assert answer.status == 503
    assert deck.activity() is None


async def test_first_request_is_noted(deck: Deck, editor: ToyEditor) -> None:
    async with deck.ask("GET", "/", headers=BEARER) as answer:
        assert answer.status == 200
    assert deck.activity() == Activity(last_activity_at=deck.clock[0], connections=0, updated_at=deck.clock[0])


class _Book:
    """A book over a folder, with levers."""

    def __init__(self, directory: Path, period_s: float = 3600.0) -> None:
        self.at = 1.0
        self.existing = {ALICE, BOB}
        self.directory = directory
        self.book = ActivityBook(
            directory, now=lambda: self.at, exists=lambda notebook: notebook in self.existing, period_s=period_s
        )

    def noted(self) -> Activity | None:
        return find_activity(self.directory, ALICE)


async def test_traffic_is_written_at_most_once_a_period(tmp_path: Path) -> None:
    world = _Book(tmp_path)
    world.book.touch(ALICE)
    world.at = 2.0
    for _ in range(100):
        world.book.touch(ALICE)
    assert world.noted() == Activity(last_activity_at=1.0, connections=0, updated_at=1.0)
    world.book.close()
    assert world.noted() == Activity(last_activity_at=2.0, connections=0, updated_at=2.0)


async def test_what_is_due_gets_written(tmp_path: Path) -> None:
    world = _Book(tmp_path, period_s=0.05)
    world.book.touch(ALICE)
    world.at = 2.0
    world.book.touch(ALICE)
    async with asyncio.timeout(5):
        while world.noted() != Activity(last_activity_at=2.0, connections=0, updated_at=2.0):
            await asyncio.sleep(0.01)


async def test_connections_of_a_gateway_that_died_are_gone_and_count_as_use_until_now(tmp_path: Path) -> None:
    write_activity(tmp_path, ALICE, Activity(last_activity_at=0.5, connections=3, updated_at=0.5))
    write_activity(tmp_path, BOB, Activity(last_activity_at=0.5, connections=3, updated_at=0.5))
    world = _Book(tmp_path)
    world.existing = {ALICE}
    world.book.open()
    assert list_activity(tmp_path) == {ALICE: Activity(last_activity_at=1.0, connections=0, updated_at=1.0)}


async def test_times_of_a_gateway_that_died_still_hold(tmp_path: Path) -> None:
    write_activity(tmp_path, ALICE, Activity(last_activity_at=0.5, connections=0, updated_at=0.5))
    world = _Book(tmp_path)
    world.book.open()
    assert list_activity(tmp_path) == {ALICE: Activity(last_activity_at=0.5, connections=0, updated_at=1.0)}


async def test_the_book_vouches_for_its_notes_from_open_to_close(tmp_path: Path) -> None:
    world = _Book(tmp_path)
    world.book.touch(ALICE)
    assert not activity_is_kept(tmp_path)
    world.book.open()
    assert activity_is_kept(tmp_path)
    world.book.touch(ALICE)
    assert activity_is_kept(tmp_path)
    world.book.close()
    assert not activity_is_kept(tmp_path)


async def test_a_book_that_cannot_write_vouches_for_nothing_until_it_can(tmp_path: Path) -> None:
    directory, away = tmp_path / "activity", tmp_path / "away"
    directory.mkdir()
    world = _Book(directory, period_s=0.05)
    world.book.open()
    directory.rename(away)
    with world.book.connection(ALICE):
        away.rename(directory)
        assert not activity_is_kept(directory)
        async with asyncio.timeout(5):
            while not activity_is_kept(directory):
                await asyncio.sleep(0.01)
        assert world.noted() == Activity(last_activity_at=1.0, connections=1, updated_at=1.0)
    world.book.close()


async def test_a_second_book_vouches_when_the_first_one_is_closed(tmp_path: Path) -> None:
    first, second = _Book(tmp_path, period_s=0.05), _Book(tmp_path, period_s=0.05)
    first.book.open()
    second.book.open()
    first.book.close()
    assert not activity_is_kept(tmp_path)
    async with asyncio.timeout(5):
        while not activity_is_kept(tmp_path):
            await asyncio.sleep(0.01)
    second.book.close()
    assert not activity_is_kept(tmp_path)


async def test_a_gateway_that_is_killed_vouches_for_nothing(tmp_path: Path) -> None:
    script = "import sys, pathlib, notebookd.routes as r; r.keep_activity(pathlib.Path(sys.argv[1])); print(1, flush=1)"
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, "-c", f"{script}; input()", tmp_path, stdin=PIPE, stdout=PIPE
    )
    assert gateway.stdout is not None
    await gateway.stdout.readline()
    assert activity_is_kept(tmp_path)
    gateway.kill()
    await gateway.wait()
    assert not activity_is_kept(tmp_path)


async def test_deleted_notebook_is_forgotten_when_its_last_connection_closes(tmp_path: Path) -> None:
    world = _Book(tmp_path)
    with world.book.connection(ALICE):
        world.existing.clear()
    assert list_activity(tmp_path) == {}


async def test_folder_that_cannot_be_written_stops_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    world = _Book(tmp_path / "missing")
    with world.book.connection(ALICE):
        world.book.touch(ALICE)
    assert "cannot note activity" in caplog.text
    (tmp_path / "missing").mkdir()
    world.book.close()
    with world.book.connection(ALICE):
        assert world.noted() is not None
