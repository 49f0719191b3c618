# SPDX-License-Identifier: Apache-2.0
"""notebookctl as a program of its own: its streams, its exit codes, what it loads, and exec."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from contextlib import contextmanager

import pytest
from aiohttp import WSMsgType, web

from notebookd.cli.main import ALIASES, VERBS, cli
from tests.cli import worlds
from tests.cli.worlds import A, me, notebook, page


def test_a_listing_prints_json_and_nothing_else(notebookctl, toy):
    toy.on("GET /v1/me", me())
    toy.on("GET /v1/notebook", page(notebook()))
    done = notebookctl.program("ls", "-o", "json")
    assert (done.returncode, done.stdout, done.stderr) == (0, page(notebook()) + b"\n", b"")


def test_exit_codes_of_the_program(notebookctl, toy, tmp_path):
    toy.on("GET /v1/me", me())
    assert notebookctl.program("me").returncode == 0
    assert notebookctl.program("get", A).returncode == 1
    assert notebookctl.program("get").returncode == 2
    assert notebookctl.program("--socket", str(tmp_path / "none"), "me").returncode == 3
    toy.on("POST /v1/notebook", notebook(state="STARTING"))
    toy.on(f"GET /v1/notebook/{A}", notebook(state="FAILED"))
    assert notebookctl.program("run", "conda", "jupyterlab", "--wait").returncode == 4


def test_without_a_terminal_run_does_not_wait(notebookctl, toy):
    toy.on("POST /v1/notebook", notebook(state="STARTING"))
    assert notebookctl.program("run", "conda", "jupyterlab").returncode == 0
    assert len(toy.asked) == 1


def test_bytes_that_are_no_text_are_a_usage_error(notebookctl):
    done = notebookctl.program("get", b"\xff")
    assert done.returncode in {1, 2}
    assert b"Traceback" not in done.stderr


HEAVY = {
    *("aiohttp", "asyncio", "podman", "rich", "yaml"),
    *("bz2", "csv", "difflib", "email", "http.client", "pathlib", "shutil", "ssl", "tempfile", "urllib.parse"),
    *("notebookd.wire.decoding", "notebookd.wire.images", "notebookd.wire.requests", "notebookd.wire.usage"),
    *("notebookd.cli.spreadsheet", "notebookd.cli.transfers", "notebookd.cli.verbs.run", "notebookd.cli.waiting"),
    "notebookd.config",
}
"""What a short command does without: each takes longer to load than the daemon to answer."""
LIGHT = (
    "notebookd.cli",
    "notebookd.client",
    "notebookd.wire",
    "notebookd.neutral",
    "notebookd.spelling",
    "notebookd.units",
)


def loaded(code, *args, **env):
    """The modules that a program has loaded at its end."""
    told = "import sys, atexit\natexit.register(lambda: print(' '.join(sys.modules), file=sys.stderr))\n"
    done = subprocess.run(
        [sys.executable, "-c", told + code, *args],
        capture_output=True,
        env={**os.environ, **env},
        check=True,
        text=True,
    )
    return set(done.stderr.split())


@pytest.mark.parametrize("verb", ["ls", "gpu", "queue"])
def test_a_listing_loads_nothing_heavy(toy, verb):
    toy.on("GET /v1/gpu", worlds.STATION)
    toy.on("GET /v1/queue", worlds.WAITING)
    toy.on("GET /v1/me", me())
    toy.on("GET /v1/notebook", page(notebook()))
    code = "from notebookd.cli.program import main; main()"
    found = loaded(code, verb, NOTEBOOKD_SOCKET=toy.path) - loaded("import click, msgspec")
    assert "notebookd.cli.verbs" in found
    # gpu can change what a TAB offers, and forgets what was kept of it: a folder is looked at.
    forgetting = {"pathlib", "urllib.parse"} if verb == "gpu" else set()
    assert found & HEAVY == found & forgetting
    assert not {name for name in found if name.startswith("notebookd.")} - {
        name for name in found if name.startswith(LIGHT)
    }


def test_the_table_of_verbs_says_what_the_verbs_say():
    import click

    context = click.Context(cli)
    for name, (_, text) in VERBS.items():
        verb = cli.get_command(context, name)
        assert verb.name == name
        assert verb.help.splitlines()[0] == text
    assert set(ALIASES.values()) <= set(VERBS)


@pytest.mark.parametrize("verb", list(VERBS))
def test_every_verb_has_help(notebookctl, verb):
    result = notebookctl(verb, "--help")
    assert result.exit_code == 0
    assert "Usage: " in result.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(notebookctl, shell):
    done = notebookctl.program("completion", shell)
    assert done.returncode == 0
    assert b"_NOTEBOOKCTL_COMPLETE" in done.stdout


def test_names_are_completed(notebookctl, toy):
    toy.on("GET /v1/notebook", page(notebook()))
    result = notebookctl(
        env={"_NOTEBOOKCTL_COMPLETE": "bash_complete", "COMP_WORDS": "notebookctl get ca", "COMP_CWORD": "2"}
    )
    assert "calm" in result.stdout


def test_doctor_becomes_notebookd_doctor(tmp_path, toy):
    program = tmp_path / "notebookd"
    program.write_text('#!/bin/sh\necho "$@"\nexit 7\n')
    program.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", "from notebookd.cli.program import main; main()", "doctor", "-o", "json", "--deep"],
        capture_output=True,
        env={**os.environ, "PATH": str(tmp_path)},
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout) == (7, "doctor --json --deep\n")


def test_doctor_without_the_program_says_so(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from notebookd.cli.program import main; main()", "doctor"],
        capture_output=True,
        env={**os.environ, "PATH": str(tmp_path)},
        check=False,
        text=True,
    )
    assert done.returncode == 1
    assert "cannot find the program notebookd" in done.stderr


@contextmanager
def exec_server(path, answer):
    """A daemon that knows only exec, in a thread of its own."""
    ready, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve():
        app = web.Application()
        app.router.add_get(f"/v1/notebook/{A}/exec", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.UnixSite(runner, path).start()
        ready.set()
        await stop.wait()
        await runner.cleanup()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def exec_program(path, *args, keys=b""):
    return subprocess.run(
        [sys.executable, "-c", "from notebookd.cli.program import main; main()", "exec", A, *args],
        input=keys,
        capture_output=True,
        env={**os.environ, "NOTEBOOKD_SOCKET": path},
        timeout=60,
        check=False,
    )


def test_exec_asks_for_variables_and_a_folder(tmp_path):
    asked = []

    async def answer(request):
        asked.append(dict(request.query))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(b'\x03{"exitCode":0}')
        return socket

    with exec_server(tmp_path / "api.sock", answer):
        for folder in ("data/a", "/tmp"):
            done = exec_program(tmp_path / "api.sock", "-e", "A=b", "-w", folder, "--", "true")
            assert done.returncode == 0, done.stderr
        assert exec_program(tmp_path / "api.sock", "-e", "A", "--", "true").returncode == 2
    assert [(each["env"], each["workingDir"]) for each in asked] == [
        ("A=b", "/workspace/data/a"),
        ("A=b", "/tmp"),
    ]


def test_exec_carries_streams_and_the_status(tmp_path):
    seen = []

    async def answer(request):
        seen.append(request.query)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        got = b""
        async for message in socket:
            assert message.type is WSMsgType.BINARY
            assert message.data[0] == 0
            if message.data == b"\x00":
                break
            got += message.data[1:]
        await socket.send_bytes(b"\x01out " + got)
        await socket.send_bytes(b"\x02err")
        await socket.send_bytes(b"\x03" + json.dumps({"exitCode": 42}).encode())
        await socket.close()
        return socket

    path = str(tmp_path / "api.sock")
    with exec_server(path, answer):
        done = exec_program(path, "-i", "--", "cat", "-n", keys=b"hello\n")
    assert (done.returncode, done.stdout, done.stderr) == (42, b"out hello\n", b"err")
    (query,) = seen
    assert query.getall("command") == ["cat", "-n"]
    assert (query["stdin"], query["tty"]) == ("true", "false")


def test_exec_tells_the_size_of_its_terminal(tmp_path):
    async def answer(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(b"\x01" + await socket.receive_bytes())
        await socket.send_bytes(b'\x03{"exitCode":0}')
        await socket.close()
        return socket

    path = str(tmp_path / "api.sock")
    with exec_server(path, answer):
        done = exec_program(path, "-it", "--", "sh")
    assert done.stdout[:1] == b"\x04"  # it comes before any input
    assert set(json.loads(done.stdout[1:])) == {"width", "height"}


def test_exec_refused_says_why(tmp_path):
    async def answer(_request):
        return web.json_response({"message": "cannot run in calm: it is STOPPED", "code": "conflict"}, status=409)

    path = str(tmp_path / "api.sock")
    with exec_server(path, answer):
        done = exec_program(path, "--", "true")
    assert done.returncode == 1
    assert b"cannot run in calm: it is STOPPED (conflict)" in done.stderr


def test_exec_cut_off_is_exit_3(tmp_path):
    async def answer(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.close()
        return socket

    path = str(tmp_path / "api.sock")
    with exec_server(path, answer):
        done = exec_program(path, "--", "true")
    assert done.returncode == 3
    assert b"the connection ended" in done.stderr


def test_exec_without_a_daemon_is_exit_3(tmp_path):
    done = exec_program(str(tmp_path / "none"), "--", "true")
    assert done.returncode == 3
    assert b"cannot reach notebookd" in done.stderr


def test_open_prints_the_url_where_there_is_no_browser(notebookctl, toy):
    toy.on(f"GET /v1/notebook/{A}/access", worlds.access())
    done = subprocess.run(
        [sys.executable, "-c", "from notebookd.cli.program import main; main()", "open", A],
        capture_output=True,
        env={"NOTEBOOKD_SOCKET": toy.path, "PATH": "/nowhere", "BROWSER": "/nowhere/browser"},
        check=False,
        text=True,
    )
    assert (done.returncode, done.stdout.strip()) == (0, f"http://{A}.localhost:8421/?token=secret")
    assert "ssh -L 8421:127.0.0.1:8421 " in done.stderr
