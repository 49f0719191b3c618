# SPDX-License-Identifier: Apache-2.0
"""A stop reaches everybody in the container, and orphans are collected."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.engine.farewell import LEVELS, ORPHANS, await_marks, marks, plant, sees_everybody_off, zombies
from tests.engine.jupyter import begin, busy
from tests.engine.live import Machine, eventually
from tests.engine.test_live_images import offered
from tests.engine.test_live_states import job

pytestmark = pytest.mark.engine

CELL_S = 15
CELL = f"""
import time
from pathlib import Path
try:
    Path("/workspace/cell.ready").touch()
    time.sleep(600)
except KeyboardInterrupt:
    time.sleep({CELL_S})
    Path("/workspace/cell.done").touch()
"""


@asynccontextmanager
async def terminal(live: Machine, notebook: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A terminal of JupyterLab, as a browser has it open."""
    name = begin(live, notebook, "terminals")["name"]
    host, port = live.gateway
    headers = {"Host": f"{notebook}.localhost:{port}", "Authorization": f"Bearer {live.token(notebook)}"}
    url = f"http://{host}:{port}/terminals/websocket/{name}"
    async with aiohttp.ClientSession(headers=headers) as session, session.ws_connect(url) as channel:
        yield channel


def test_orphans_are_collected(live: Machine) -> None:
    notebook = live.run()
    live.execute(notebook, "python3", "-c", ORPHANS, "3000")
    init = live.container(notebook)["State"]["Pid"]
    eventually(lambda: zombies(init), lambda seen: seen == [], within_s=20, what="an end to the orphans")
    assert live.execute(notebook, "cat", "/proc/1/comm").strip() != "python3"


@pytest.mark.parametrize("editor", ["jupyterlab", "vscode"])
def test_a_tree_of_processes_is_told_and_has_its_time(live: Machine, editor: str) -> None:
    if editor != "jupyterlab":
        offered(live, editor)
    notebook = live.run("conda", editor)
    sees_everybody_off(live, notebook)
    assert (job(live.get(notebook)).state, live.containers()) == ("INTERRUPTED", {})


async def test_a_program_in_a_terminal_has_its_time_and_its_shell_holds_up_nobody(live: Machine) -> None:
    notebook = live.run()
    live.execute(notebook, "sh", "-c", "true")
    plant(live, notebook, "first")
    async with terminal(live, notebook) as idle, terminal(live, notebook) as channel:
        await idle.send_str(json.dumps(["stdin", "echo hello\r"]))
        await channel.send_str(json.dumps(["stdin", "cd /workspace && python3 tree.py 1 4 shown\r"]))
        await_marks(live, notebook, "shown", "ready")
        begun = time.monotonic()
        live.stop(notebook)
    assert marks(live, notebook, "shown", "done") == list(LEVELS)
    assert marks(live, notebook, "first", "done") == list(LEVELS)
    assert time.monotonic() - begun < 20


def test_a_cell_that_saves_when_it_is_interrupted_has_its_time(live: Machine) -> None:
    notebook = live.run()
    busy(live, notebook, begin(live, notebook, "kernels")["id"], CELL)
    folder = live.workspace(notebook)
    eventually((folder / "cell.ready").exists, bool, within_s=20)
    begun = time.monotonic()
    live.stop(notebook)
    assert (folder / "cell.done").exists()
    assert time.monotonic() - begun < CELL_S + 12


def test_an_idle_notebook_stops_at_once(live: Machine) -> None:
    notebook = live.run()
    begin(live, notebook, "kernels")
    begin(live, notebook, "terminals")
    begun = time.monotonic()
    live.stop(notebook)
    assert time.monotonic() - begun < 6


def test_a_stop_is_taken_up_again_after_the_daemon_died(live: Machine) -> None:
    notebook = live.run()
    plant(live, notebook)
    live.client.stop_notebook(notebook)
    await_marks(live, notebook, "tree", "told")
    live.kill_daemon()
    live.service("start", "daemon")
    live.await_state(notebook, "STOPPED")
    assert marks(live, notebook, "tree", "done") == list(LEVELS)


def test_a_stop_ends_what_does_not_listen(odd: Machine) -> None:
    notebook = odd.create("toy", "odd", env={"DEED": "serve"})
    odd.await_state(notebook, "RUNNING")
    odd.execute(notebook, "sh", "-c", "trap '' TERM; setsid sleep 300 >/dev/null 2>&1 &")
    begun = time.monotonic()
    odd.stop(notebook)
    assert 2 <= time.monotonic() - begun < 15
    assert odd.containers() == {}
