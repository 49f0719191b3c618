# SPDX-License-Identifier: Apache-2.0
"""The daemon, the gateway and the engine killed and stopped under running notebooks."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import aiohttp
import pytest

from notebookd.client import ClientError, Refused
from tests.engine.jupyter import kernel_channel
from tests.engine.live import Machine, eventually, random_moments, root

pytestmark = pytest.mark.engine

TICKS = 60
CELL = f"import time\nfor i in range({TICKS}):\n    print('tick', i, flush=True)\n    time.sleep(0.1)"


def execute_request(code: str) -> dict[str, Any]:
    header = {
        "msg_id": str(uuid.uuid4()),
        "msg_type": "execute_request",
        "session": "s",
        "username": "u",
        "version": "5.3",
    }
    content = {"code": code, "silent": False, "store_history": False, "allow_stdin": False, "user_expressions": {}}
    return {"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}


async def printed(channel: aiohttp.ClientWebSocketResponse) -> AsyncIterator[str]:
    """What the cell prints, line by line, until its reply."""
    rest = ""  # of a line that the kernel sent in two parts
    while True:
        message = await channel.receive(timeout=30)
        assert message.type is aiohttp.WSMsgType.TEXT, f"the websocket broke: {message}"
        body = json.loads(message.data)
        if body["header"]["msg_type"] == "stream":
            *lines, rest = (rest + body["content"]["text"]).split("\n")
            for line in lines:
                yield line
        if body["header"]["msg_type"] == "execute_reply":
            assert body["content"]["status"] == "ok"
            return


def killed_and_back(live: Machine) -> None:
    live.kill_daemon()
    live.service("start", "daemon")


async def test_a_killed_daemon_comes_back_and_no_notebook_notices(live: Machine) -> None:
    notebook = await asyncio.to_thread(live.run)
    before, leases = await asyncio.to_thread(lambda: (live.container(notebook), live.leases()))
    seen: list[str] = []
    async with kernel_channel(live, notebook) as channel, asyncio.TaskGroup() as tasks:
        await channel.send_json(execute_request(CELL))
        async for line in printed(channel):
            seen.append(line)
            if len(seen) == 5:
                tasks.create_task(asyncio.to_thread(killed_and_back, live))
        assert not channel.closed
    assert seen == [f"tick {i}" for i in range(TICKS)]
    after = await asyncio.to_thread(live.container, notebook)
    assert (after["Id"], after["State"]["Pid"]) == (before["Id"], before["State"]["Pid"])
    assert await asyncio.to_thread(lambda: (live.state(notebook), live.leases())) == ("RUNNING", leases)
    await asyncio.to_thread(live.stop, notebook)


def test_the_gateway_killed_comes_back_and_old_tokens_hold(live: Machine) -> None:
    notebook = live.run()
    token = live.token(notebook)
    live.service("kill", "gateway")
    with pytest.raises(ConnectionRefusedError):
        live.fetch(notebook, token=token)
    assert live.state(notebook) == "RUNNING"
    live.service("start", "gateway")
    assert live.fetch(notebook, token=token).status == 200


def test_an_end_that_nobody_watched_is_found_at_the_next_start(live: Machine) -> None:
    notebook = live.run()
    live.service("kill", "daemon")
    live.service("stop", "daemon")
    root("kill", "-KILL", str(live.container(notebook)["State"]["Pid"]))
    live.service("start", "daemon")
    ended = live.await_state(notebook, "FAILED", within_s=20)
    assert ended.status.last_job_status is not None
    live.await_order()


def strike(live: Machine, notebook: str, verb: str, moment_s: float) -> None:
    """Kill the daemon so long after asking for a start or a stop; bring it back and wait for order."""

    def ask() -> None:
        with suppress(ClientError):
            (live.client.start_notebook if verb == "start" else live.client.stop_notebook)(notebook)

    asking = threading.Thread(target=ask)
    asking.start()
    time.sleep(moment_s)
    live.kill_daemon()
    asking.join()
    live.service("start", "daemon")
    live.await_order(within_s=60)


def strike_often(live: Machine, count: int, seed: int) -> None:
    notebook = live.run()
    for moment_s in random_moments(count, 0.8, seed):
        verb = "stop" if live.state(notebook) == "RUNNING" else "start"
        print(f"{verb} {moment_s:.3f}")
        strike(live, notebook, verb, moment_s)
        assert live.state(notebook) in {"RUNNING", "STOPPED"}


def test_killed_at_any_moment_of_start_and_stop_it_finds_its_way(live: Machine) -> None:
    strike_often(live, 5, seed=1)


@pytest.mark.long
@pytest.mark.timeout(900)
def test_killed_at_thirty_moments_of_start_and_stop_it_finds_its_way(live: Machine) -> None:
    strike_often(live, 30, seed=2)


def test_killed_while_it_deletes_it_goes_on_deleting(live: Machine) -> None:
    for moment_s in (0.0, 0.3, 0.6):
        notebook = live.run()
        live.client.delete_notebook(notebook, force=True)
        time.sleep(moment_s)
        live.kill_daemon()
        live.service("start", "daemon")
        eventually(lambda it=notebook: live.find_state(it), lambda state: state is None)  # type: ignore[misc]
        assert live.containers() == {}
        assert notebook not in live.leases().values()


def test_created_while_the_engine_is_down_it_runs_when_it_is_back(live: Machine) -> None:
    steady = live.run()
    before = live.container(steady)
    live.service("kill", "engine")
    notebook = live.create()
    health = eventually(lambda: live.client.health().value, lambda seen: seen.status == "failed", within_s=15)
    assert {name: one.status for name, one in health.dependencies.items()} == {
        "engine": "failed",
        "gpus": "ok",
        "store": "ok",
    }
    time.sleep(1.5)
    assert (live.state(steady), live.state(notebook)) == ("RUNNING", "STARTING")
    assert live.fetch(steady, token=live.token(steady)).status == 200
    live.service("start", "engine")
    live.await_state(notebook, "RUNNING", within_s=40)
    after = live.container(steady)
    assert (after["Id"], after["State"]["Pid"]) == (before["Id"], before["State"]["Pid"])
    eventually(lambda: live.client.health().value, lambda seen: seen.status != "failed", within_s=15)


def test_stopped_while_the_engine_is_down_it_ends_when_it_is_back(live: Machine) -> None:
    notebook = live.run()
    live.service("kill", "engine")
    live.client.stop_notebook(notebook)
    time.sleep(1)
    assert live.state(notebook) == "STOPPING"
    assert notebook in live.leases().values(), "the GPUs of a container that may still run are not given away"
    live.service("start", "engine")
    live.await_state(notebook, "STOPPED", within_s=40)
    live.await_order()


def test_a_daemon_that_starts_without_an_engine_serves_and_waits_for_it(live: Machine) -> None:
    notebook = live.run()
    before = live.container(notebook)
    live.service("kill", "engine")
    live.kill_daemon()
    live.service("start", "daemon")
    assert live.state(notebook) == "RUNNING"
    eventually(lambda: live.client.health().value, lambda seen: seen.status == "failed", within_s=15)
    assert live.fetch(notebook, token=live.token(notebook)).status == 200
    with pytest.raises(Refused) as refusal:
        live.client.log(notebook)
    assert (refusal.value.status, refusal.value.code) == (503, "engine-unavailable")
    other = live.create()
    live.service("start", "engine")
    live.await_state(other, "RUNNING", within_s=40)
    after = live.container(notebook)
    assert (after["Id"], after["State"]["Pid"]) == (before["Id"], before["State"]["Pid"])
    live.stop(notebook)
    live.await_order()
