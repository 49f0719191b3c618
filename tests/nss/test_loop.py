# SPDX-License-Identifier: Apache-2.0
"""Nothing holds a real daemon's event loop up: not accounts, not a file system, not who reads or locks the database."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.figures import Rows
from tests.loops import MOST_S, TOPIC, logged_line
from tests.nss.directory import Daemon, open_daemon
from tests.nss.test_slow_directory import ACCOUNTS, ANN, BOB, CONFIG, CPU, DAN, MEMBERS, folder, library

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as several accounts")
__all__ = ["folder", "library"]

SLOW_MS = 700
ROUTES = (
    "/v1/notebook",
    "/v1/me",
    "/v1/capabilities/flavor",
    "/v1/capabilities/quota",
    "/v1/gpu",
    "/v1/queue",
    "/v1/usage",
    "/v1/datastore",
    "/v1/config",
    "/v1/health",
    "/v1/openapi.json",
    "/v1/token",
)


@pytest.fixture
async def daemon(folder: Path, library: Path) -> AsyncIterator[Daemon]:
    async with open_daemon(folder, library, CONFIG.format(folder), *ACCOUNTS) as opened:
        yield opened


async def test_nothing_holds_the_loop_up_for_long(daemon: Daemon, figures: dict[str, Rows]) -> None:
    daemon.says(*ACCOUNTS, f"slow * {SLOW_MS}", f"slow statvfs {SLOW_MS}")
    made = [await daemon.ask(uid, "POST", "/v1/notebook", CPU, gids=[MEMBERS]) for uid in (ANN, BOB)]
    assert [said.status for said in made] == [200, 200]
    database = daemon.folder / "state" / "notebookd.db"
    with (
        closing(sqlite3.connect(database, isolation_level=None)) as reader,
        closing(sqlite3.connect(database)) as writer,
    ):
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM event").fetchone()[0] > 0
        async with asyncio.TaskGroup() as tasks:
            calls = [tasks.create_task(daemon.ask(ANN, path=path, gids=[MEMBERS])) for path in ROUTES]
            calls.append(tasks.create_task(daemon.ask(ANN, path=f"/v1/notebook/{made[0].body['id']}", gids=[MEMBERS])))
            await asyncio.sleep(1)
            writer.execute("BEGIN IMMEDIATE")
            label = tasks.create_task(
                daemon.ask(
                    ANN, "PUT", f"/v1/notebook/{made[0].body['id']}/label", {"name": "a", "value": "b"}, gids=[MEMBERS]
                )
            )
            dan = tasks.create_task(daemon.ask(DAN, path="/v1/notebook", gids=[MEMBERS]))
            await asyncio.sleep(2)
            assert not label.done(), "it waits for the other writer"
            writer.rollback()
    assert [call.result().status for call in calls] == [200] * len(calls)
    assert (label.result().status, dan.result().status) == (204, 200)
    assert daemon.looked_up_by_the_loop() == []
    blocks = daemon.blocks()
    over = [words for own_ms, words in blocks if own_ms > MOST_S * 1000]
    conditions = f"a real daemon, NSS and statvfs {SLOW_MS} ms, its database read and locked by others"
    figures.setdefault(TOPIC, {})[conditions] = logged_line(blocks)
    assert over == []
