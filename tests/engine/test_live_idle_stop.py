# SPDX-License-Identifier: Apache-2.0
"""A real JupyterLab or VS Code that nobody uses is stopped; one that somebody may be using is not.

Each notebook that is to be kept is watched beside another that is not: when that one is stopped, the watch has looked
at both for a whole window.
"""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from notebookd import wire
from tests.engine.jupyter import begin, busy, kernel_channel, terminal_channel
from tests.engine.live import WITHOUT_SNAPSHOTS, Machine, eventually, quickstart
from tests.engine.test_live_images import is_offered, offered

pytestmark = pytest.mark.engine

WINDOW_S = 5.0
LABEL = "notebookd/idle-stop"
SIGNALS = ("person", "browser", "kernels", "terminals", "cpus", "gpus")
SOCKET, AWAY = "/run/editor/editor.sock", "/run/editor/away.sock"


@pytest.fixture(scope="module")
def idle_machine(outer: Machine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """One more notebookd, which stops what idles for seconds."""
    config = tmp_path_factory.mktemp("idle") / "notebookd.toml"
    config.write_text(f'{WITHOUT_SNAPSHOTS}[lifecycle]\nidle_stop = "{WINDOW_S:.0f}s"\nwarn_before = ["3s"]\n')
    vscode = ("--image", "vscode") if is_offered(outer, "vscode") else ()
    with quickstart("--gpus", "4", "--config", str(config), *vscode) as machine:
        yield machine


@pytest.fixture
def idle(idle_machine: Machine) -> Iterator[Machine]:
    """The one that stops what idles, put in order after each test."""
    yield idle_machine
    idle_machine.clean_up()


def why(machine: Machine, notebook: str) -> str:
    """What it says of a notebook, line by line."""
    return "\n".join(machine.client.why(notebook).value.sentences)


def await_stop(machine: Machine, notebook: str) -> wire.Notebook:
    return machine.await_state(notebook, "STOPPED", within_s=4 * WINDOW_S + 20)


def outlive_an_idle_one(machine: Machine, *notebooks: str) -> None:
    """They still run when another, started now, was found idle."""
    control = machine.run()
    await_stop(machine, control)
    assert {notebook: machine.state(notebook) for notebook in notebooks} == dict.fromkeys(notebooks, "RUNNING")


def test_one_that_is_idle_on_every_signal_is_stopped_and_says_so(idle: Machine) -> None:
    notebook = idle.run()
    begin(idle, notebook, "kernels")
    begin(idle, notebook, "terminals")
    text = eventually(
        lambda: why(idle, notebook), lambda seen: "its programs use" in seen, what="a look at every signal, twice"
    )
    for signal in SIGNALS:
        assert f"{signal}: " in text
    (ends, _) = idle.client.why(notebook).value.deadlines
    assert ends.reason == "idle-stop"
    began = time.monotonic()
    ended = await_stop(idle, notebook)
    assert time.monotonic() - began < 2 * WINDOW_S + 5, "asking why, and looking, are no use of it"
    job = ended.status.last_job_status
    assert job is not wire.UNSET
    assert job.state == "INTERRUPTED"
    assert isinstance(job.info, wire.Info)
    assert job.info.code == "JOB_INTERRUPTED_BY_PLATFORM"
    for told in (job.info.message, why(idle, notebook)):
        for part in ("idle for 5s", "no kernel busy since", "terminal '1' quiet since", "GPU 0 at 0 %"):
            assert part in told
    ending = idle.client.receipt(notebook).value.ended
    assert isinstance(ending, wire.Ending)
    assert "idle for 5s" in ending.message
    events = [each.value for each in idle.client.events(notebook=notebook)]
    warned = [each.details["reason"] for each in events if each.type == "notebook.warning" and each.details]
    assert warned, "and anew where the kernel came after the first"
    assert set(warned) == {"idle-stop"}
    idle.start(notebook)


def test_a_busy_silent_cell_keeps_it_and_its_end_does_not(idle: Machine) -> None:
    notebook = idle.run()
    kernel = begin(idle, notebook, "kernels")["id"]
    busy(idle, notebook, kernel, f"import time; time.sleep({3 * WINDOW_S})")
    outlive_an_idle_one(idle, notebook)
    assert "kernel 'python3' busy now" in why(idle, notebook)
    await_stop(idle, notebook)


async def test_a_silent_program_in_a_terminal_keeps_it_and_its_end_does_not(idle: Machine) -> None:
    notebook = await asyncio.to_thread(idle.run)
    name = (await asyncio.to_thread(begin, idle, notebook, "terminals"))["name"]
    loop = "while [ ! -e /workspace/enough ]; do :; done"
    async with terminal_channel(idle, notebook, name) as terminal:
        await terminal.send_json(["stdin", f"nohup sh -c '{loop}' >/dev/null 2>&1 & echo begun-$((1 + 1))\r"])
        async with asyncio.timeout(20):
            async for message in terminal:
                if "begun-2" in message.data:
                    break
    await asyncio.to_thread(outlive_an_idle_one, idle, notebook)
    assert re.search(r"its programs use [0-9]+ % of a CPU", await asyncio.to_thread(why, idle, notebook))
    idle.execute(notebook, "touch", "/workspace/enough")
    await asyncio.to_thread(await_stop, idle, notebook)


def test_one_whose_editor_cannot_be_reached_is_kept_and_seen_again_it_is_not(idle: Machine) -> None:
    notebook = idle.run()
    idle.execute(notebook, "mv", SOCKET, AWAY)
    outlive_an_idle_one(idle, notebook)
    assert "cannot see kernels: the editor cannot be reached" in why(idle, notebook)
    assert [each.reason for each in idle.client.why(notebook).value.deadlines] == ["timeout"]
    idle.execute(notebook, "mv", AWAY, SOCKET)
    await_stop(idle, notebook)


def test_while_the_gateway_is_down_nobody_is_stopped(idle: Machine) -> None:
    notebook = idle.run()
    idle.service("kill", "gateway")
    time.sleep(2 * WINDOW_S)
    assert idle.state(notebook) == "RUNNING"
    assert "the gateway is not there" in why(idle, notebook)
    idle.service("start", "gateway")
    await_stop(idle, notebook)


async def test_an_open_tab_keeps_it_and_a_closed_one_does_not(idle: Machine) -> None:
    notebook = await asyncio.to_thread(idle.run)
    async with kernel_channel(idle, notebook):
        await asyncio.to_thread(outlive_an_idle_one, idle, notebook)
        assert "1 browser connection open now" in await asyncio.to_thread(why, idle, notebook)
    await asyncio.to_thread(await_stop, idle, notebook)


@asynccontextmanager
async def workbench_channel(live: Machine, notebook: str) -> AsyncIterator[None]:
    """The websocket of VS Code's page, through the gateway."""
    host, port = live.gateway
    headers = {"Host": f"{notebook}.localhost:{port}", "Authorization": f"Bearer {live.token(notebook)}"}
    async with aiohttp.ClientSession(f"http://{host}:{port}", headers=headers) as session:
        async with session.get("/?folder=/workspace") as page:
            path = re.search(r"stable-[0-9a-f]{40}", await page.text())
        assert path is not None
        query = f"reconnectionToken={uuid.uuid4()}&reconnection=false&skipWebSocketFrames=false"
        async with session.ws_connect(f"/{path[0]}?{query}"):
            yield


async def test_vs_code_is_kept_by_a_tab_a_busy_program_or_silence_and_by_nothing_else(idle: Machine) -> None:
    offered(idle, "vscode")
    starts = (asyncio.to_thread(idle.run, "conda", "vscode") for _ in range(3))
    tab, program, mute = await asyncio.gather(*starts)
    idle.execute(program, "sh", "-c", "while [ ! -e /workspace/enough ]; do :; done >/dev/null 2>&1 &")
    idle.execute(mute, "mv", SOCKET, AWAY)
    async with workbench_channel(idle, tab):
        await asyncio.to_thread(outlive_an_idle_one, idle, tab, program, mute)
        assert "1 browser connection open now" in why(idle, tab)
        assert re.search(r"its programs use [0-9]+ % of a CPU", why(idle, program))
        assert "cannot see heartbeat: the editor cannot be reached" in why(idle, mute)
    idle.execute(program, "touch", "/workspace/enough")
    idle.execute(mute, "mv", AWAY, SOCKET)
    for notebook in (tab, program, mute):
        await asyncio.to_thread(await_stop, idle, notebook)
        told = why(idle, notebook)
        for part in (
            "idle for 5s",
            "no browser connection since",
            "no heartbeat since",
            "of a CPU, not over 5 % since",
        ):
            assert part in told


def test_the_label_keeps_one_until_it_is_taken_off(idle: Machine) -> None:
    notebook = idle.run()
    idle.client.label_notebook(notebook, LABEL, "1h")
    eventually(lambda: why(idle, notebook), lambda seen: "not idle for 1h yet" in seen, within_s=5, what="the label")
    idle.client.label_notebook(notebook, LABEL, "off")
    outlive_an_idle_one(idle, notebook)
    assert "idle stop" not in why(idle, notebook)
    idle.client.label_notebook(notebook, LABEL, None)
    await_stop(idle, notebook)


def test_what_was_seen_before_the_daemon_died_stops_nobody_early(idle: Machine) -> None:
    notebook = idle.run()
    kernel = begin(idle, notebook, "kernels")["id"]
    busy(idle, notebook, kernel, f"import time; time.sleep({2 * WINDOW_S})")
    idle.kill_daemon()
    time.sleep(WINDOW_S)
    idle.service("start", "daemon")
    began = time.monotonic()
    await_stop(idle, notebook)
    assert time.monotonic() - began >= WINDOW_S, "the cell ran on, and a window counts from its end"
