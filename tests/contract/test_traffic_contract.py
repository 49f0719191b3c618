# SPDX-License-Identifier: Apache-2.0
"""What every implementation of the traffic port keeps to, and what spoils the files of the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import pytest

from notebookd.adapters.gateway_activity import GatewayNotes
from notebookd.domain.activity import GatewayUse
from notebookd.domain.ids import NotebookId
from notebookd.domain.observed import Known, Unknown
from notebookd.gateway.activity import ActivityBook
from notebookd.ports.activity import Traffic
from notebookd.testing.activity import FakeTraffic
from tests.values import NOTEBOOK_ID, NOW

OTHER = NotebookId("33333333-3333-4333-8333-333333333333")
NEVER = Known(GatewayUse(connections=0, last_used_at=None))


class World(Protocol):
    """A gateway with levers, and the port on it."""

    traffic: Traffic

    def connect(self, times: int) -> None:
        """So many browsers connect to the notebook at NOW."""

    def end(self) -> None:
        """The gateway ends."""


class FakeWorld:
    def __init__(self) -> None:
        self.traffic = self._fake = FakeTraffic()

    def connect(self, times: int) -> None:
        self._fake.note(NOTEBOOK_ID, connections=times, last_used_at=NOW)

    def end(self) -> None:
        self._fake.up = False


class RealWorld:
    def __init__(self, directory: Path) -> None:
        self.traffic = GatewayNotes(directory)
        self._open = ExitStack()
        self._book = ActivityBook(directory, now=NOW.timestamp, exists=lambda _: True)
        self._book.open()

    def connect(self, times: int) -> None:
        for _ in range(times):
            self._open.enter_context(self._book.connection(NOTEBOOK_ID))

    def end(self) -> None:
        self._book.close()

    def clear(self) -> None:
        self._open.close()
        self._book.close()


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[RealWorld]:
    made = RealWorld(tmp_path)
    yield made
    made.clear()


@pytest.fixture(params=["fake", "real"])
def world(request: pytest.FixtureRequest, real: RealWorld) -> World:
    return real if request.param == "real" else FakeWorld()


async def test_a_notebook_that_nobody_opened_is_known_to_be_unused(world: World) -> None:
    assert world.traffic.use(NOTEBOOK_ID) == NEVER


async def test_connections_are_told_with_the_time_of_the_last_traffic(world: World) -> None:
    world.connect(2)
    assert world.traffic.use(NOTEBOOK_ID) == Known(GatewayUse(connections=2, last_used_at=NOW))
    assert world.traffic.use(OTHER) == NEVER


async def test_while_the_gateway_is_down_nobody_can_tell(world: World) -> None:
    world.connect(1)
    world.end()
    for notebook in (NOTEBOOK_ID, OTHER):
        seen = world.traffic.use(notebook)
        assert isinstance(seen, Unknown)
        assert "gateway" in seen.reason


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        '{"lastActivityAt": 1e300, "connections": 0, "updatedAt": 1}',
        '{"lastActivityAt": "now", "connections": 0, "updatedAt": 1}',
        '{"lastActivityAt": null, "connections": 0.5, "updatedAt": 1}',
    ],
)
async def test_a_note_that_makes_no_sense_is_unknown(real: RealWorld, tmp_path: Path, text: str) -> None:
    (tmp_path / f"{NOTEBOOK_ID}.json").write_text(text)
    assert isinstance(real.traffic.use(NOTEBOOK_ID), Unknown)


async def test_a_note_that_is_no_file_and_a_folder_that_is_none_are_unknown(real: RealWorld, tmp_path: Path) -> None:
    (tmp_path / f"{OTHER}.json").symlink_to("/etc/passwd")
    assert isinstance(real.traffic.use(OTHER), Unknown)
    assert isinstance(GatewayNotes(tmp_path / "nowhere").use(OTHER), Unknown)


async def test_times_are_aware(world: World) -> None:
    world.connect(1)
    seen = world.traffic.use(NOTEBOOK_ID)
    assert isinstance(seen, Known)
    assert isinstance(seen.value.last_used_at, datetime)
    assert seen.value.last_used_at.tzinfo is UTC
