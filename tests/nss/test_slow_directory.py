# SPDX-License-Identifier: Apache-2.0
"""A directory service that takes its time: who waits for it, and who does not."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from notebookd.adapters.directory import FRESH_S
from tests.figures import Rows
from tests.nss.directory import WATCHDOG_S, Daemon, build, open_daemon

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can ask as several accounts")

MEMBERS, ADMINS, OTHERS = 71_001, 71_002, 71_003
ANN, BOB, CAT, DAN = 61_001, 61_002, 61_003, 61_004
ACCOUNTS = (
    f"user {ANN} {MEMBERS} ann",
    f"user {BOB} {MEMBERS} bob",
    f"user {CAT} {ADMINS} cat",
    f"user {DAN} {MEMBERS} dan",
    f"group {MEMBERS} - nss-members",
    f"group {ADMINS} - nss-admins",
    f"group {OTHERS} {ANN},{BOB} nss-others",
)
SLOW_MS = int(os.environ.get("NOTEBOOKD_NSS_MS", "6000"))
QUICK_S = 4.0
"""For who is known: a process that asks, on a busy machine, and the moment for which a newer answer is waited for."""
CONFIG = '[api]\nsocket = "{}/api.sock"\ngroup = "nss-members"\nadmin_group = "nss-admins"\n'
CPU = {"env": {"editorId": "jupyterlab", "frameworkId": "conda"}, "resources": {"cpu": 1}}


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.getbasetemp().parent / "nss")


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="notebookd-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
async def daemon(folder: Path, library: Path) -> AsyncIterator[Daemon]:
    async with open_daemon(folder, library, CONFIG.format(folder), *ACCOUNTS) as opened:
        yield opened


async def test_who_is_known_and_root_are_served_while_nobody_can_be_looked_up(
    daemon: Daemon, figures: dict[str, Rows]
) -> None:
    for uid, gid in ((ANN, MEMBERS), (CAT, ADMINS), (0, 0)):
        assert (await daemon.ask(uid, gids=[gid])).status == 200
    token = (await daemon.ask(ANN, "POST", "/v1/token", {"name": "t", "role": "ai_training_read"}, gids=[MEMBERS])).body
    shown = {"Authorization": f"Bearer {token['status']['value']}"}
    assert (await daemon.ask(0, **shown)).body["name"] == "ann"
    await asyncio.sleep(FRESH_S + 0.5)
    daemon.says(*ACCOUNTS, f"slow * {SLOW_MS}")
    daemon.pings.clear()
    async with asyncio.TaskGroup() as tasks:
        unknown = [tasks.create_task(daemon.ask(uid, gids=[MEMBERS])) for uid in (BOB, DAN)]
        await asyncio.sleep(0.5)
        known = [tasks.create_task(daemon.ask(uid, gids=[gid])) for uid, gid in ((0, 0), (ANN, MEMBERS), (CAT, ADMINS))]
        known.append(tasks.create_task(daemon.ask(0, **shown)))
        await asyncio.wait(known)
        assert not any(each.done() for each in unknown)
    assert [each.result().body["name"] for each in known] == ["root", "ann", "cat", "ann"]
    took = [each.result().took_s for each in known]
    assert max(took) < QUICK_S
    assert [each.result().body["name"] for each in unknown] == ["bob", "dan"]
    assert all(each.result().took_s > SLOW_MS / 1000 * 0.9 for each in unknown)
    assert daemon.longest_silence_s() < WATCHDOG_S
    assert daemon.looked_up_by_the_loop() == []
    figures.setdefault("a directory service that is slow", {})[f"lookups take {SLOW_MS} ms"] = (
        f"who is known is served within {max(took):.2f} s, longest time between two signs of life "
        f"{daemon.longest_silence_s():.2f} s"
    )


async def test_one_name_that_hangs_holds_up_nobody_else(daemon: Daemon) -> None:
    daemon.says(*ACCOUNTS, f"slow {BOB} {SLOW_MS}")
    daemon.pings.clear()
    async with asyncio.TaskGroup() as tasks:
        bob = tasks.create_task(daemon.ask(BOB, gids=[MEMBERS]))
        for uid, gid in ((ANN, MEMBERS), (CAT, ADMINS), (0, 0), (DAN, MEMBERS)):
            said = await daemon.ask(uid, gids=[gid, OTHERS])
            assert (said.status, said.took_s < QUICK_S) == (200, True)
        assert not bob.done()
    assert (bob.result().status, bob.result().body["name"]) == (200, "bob")
    assert daemon.longest_silence_s() < WATCHDOG_S
    assert daemon.looked_up_by_the_loop() == []


async def test_root_is_served_by_a_daemon_that_could_look_nothing_up_yet(folder: Path, library: Path) -> None:
    async with open_daemon(folder, library, CONFIG.format(folder), *ACCOUNTS) as daemon:
        daemon.says(*ACCOUNTS, f"slow * {SLOW_MS}")
        said = await daemon.ask(0)
        assert (said.status, said.body["name"], said.body["role"]) == (200, "root", "administrator")
        assert said.took_s < QUICK_S
        assert (await daemon.ask(0, "POST", "/v1/notebook", CPU)).status == 200
        daemon.process.terminate()
        async with asyncio.timeout(SLOW_MS / 1000):
            assert await daemon.process.wait() == 0, "nobody waits for the directory service at the end"


async def test_a_slow_start_is_told_to_systemd_and_comes(folder: Path, library: Path) -> None:
    async with open_daemon(folder, library, CONFIG.format(folder), *ACCOUNTS, "slow notebookd-gateway 6000") as daemon:
        assert (await daemon.ask(ANN, gids=[MEMBERS])).status == 200
        assert "the directory service (NSS) does not answer" in (folder / "log").read_text()
