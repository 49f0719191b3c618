# SPDX-License-Identifier: Apache-2.0
"""Logs, commands and events as they flow, and the token that opens the door."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from notebookd import wire
from notebookd.client import ClientError, Refused
from tests.engine.live import Machine, eventually

pytestmark = pytest.mark.engine


def test_a_log_is_followed_to_its_end_and_kept_after(live: Machine) -> None:
    notebook = live.run()
    followed: list[str] = []
    begun = threading.Event()

    def follow() -> None:
        with closing(live.client.follow_log(notebook)) as lines:
            for line in lines:
                followed.append(line.value.content)
                begun.set()

    reader = threading.Thread(target=follow)
    reader.start()
    assert begun.wait(10)
    live.execute(notebook, "sh", "-c", "echo a word from within > /proc/1/fd/2")
    eventually(lambda: list(followed), lambda seen: "a word from within" in seen, within_s=10)
    live.stop(notebook)
    reader.join(20)
    assert not reader.is_alive(), "the stream ends with the run"
    kept = [line.content for line in live.client.log(notebook).value.logs]
    assert kept == followed
    assert [line.content for line in live.client.log(notebook, tail=2).value.logs] == kept[-2:]
    live.start(notebook)
    assert "a word from within" not in [line.content for line in live.client.log(notebook).value.logs]


NUMBERED = "seq -f '%.0f xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' {} {} > /proc/1/fd/2"


def numbers(lines: list[str]) -> list[int]:
    """Of the lines that NUMBERED wrote."""
    return [int(line.split()[0]) for line in lines if line.endswith("xxxx")]


def test_past_its_bound_a_log_loses_the_oldest_alone_and_says_so(live: Machine) -> None:
    notebook = live.run()
    followed: list[str] = []

    def follow() -> None:
        with closing(live.client.follow_log(notebook)) as lines:
            followed.extend(line.value.content for line in lines)

    reader = threading.Thread(target=follow)
    reader.start()
    for round_ in range(3):  # each some 11 MiB as conmon writes it
        live.execute(notebook, "sh", "-c", NUMBERED.format(round_ * 90_000 + 1, (round_ + 1) * 90_000))
        eventually(lambda: len(numbers(followed)), lambda count, want=(round_ + 1) * 90_000: count >= want, within_s=60)
        time.sleep(3)
    live.execute(
        notebook, "sh", "-c", "printf 'x%.0s' 1 > /proc/1/fd/2; python3 -c \"print('漢' * 9000)\" > /proc/1/fd/2"
    )
    shown = eventually(
        lambda: [line.content for line in live.client.log(notebook).value.logs],
        lambda seen: seen[-1].endswith("漢" * 9000),
    )
    told = numbers(shown)
    assert told == list(range(told[0], 270_001)), "only the oldest are lost"
    assert 90_000 < len(told) < 240_000
    assert any("what came before this is not kept" in line for line in shown[:1])
    assert numbers(followed) == list(range(1, 270_001))
    live.stop(notebook)
    reader.join(60)
    kept = [line.content for line in live.client.log(notebook).value.logs]
    assert numbers(kept) == told
    assert "\ufffd" not in "".join(kept)


def execs_left(live: Machine, notebook: str) -> set[str]:
    """The commands of which something stays: a session that Podman knows, or a conmon."""
    container = live.container(notebook)
    own = container["Id"]
    conmons = [
        words
        for words in (line.split("\0") for line in _command_lines())
        if Path(words[0]).name == "conmon" and "-c" in words and words[words.index("-c") + 1] == own
    ]
    of_commands = [words[words.index("-u") + 1] for words in conmons if words[words.index("-u") + 1] != own]
    return {*(container.get("ExecIDs") or ()), *of_commands}


def _command_lines() -> Iterator[str]:
    for each in Path("/proc").iterdir():
        if each.name.isdecimal():
            with suppress(OSError):
                yield (each / "cmdline").read_text(errors="replace")


FEW = 20


@pytest.mark.parametrize(
    ("failing", "good"), [(FEW, 8), pytest.param(500, 200, marks=pytest.mark.long)], ids=["a few", "many"]
)
def test_commands_leave_nothing_behind(live: Machine, failing: int, good: int) -> None:
    notebook = live.run()
    before = live.execute(notebook, "sh", "-c", "ls -d /proc/[0-9]* | wc -l")

    async def fail(turn: asyncio.Semaphore) -> None:
        async with turn:
            done = await asyncio.to_thread(live.ctl, "exec", notebook, "--", "/no/such/program")
            assert done.returncode != 0

    async def succeed(turn: asyncio.Semaphore, number: int) -> None:
        async with turn:
            done = await asyncio.to_thread(live.ctl, "exec", notebook, "--", "sh", "-c", f"echo {number}; exit 3")
            assert (done.returncode, done.stdout) == (3, f"{number}\n")

    async def everybody() -> None:
        turn = asyncio.Semaphore(4)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(failing):
                tasks.create_task(fail(turn))
            for number in range(good):
                tasks.create_task(succeed(turn, number))

    asyncio.run(everybody())
    assert len(execs_left(live, notebook)) <= failing + good + 1
    if failing > FEW:  # Podman forgets an ended session after five minutes, and its conmon waits for that
        eventually(lambda: execs_left(live, notebook), lambda left: left == set(), within_s=400, what="nothing of any")
    assert int(live.execute(notebook, "sh", "-c", "ls -d /proc/[0-9]* | wc -l")) <= int(before)


def test_a_command_has_streams_status_and_input(live: Machine) -> None:
    notebook = live.run()
    done = live.ctl("exec", notebook, "--", "sh", "-c", "echo out; echo err >&2; exit 5")
    assert (done.returncode, done.stdout, done.stderr) == (5, "out\n", "err\n")
    done = live.ctl("exec", "-i", notebook, "--", "sh", "-c", "tr a-z A-Z; exit 3", text="teal\n")
    assert (done.returncode, done.stdout) == (3, "TEAL\n")
    done = live.ctl("exec", "-i", notebook, "--", "sh", "-c", "head -c 2; exit 4", text="x" * 3_000_000)
    assert (done.returncode, done.stdout) == (4, "xx")
    large = live.execute(notebook, "sh", "-c", "head -c 3000000 /dev/zero | tr '\\0' x")
    assert len(large) == 3_000_000
    assert live.ctl("exec", notebook, "--", "/no/such/program").returncode != 0


def test_a_log_steers_no_terminal_and_goes_into_a_pipe_as_it_is(live: Machine) -> None:
    notebook = live.run()
    attack = "\x1b]0;owned\x07\x1b[2J\u202eevil \x9d0;x\x9c"
    live.execute(notebook, "sh", "-c", 'printf "%s\\n" "$1" > /proc/1/fd/2', "-", attack)
    eventually(lambda: live.ctl("logs", notebook).stdout, lambda log: f"{attack}\n" in log, within_s=10)
    ours, theirs = os.openpty()
    with subprocess.Popen(
        ["notebookctl", "logs", "--tail", "5", notebook], stdout=theirs, env=live.environment
    ) as shown:
        os.close(theirs)
        screen = b""
        with suppress(OSError):  # its end
            while part := os.read(ours, 65_536):
                screen += part
    os.close(ours)
    assert shown.returncode == 0
    assert b"^[]0;owned^G^[[2J\\u202eevil \\u009d0;x\\u009c" in screen
    assert b"\x1b" not in screen


def test_a_command_into_head_ends_quietly(live: Machine) -> None:
    notebook = live.run()
    line = f"set -o pipefail; notebookctl exec {notebook} -- yes | head -1"
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, env=live.environment, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGPIPE, "y\n", "")


async def test_a_command_on_a_terminal_knows_its_size(live: Machine) -> None:
    notebook = await asyncio.to_thread(live.run)
    command = ["sh", "-c", "read go; test -t 0 && test -t 1 && stty size; exit 7"]
    target = live.client.exec_target(notebook, command, stdin=True, tty=True)
    output, end = b"", None
    async with (
        aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(live.socket))) as session,
        session.ws_connect(f"http://localhost{target}") as socket,
    ):
        await socket.send_bytes(b"\4" + json.dumps({"width": 123, "height": 45}).encode())
        await socket.send_bytes(b"\0go\n")
        async for message in socket:
            kind, data = message.data[0], message.data[1:]
            if kind == 1:
                output += data
            if kind == 3:
                end = json.loads(data)
    assert end == {"exitCode": 7}
    assert b"45 123" in output


def test_a_stopped_notebook_runs_no_command(live: Machine) -> None:
    notebook = live.run()
    live.stop(notebook)
    done = live.ctl("exec", notebook, "--", "true")
    assert done.returncode == 1
    assert "does not run" in done.stderr


def test_events_are_followed_and_resumed_without_gap(live: Machine) -> None:
    seen: list[wire.Event] = []

    def follow(after: int | None) -> None:
        with suppress(ClientError), closing(live.client.follow_events(after=after)) as events:
            seen.extend(event.value for event in events)

    def follower(after: int | None) -> threading.Thread:
        thread = threading.Thread(target=follow, args=(after,), daemon=True)
        thread.start()
        return thread

    first = follower(None)
    notebook = live.run()
    eventually(lambda: list(seen), lambda them: any(_is(one, notebook, "RUNNING") for one in them), within_s=10)
    live.service("kill", "daemon")
    first.join(10)
    assert not first.is_alive(), "a reader sees that the daemon is gone"
    live.service("start", "daemon")
    second = follower(seen[-1].id)
    live.stop(notebook)
    eventually(lambda: list(seen), lambda them: any(_is(one, notebook, "STOPPED") for one in them), within_s=10)
    ids = [event.id for event in seen]
    assert ids == sorted(set(ids))
    everything = [event.value for event in live.client.events()]
    assert [one.id for one in everything][: len(ids)] == ids
    steps = [(one.before, one.after) for one in everything if one.notebook == notebook and one.type == "notebook.state"]
    for (_, after), (before, _) in itertools.pairwise(steps):
        assert before == after, "each state is entered from the one before"
    (stopping,) = (one for one in everything if _is(one, notebook, "STOPPING") and one.actor != "notebookd")
    assert stopping.actor == live.client.me().value.name
    live.kill_daemon()
    second.join(10)


def _is(event: wire.Event, notebook: str, state: str) -> bool:
    return event.notebook == notebook and event.after == state


def test_a_start_gives_a_new_token_and_the_old_one_dies(live: Machine) -> None:
    notebook = live.run()
    old = live.token(notebook)
    assert live.fetch(notebook).status == 401
    assert live.fetch(notebook, token=old).status == 200
    session = live.fetch(notebook, f"/lab?token={old}")
    assert session.status == 303
    assert old not in str(session.headers)
    cookie = session.headers["Set-Cookie"].partition(";")[0]
    live.stop(notebook)
    assert live.fetch(notebook, token=old).status in {401, 403, 503}
    live.start(notebook)
    new = live.token(notebook)
    assert new != old
    assert live.fetch(notebook, token=old).status == 403
    assert live.fetch(notebook, f"/api?token={old}").status == 403
    assert live.fetch(notebook, token=new).status == 200
    assert live.fetch(notebook, cookie=cookie).status == 200, "who was signed in still is"
    renewed = live.client.renew_access(notebook).value.token
    eventually(lambda: live.fetch(notebook, token=renewed).status, lambda status: status == 200, within_s=10)
    assert live.fetch(notebook, cookie=cookie).status == 403
    assert live.fetch(notebook, token=new).status == 403


def test_the_token_of_one_notebook_opens_no_other(live: Machine) -> None:
    one, other = live.run(), live.run()
    assert live.fetch(other, token=live.token(one)).status == 403


def test_the_token_never_reaches_the_editor_or_a_log(live: Machine) -> None:
    notebook = live.run()
    token = live.token(notebook)
    assert live.fetch(notebook, token=token).status == 200
    assert live.fetch(notebook, f"/api?token={token}", method="POST").status in {403, 404, 405}
    environment = live.execute(notebook, "sh", "-c", "cat /proc/1/environ; env")
    assert token not in environment
    assert token not in "".join(line.content for line in live.client.log(notebook).value.logs)
    assert all(token not in live.log(name) for name in ("daemon", "gateway", "engine"))


def test_commands_of_a_stranger_to_the_notebook_are_refused_without_upgrade(live: Machine) -> None:
    notebook = live.run()
    refusal: Any = live.client.exec_refusal(live.client.exec_target(notebook, ["true"], stdin=False, tty=False))
    assert isinstance(refusal, Refused)
    assert refusal.status == 400
