# SPDX-License-Identifier: Apache-2.0
"""Every piece of advice about data is followed, in every state in which it is given, by the commands that it names."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

import notebookd
from notebookd.domain import advice
from notebookd.domain.advice import EVERY, Advice
from notebookd.domain.run import NotebookState
from notebookd.ports.movers import Push
from notebookd.testing.house import World, make_world
from tests.api.caller import Api

DATA = "sets@S3/in:/data:rwd"
CODE = "https://git.example/team/code.git:/code:rw"
URL = "https://git.example/team/code.git"
COMMAND = re.compile(r"`(notebookctl [^`]+)`")
ASKED = {"--discard", "--force"}
"""What is asked for on a terminal, and takes ``--yes`` without one."""


@pytest.fixture
def world(tmp_path: Path) -> World:
    """A machine with a remote and a repository."""
    store = {"alias": "S3", "type": "rclone", "remote": "s3lab", "read": ["*"], "write": ["*"]}
    made = make_world(tmp_path, settings={"datastore": [store]})
    made.movers.remotes["S3"] = {"sets/in/a": b"aa"}
    made.movers.repositories[URL] = {"main.py": b"print()"}
    return made


async def sync_failed(api: Api) -> str:
    notebook = await api.create(volumes=[DATA])
    api.world.movers.held = True
    await api.order(notebook, "stop")
    (pushing,) = (key for key, mover in api.world.movers.movers.items() if isinstance(mover.work, Push))
    api.world.movers.fail(pushing, "DATASYNC_REMOTE_FULL", "the remote is full")
    api.world.movers.held = False
    await api.house.quiet()
    for mover, found in list(api.world.movers.movers.items()):
        if found.report is not None and not found.report.over:
            api.world.movers.finish(mover)
    await api.house.quiet()
    return notebook


async def withdrawn(api: Api) -> str:
    notebook = await sync_failed(api)
    api.house.reload(replace(api.world.config, datastores=()))
    said = await api.call("PUT", f"/v1/notebook/{notebook}/start?discard=true")
    assert (said.status, said.body["hint"]) == (409, advice.WITHDRAWN.text)
    return notebook


async def stopped(api: Api) -> str:
    notebook = await api.create(volumes=[DATA])
    await api.order(notebook, "stop")
    return notebook


async def stopped_and_stuck(api: Api) -> str:
    notebook = await api.create(volumes=[CODE])
    await api.house.pass_time(1)
    await fail_the_pull(api, "DATASYNC_NOT_FAST_FORWARD", lambda: pull(api, notebook))
    said = (await api.call("GET", f"/v1/notebook/{notebook}/why")).body["sentences"]
    assert f"Once it is stopped, {advice.BEGIN_ANEW.on(mount='/code')}." in said
    await api.order(notebook, "stop")
    return notebook


async def pull(api: Api, notebook: str) -> None:
    assert (await api.call("POST", f"/v1/notebook/{notebook}/datasync", {"direction": "pull"})).status == 200


async def fail_the_pull(api: Api, code: str, what: Callable[[], Awaitable[object]]) -> None:
    api.world.movers.held = True
    await what()
    (mover,) = api.world.movers.movers
    api.world.movers.fail(mover, code, "it is away")
    api.world.movers.held = False
    await api.house.quiet()


async def failed_start(api: Api, code: str, volume: str = DATA) -> str:
    notebook = await api.create(volumes=[volume])
    await api.order(notebook, "stop")
    await fail_the_pull(api, code, lambda: api.order(notebook, "start"))
    return notebook


async def error(api: Api) -> str:
    return await failed_start(api, "DATASYNC_UNREACHABLE")


async def error_and_stuck(api: Api) -> str:
    return await failed_start(api, "DATASYNC_NOT_FAST_FORWARD", CODE)


async def failed(api: Api) -> str:
    return await failed_start(api, "DATASYNC_SOURCE_NOT_FOUND")


async def stopping(api: Api) -> str:
    notebook = await api.create(volumes=[DATA])
    api.world.movers.held = True
    await api.order(notebook, "stop")
    return notebook


async def running(api: Api) -> str:
    return await api.create(volumes=["standalone:/data"])


Scene = Callable[[Api], Awaitable[str]]
SCENES: dict[NotebookState, Scene] = {
    NotebookState.SYNC_FAILED: sync_failed,
    NotebookState.STOPPED: stopped,
    NotebookState.ERROR: error,
    NotebookState.FAILED: failed,
    NotebookState.STOPPING: stopping,
    NotebookState.RUNNING: running,
}
ODD_SCENES: dict[tuple[Advice, NotebookState], Scene] = {
    (advice.WITHDRAWN, NotebookState.SYNC_FAILED): withdrawn,
    (advice.BEGIN_ANEW, NotebookState.ERROR): error_and_stuck,
    (advice.BEGIN_ANEW, NotebookState.STOPPED): stopped_and_stuck,
}
CASES = [
    pytest.param(each, state, command, id=f"{state}: {command}")
    for each in EVERY
    for state in each.given_in
    for command in COMMAND.findall(each.text)
]


@pytest.mark.parametrize(("given", "state", "command"), CASES)
async def test_the_command_works(api: Api, tmp_path: Path, given: Advice, state: NotebookState, command: str) -> None:
    notebook = await ODD_SCENES.get((given, state), SCENES[state])(api)
    assert await api.state(notebook) == state
    mount = "/code" if given is advice.BEGIN_ANEW else "/data"
    named = command.replace("NOTEBOOK", notebook).replace("/MOUNT", mount).replace("ALIAS", "S3")
    words = shlex.split(named)[1:]
    if not ASKED.isdisjoint(words):
        words.append("--yes")
    said = await run(api, tmp_path, words)
    assert said == ""
    await api.house.quiet()
    if words[0] == "start":
        assert await api.state(notebook) == "RUNNING"
    if words[0] == "push-data":
        assert await api.state(notebook) == "STOPPED"


async def run(api: Api, folder: Path, words: list[str]) -> str:
    """Run notebookctl as people do; what it says when it is refused."""
    code = "from notebookd.cli.main import main; main()"
    source = str(Path(notebookd.__file__).parents[1])
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, *words),
        cwd=folder,
        env={**os.environ, "NOTEBOOKD_SOCKET": str(api.socket), "PYTHONPATH": source},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        stdin=asyncio.subprocess.DEVNULL,
    )
    _, errors = await child.communicate()
    return "" if child.returncode == 0 else f"exit {child.returncode}: {errors.decode()}"


def test_advice_on_data_stands_in_one_place() -> None:
    """What speaks of data takes its commands from the table."""
    root = Path(notebookd.__file__).parent
    rooms = [
        "domain/data_plan.py",
        "service/syncs.py",
        "service/starts.py",
        "adapters/volumes.py",
    ]
    rooms += [
        str(each.relative_to(root)) for folder in ("mover", "adapters/movers") for each in (root / folder).glob("*.py")
    ]
    for room in rooms:
        for line in (root / room).read_text().splitlines():
            words = COMMAND.findall(line)
            assert not words or "capabilities" in line or "with `notebookctl patch`" in line, f"{room}: {line}"


async def test_a_copy_that_no_pull_brings_up_to_date_is_given_up_alone(api: Api) -> None:
    notebook = await failed_start(api, "DATASYNC_UNREACHABLE", CODE)
    copy = api.world.movers.copy(notebook, _volume_of(api, notebook))
    (copy / "mine").write_bytes(b"mine")
    assert (await api.call("PUT", f"/v1/notebook/{notebook}/start?discard=true")).status == 204
    assert (copy / "mine").exists(), "an endpoint that is away is no reason to give a copy up"
    await api.order(notebook, "stop")
    await fail_the_pull(api, "DATASYNC_NOT_FAST_FORWARD", lambda: api.order(notebook, "start"))
    assert (copy / "mine").exists()
    assert (await api.call("PUT", f"/v1/notebook/{notebook}/start?discard=true")).status == 204
    assert await api.state(notebook) == "RUNNING"
    assert not (copy / "mine").exists()


def _volume_of(api: Api, notebook: str) -> str:
    entry = api.house.store.find_entry(notebook)  # type: ignore[arg-type]
    assert entry is not None
    return entry.run.volumes[0].id
